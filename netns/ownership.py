"""Which namespaces are ours: a record for every build, held by a lock that dies with its maker.

/run/lbfast-netns/           0700
    .guard                   locked while a record is made or judged
    lb3f9a/lock              locked by the process that built lb3f9a-*; free once that is dead
    lb3f9a/scratch           the directory of its logs, to be removed with it
    lb3f9a/kept              present when it is to stay after its maker
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from netns.inside import namespace_cookie
from netns.wait import wait_for

RECORDS = Path("/run/lbfast-netns")
NAMESPACES = Path("/run/netns")
RUN_DIRECTORIES = Path("/run/lbfast")  # where lbfast keeps one directory for each namespace


class Record:
    """The record of one build: its prefix, its scratch directory and the lock on both."""

    def __init__(self) -> None:
        """Make a record with a prefix nobody uses, and hold its lock."""
        with _guard():
            self.prefix = _unused_prefix()
            self.directory = RECORDS / self.prefix
            self.directory.mkdir(mode=0o700)
            self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.scratch = Path(tempfile.mkdtemp(prefix=f"lbfast-{self.prefix}-"))
        (self.directory / "scratch").write_text(str(self.scratch))

    def keep(self) -> None:
        """Let the build outlive this process, until `remove` is asked for by its prefix."""
        (self.directory / "kept").touch()

    def forget(self) -> None:
        """Remove namespaces, processes in them, scratch and record."""
        _remove(self.prefix)
        os.close(self._lock)


def kept() -> list[str]:
    """Return the prefixes of the builds that were left up on purpose."""
    return [p for p in _prefixes() if (RECORDS / p / "kept").exists()]


def remove(prefix: str) -> None:
    """Remove a build whose maker has gone; ValueError if it is in use or was never ours."""
    with _guard():
        if prefix not in _prefixes():
            raise ValueError(f"{prefix}: no network of that name was left here")
        if _in_use(prefix):
            raise ValueError(f"{prefix}: still in use by the process that built it")
        _remove(prefix)


def clean_leftovers() -> list[str]:
    """Remove what builds left behind whose maker died; return their prefixes."""
    if not RECORDS.is_dir():
        return []
    with _guard():
        dead = [p for p in _prefixes() if not (RECORDS / p / "kept").exists() and not _in_use(p)]
        for prefix in dead:
            _remove(prefix)
    return dead


def namespaces(prefix: str) -> list[str]:
    """Return the namespaces of a build, in no order."""
    if not NAMESPACES.is_dir():
        return []
    return [p.name for p in NAMESPACES.iterdir() if p.name.startswith(f"{prefix}-")]


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    with (RECORDS / ".guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _prefixes() -> list[str]:
    if not RECORDS.is_dir():
        return []
    return sorted(p.name for p in RECORDS.iterdir() if p.is_dir())


def _unused_prefix() -> str:
    while True:
        prefix = f"lb{secrets.token_hex(2)}"
        if not (RECORDS / prefix).exists() and not namespaces(prefix):
            return prefix


def _in_use(prefix: str) -> bool:
    try:
        lock = os.open(RECORDS / prefix / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(prefix: str) -> None:
    for name in namespaces(prefix):
        _end_processes(name)
        _remove_run_directory(name)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    record = RECORDS / prefix
    with contextlib.suppress(FileNotFoundError):
        scratch = Path((record / "scratch").read_text())
        if scratch.name.startswith(f"lbfast-{prefix}-"):
            shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(record, ignore_errors=True)


def _remove_run_directory(namespace: str) -> None:
    """Remove what an lbfast that was killed left in /run: nobody can use it any more."""
    with contextlib.suppress(OSError):
        directory = RUN_DIRECTORIES / f"ns-{namespace_cookie(NAMESPACES / namespace)}"
        if directory.is_mount():
            subprocess.run(["umount", "-l", str(directory)], check=False, capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)
        for file in (directory.name, f"{directory.name}+"):  # the second: a start was killed
            (RUN_DIRECTORIES / ".arena" / file).unlink(missing_ok=True)


def _end_processes(namespace: str) -> None:
    """End what runs in a namespace that we made: whatever is in there was started by us."""

    def gone() -> bool:
        pids = subprocess.run(
            ["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True
        ).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return not pids

    with contextlib.suppress(TimeoutError):
        wait_for(gone, timeout_s=10)
