"""Starting a child's process, and what the kernel says of one: alive, at work, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lbfast.selfcall import environment

_STATE, _UTIME, _STIME, _STARTED = 0, 11, 12, 19  # of /proc/PID/stat, behind the name


_STATES = {
    "R": "running",
    "S": "asleep",
    "D": "waiting within the kernel",
    "T": "stopped",
    "t": "stopped by a debugger",
}


def begin(kind: str, fd: int) -> subprocess.Popen[bytes]:
    """Starts the program of a child, with its end of the socket pair."""
    words = [sys.executable, "-m", "lbfast.processes", kind, str(fd)]
    return subprocess.Popen(
        words, pass_fds=(fd,), env=environment(), stdin=subprocess.DEVNULL, process_group=0
    )


async def ended(pid: int) -> None:
    """Waits for the end of a process, which need not be a child of ours."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop.add_reader(fd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def cause(status: int) -> str:
    """Returns in words how a process has ended."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"status {status}"


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def used_ticks(pid: int) -> int:
    """Returns the CPU time that a process has used, in clock ticks."""
    found = _stat(pid)
    return int(found[_UTIME]) + int(found[_STIME]) if found else 0


def is_stopped(pid: int) -> bool:
    """Returns whether a process has been stopped by a signal or a debugger."""
    return state_of(pid) in ("T", "t")


def state_of(pid: int) -> str:
    """Returns the letter of a process's state, of which D is: waits within the kernel.

    That may take long: others hold the locks of routing and nftables.  X if it is not there.
    """
    return "".join(_stat(pid)[_STATE : _STATE + 1]) or "X"


def in_words(state: str) -> str:
    """Returns what a state's letter means, and the letter."""
    return f"{_STATES.get(state, 'ended')} ({state})"


class Register:
    """A file that tells the next parent who the children of one that was killed are."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pids: Mapping[str, int]) -> None:
        """Notes the children; each with its start, as a pid may be another's by then."""
        known = {kind: [pid, _stat(pid)[_STARTED]] for kind, pid in pids.items() if _stat(pid)}
        fresh = self._path.with_name(f".{self._path.name}.new")
        with contextlib.suppress(OSError):  # without it the next parent begins anew
            fresh.write_text(json.dumps(known), encoding="ascii")
            fresh.rename(self._path)

    def living(self) -> dict[str, int]:
        """Returns the children in the file that are alive."""
        try:
            known = json.loads(self._path.read_text(encoding="ascii"))
            return {
                kind: pid
                for kind, (pid, started) in known.items()
                if _stat(pid)[_STARTED : _STARTED + 1] == [started]
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


async def end(pid: int) -> None:
    """Kills a process, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
