"""The number by which the kernel knows a network namespace."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from pathlib import Path

SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x40000000


def namespace_cookie(path: Path) -> int:
    """Return the cookie of the namespace bound to `path`; OSError if it cannot be entered."""
    found: list[int] = []
    failed: list[OSError] = []

    def enter() -> None:  # in a thread of its own: setns changes the calling thread alone
        try:
            found.append(_enter(path))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _enter(path: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"setns {path}: {os.strerror(number)}")
    finally:
        os.close(fd)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        raw = probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    return int.from_bytes(raw, sys.byteorder)
