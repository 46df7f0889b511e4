"""Doing something inside a network namespace without another process."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x40000000


def inside(path: Path, work: Callable[[], T]) -> T:
    """Return what `work` returns in the namespace bound to `path`; a socket it makes stays there.

    OSError if the namespace cannot be entered.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def enter() -> None:  # in a thread of its own: setns changes the calling thread alone
        try:
            _enter(path)
            done.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def namespace_cookie(path: Path) -> int:
    """Return the number by which the kernel knows a namespace."""
    return inside(path, _own_cookie)


def _own_cookie() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        raw = probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    return int.from_bytes(raw, sys.byteorder)


def _enter(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"setns {path}: {os.strerror(number)}")
    finally:
        os.close(fd)
