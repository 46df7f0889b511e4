"""Removing what killed directors left when their network namespaces are gone.

A director is called after the cookie of its network namespace, and the kernel gives no cookie
twice until it boots anew: once the namespace is gone, nobody takes over its arena.  What is not
certain to be gone stays: where processes may be out of sight, and under names chosen by hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lbfast.control import arena
from lbfast.control.rundir import network_namespace_name

CLONE_NEWNET = 0x40000000
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # its number in every kernel: all processes are seen there
VANISHED = (FileNotFoundError, ProcessLookupError)
PROC = Path("/proc")
_NAME = re.compile(r"ns-\d+")
_NETWORK = re.compile(r"net:\[(\d+)\]")
_OCTAL = re.compile(r"\\([0-7]{3})")

_libc = ctypes.CDLL(None, use_errno=True)
Handles = dict[int, list[str]]  # by inode of the namespace: paths that open it


def sweep(run: Path, own: str) -> list[str]:
    """Removes run directories in `run` and arenas of namespaces that are gone; returns the names.

    Works in a child process, which enters other namespaces.  `own` is left alone.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            arena.enter_lasting_mount_namespace()
            os.write(tell, " ".join(_sweep(run, own)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(tell)
    with open(told, encoding="utf-8") as said:
        names = said.read().split()
    os.waitpid(pid, 0)
    return names


def _sweep(run: Path, own: str) -> list[str]:
    found = candidates(run, arena.MOUNT_POINT)
    found.pop(own, None)
    if not found:
        return []
    alive = living()
    gone = [] if alive is None else sorted(found.keys() - alive)
    for path in (path for name in gone for path in found[name]):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return gone


def candidates(run: Path, arenas: Path) -> dict[str, list[Path]]:
    """Returns run directories and arenas by director, but for those of a running one."""
    found: dict[str, list[Path]] = {}
    for place in (run, arenas):
        with contextlib.suppress(*VANISHED):
            for path in place.iterdir():
                name = path.name.removesuffix(arena.UNFINISHED)
                if _NAME.fullmatch(name) and not path.is_symlink() and not _is_held(run / name):
                    found.setdefault(name, []).append(path)
    return found


def _is_held(directory: Path) -> bool:
    """Tells if a process with the pid noted there is alive.  Its lock is not asked for: who is
    about to claim the directory would be refused meanwhile."""
    try:
        pid = (directory / "pid").read_text().strip()
    except VANISHED:
        return False
    return pid.isdigit() and (PROC / pid).exists()


def living() -> set[str] | None:
    """Returns the directors' names of all network namespaces there are, None when one may be out
    of sight.  Enters each of them: the caller's process is left in one of them."""
    if os.stat(PROC / "self/ns/pid").st_ino != INITIAL_PID_NAMESPACE:
        return None
    try:
        names = {_name_within(inode, paths) for inode, paths in handles().items()}
    except OSError:
        return None
    return None if "" in names else names


def _name_within(inode: int, paths: list[str]) -> str:
    """Enters a namespace by one of the paths; returns its director's name, "" if none opens."""
    for path in paths:
        with contextlib.suppress(*VANISHED):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_ino == inode and _libc.setns(fd, CLONE_NEWNET) == 0:
                    return network_namespace_name()
            finally:
                os.close(fd)
    return ""


def handles(proc: Path = PROC) -> Handles:
    """Returns what keeps network namespaces alive: threads, open files and mounts."""
    found: Handles = {}
    seen: set[str] = set()  # mount namespaces
    for process in (entry for entry in os.scandir(proc) if entry.name.isdigit()):
        for link in (*_links(f"{process.path}/task", "ns/net"), *_links(f"{process.path}/fd")):
            with contextlib.suppress(*VANISHED):
                if match := _NETWORK.fullmatch(os.readlink(link)):
                    found.setdefault(int(match[1]), []).append(link)
        with contextlib.suppress(*VANISHED):
            mounts = os.readlink(f"{process.path}/ns/mnt")
            if mounts not in seen:
                for inode, path in _mounted(process.path):
                    found.setdefault(inode, []).append(path)
                seen.add(mounts)
    return found


def _links(directory: str, below: str = "") -> list[str]:
    try:
        return [os.path.join(directory, name, below).rstrip("/") for name in os.listdir(directory)]
    except VANISHED:
        return []


def _mounted(process: str) -> Iterator[tuple[int, str]]:
    """Yields the network namespaces that are mounted where a process can see them."""
    for line in Path(process, "mountinfo").read_text().splitlines():
        root, point = line.split()[3:5]
        if match := _NETWORK.fullmatch(root):
            plain = _OCTAL.sub(lambda code: chr(int(code[1], 8)), point)
            yield int(match[1]), f"{process}/root{plain}"
