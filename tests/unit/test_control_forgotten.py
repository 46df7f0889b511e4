"""What is removed of directors whose network namespaces are gone, and what stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.control import forgotten

# within a PID namespace of its own, where every process may be looked at
SWEPT = """
import os, subprocess, sys
from pathlib import Path
from lbfast.control import arena, forgotten

place, certain = Path(sys.argv[1]), sys.argv[2] == "certain"
arena.MOUNT_POINT = place / ".arena"
arena.MOUNT_POINT.mkdir()
if certain:
    forgotten.INITIAL_PID_NAMESPACE = os.stat("/proc/self/ns/pid").st_ino
asks = [sys.executable, "-c",
        "from lbfast.control.rundir import network_namespace_name as n; print(n(), flush=True);"
        "input()"]
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
one, other, file, mount = (
    subprocess.Popen(["unshare", "-n", *asks], **pipes) for _ in range(4)
)
names = [each.stdout.readline().strip() for each in (one, other, file, mount)]
held = os.open(f"/proc/{file.pid}/ns/net", os.O_RDONLY)
(place / "a b").touch()
subprocess.run(["mount", "--bind", f"/proc/{mount.pid}/ns/net", place / "a b"], check=True)
for each in (other, file, mount):
    each.communicate("\\n")
own = "ns-7777777"  # chosen by hand
for name in (*names, own, "ns-i5", "main", "blue"):
    (place / name).mkdir()
    (place / name / "pid").touch()
    (arena.MOUNT_POINT / name).touch()
gone = forgotten.sweep(place, own)
left = {path.name for where in (place, arena.MOUNT_POINT) for path in where.iterdir()}
assert left >= {names[0], names[2], names[3], own, "ns-i5", "main", "blue"}, left
assert gone == ([names[1]] if certain else []), (gone, names)
assert (names[1] in left) != certain
one.communicate("\\n")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
@pytest.mark.parametrize("how", ["certain", "uncertain"])
def test_namespaces_that_are_gone_are_swept_when_all_processes_are_seen(
    how: str, tmp_path: Path
) -> None:
    """One lives by a process, one by an open file, one by a mount; one is gone."""
    words = ["unshare", "-mpf", "--mount-proc", sys.executable, "-c", SWEPT, str(tmp_path), how]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_process_that_may_not_be_looked_at_leaves_it_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> forgotten.Handles:
        raise PermissionError

    own = os.stat("/proc/self/ns/pid").st_ino
    monkeypatch.setattr(forgotten, "INITIAL_PID_NAMESPACE", own)
    monkeypatch.setattr(forgotten, "handles", refuse)
    assert forgotten.living() is None


def test_candidates_are_those_of_cookies_of_no_running_director(tmp_path: Path) -> None:
    run, arenas = tmp_path / "run", tmp_path / "arenas"
    for name in ("ns-1", "ns-2", "ns-i3", "main"):
        (run / name).mkdir(parents=True)
    arenas.mkdir()
    for name in ("ns-1", "ns-2", "ns-4+", "main", "bench-7"):
        (arenas / name).touch()
    (run / "ns-9").symlink_to(tmp_path)
    (run / "ns-1" / "pid").touch()
    (run / "ns-2" / "pid").write_text(f"{os.getpid()}\n")
    found = forgotten.candidates(run, arenas)
    assert found == {"ns-1": [run / "ns-1", arenas / "ns-1"], "ns-4": [arenas / "ns-4+"]}
    assert forgotten.candidates(tmp_path / "none", tmp_path / "none") == {}
