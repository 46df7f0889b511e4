"""One bench at a time: two would measure each other, and no figure would show it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.say import say

VARIABLE = "LBFAST_BENCH_LOCK"  # another file: benches with files of their own do not wait
RUN = Path("/run")


class LockError(Exception):
    """The lock cannot be opened."""


def lock_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file that the bench at work has locked; a user who is not root has an own one."""
    if named := environ.get(VARIABLE):
        return Path(named)
    if os.geteuid() == 0:
        return RUN / "lbfast-bench.lock"
    return Path(tempfile.gettempdir(), f"lbfast-bench-{os.geteuid()}.lock")


@contextmanager
def alone(command: str, path: Path | None = None) -> Iterator[None]:
    """Hold the lock meanwhile; say who has it and wait for the end of that one first.

    `command`: what others are told of this process.  Raises LockError.
    """
    path = path or lock_path()
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LockError(f"lock {path}: {error.strerror}; expected a file to write to") from None
    try:
        _lock(fd, command.partition(" ")[0])
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} ({command})".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _lock(fd: int, who: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 1000, 0).decode(errors="replace") or "not yet told"
        say(
            f"{who}: waiting for the bench at work, pid {holder}: two at a time would measure "
            f"each other; Ctrl-C gives up, {VARIABLE} names another lock"
        )
        fcntl.flock(fd, fcntl.LOCK_EX)
