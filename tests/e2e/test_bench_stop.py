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

from bench.alone import VARIABLE
from bench.cpu import with_children
from bench.program import ROOT
from netns.ownership import NAMESPACES
from netns.wait import wait_for

WORDS = [sys.executable, "tools/bench.py", "scale", "--quick"]


def at_work(bench: int) -> list[int]:
    """Return a bench's processes once its daemon and its reflector run."""
    pids = with_children(bench)[1:]
    words = b""
    for pid in pids:
        with ended_meanwhile():
            words += Path(f"/proc/{pid}/cmdline").read_bytes()
    return pids if b"reflector" in words and b"\0run\0" in words else []


def ended_meanwhile() -> suppress:
    """Leave out a process that ends while it is looked at: a bench starts many short ones."""
    return suppress(FileNotFoundError, ProcessLookupError)


def there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def all_gone(pids: list[int]) -> bool:
    """Wait until no process is there: who lost its parent goes when process 1 collects it."""
    return wait_for(lambda: not any(map(there, pids)), 5, f"the end of {pids}")


def namespaces_of(pids: list[int]) -> set[int]:
    """Return the network namespaces in which processes are, but for our own."""
    found = set[int]()
    for pid in pids:
        with ended_meanwhile():
            found.add(Path(f"/proc/{pid}/ns/net").stat().st_ino)
    return found - {Path("/proc/self/ns/net").stat().st_ino}


def named() -> set[int]:
    """Return the network namespaces that have a name."""
    found = set()
    for path in NAMESPACES.iterdir():
        with ended_meanwhile():
            found.add(path.stat().st_ino)
    return found


@pytest.fixture(autouse=True)
def own_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No bench at work beside the tests is waited for."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "lock"))


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
        _, bench, *_ = with_children(running.pid)  # a terminal tells both; make reports the end
        os.kill(bench, number)
    else:
        running.send_signal(number)
    said = running.communicate(timeout=30)[1]
    assert f"bench: stopped by {number.name}; files of finished works stay\n" in said
    assert "Traceback" not in said
    assert running.returncode
    assert all_gone(pids)
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
    assert all_gone(pids)
    assert not inside & named()
