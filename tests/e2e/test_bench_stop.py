"""A bench that is told to end removes its networks and processes, and says so in a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench.program import ROOT
from netns.ownership import NAMESPACES
from netns.wait import wait_for

WORDS = [sys.executable, "tools/bench.py", "scale", "--quick"]


def below(top: int) -> list[int]:
    """Return all processes below one, whatever session they have."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, fresh = set[int](), {top}
    while fresh:
        found |= fresh
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
    return sorted(found - {top})


def at_work(bench: int) -> list[int]:
    """Return a bench's processes once its daemon and its reflector run."""
    pids = below(bench)
    words = b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if there(pid))
    return pids if b"reflector" in words and b"\0run\0" in words + b"\0" else []


def there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def namespaces_of(pids: list[int]) -> set[int]:
    """Return the network namespaces in which processes are, but for our own."""
    found = {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in pids if there(pid)}
    return found - {Path("/proc/self/ns/net").stat().st_ino}


def named() -> set[int]:
    """Return the network namespaces that have a name."""
    found = set()
    for path in NAMESPACES.iterdir():
        with suppress(FileNotFoundError):
            found.add(path.stat().st_ino)
    return found


@pytest.fixture(params=["alone", "make"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = [*WORDS, "--out", str(tmp_path)]
    if request.param == "make":
        makefile = (ROOT / "Makefile").read_text().splitlines()
        line = makefile[next(n for n, t in enumerate(makefile) if t.startswith("bench:")) + 1]
        rule = line.replace("$(PY)", sys.executable)
        (tmp_path / "Makefile").write_text(f".PHONY: bench\nbench:\n{rule}\n")
        words = ["make", "-f", str(tmp_path / "Makefile"), "bench", f"ARGS={' '.join(words[2:])}"]
    bench = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    yield bench
    bench.kill()
    bench.communicate()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name
)
def test_signal_ends_everything_and_is_said(
    running: subprocess.Popen[str], number: signal.Signals
) -> None:
    pids: list[int] = []

    def works() -> bool:
        pids[:] = at_work(running.pid)
        return bool(pids)

    wait_for(works, 60, "daemon and reflector")
    inside = namespaces_of(pids)
    assert inside <= named()
    assert inside
    if running.args[0] == "make" and number != signal.SIGTERM:  # type: ignore[index]
        os.kill(below(running.pid)[0], number)  # a terminal tells both; make reports the end
    else:
        running.send_signal(number)
    said = running.communicate(timeout=30)[1]
    assert f"bench: stopped by {number.name}; files of finished works stay\n" in said
    assert "Traceback" not in said
    assert running.returncode
    assert not [pid for pid in pids if there(pid)]
    assert not inside & named()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_signal_ends_a_claim_with_all_it_made(number: signal.Signals) -> None:
    words = [sys.executable, "tools/prove.py", "cpu-per-frame"]
    prove = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    pids: list[int] = []

    def works() -> bool:
        pids[:] = at_work(prove.pid)
        return bool(pids)

    try:
        wait_for(works, 60, "daemon and reflector")
        inside = namespaces_of(pids)
        prove.send_signal(number)
        said = prove.communicate(timeout=30)[1]
    finally:
        prove.kill()
    assert said.endswith(f"prove: stopped by {number.name}\n")
    assert prove.returncode == 128 + number
    assert not [pid for pid in pids if there(pid)]
    assert not inside & named()
