"""The host that lbfast runs on, as the reading of a configuration asks about it."""

from __future__ import annotations

import ctypes
import errno
import glob
import grp
import os
import pwd
import shutil
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lbfast.notify.interpreter import flaw

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _interfaces() -> frozenset[str]:
    return frozenset(name for _, name in socket.if_nameindex())


def _interfaces_of(namespace: str) -> frozenset[str]:
    """Returns the interfaces of another namespace: a thread of its own enters it."""

    def enter_and_look() -> frozenset[str]:
        if _libc.setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
        return _interfaces()

    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(enter_and_look).result()
    finally:
        os.close(handle)


class System:
    """Implements `lbfast.config.host.Host`; interfaces are the namespace's, "" for our own.

    Names of hosts are looked up only if `looks_up`: a daemon does not wait for that.
    """

    def __init__(self, namespace: str = "", *, looks_up: bool = False) -> None:
        self._looks_up = looks_up
        self._interfaces = _interfaces_of(namespace) if namespace else None

    def read_lines(self, path: str) -> list[str]:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)  # a pipe would keep us waiting
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
        return [line.rstrip("\r") for line in text.split("\n")]

    def glob(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern))

    def is_plain_file(self, path: str) -> bool:
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) and not mode & 0o111

    def has_interface(self, name: str) -> bool:
        return name in (_interfaces() if self._interfaces is None else self._interfaces)

    def within(self, namespace: str) -> System:
        return System(namespace, looks_up=self._looks_up)

    def find_program(self, word: str) -> str:
        if "/" in word:
            return word if os.path.exists(word) else ""
        return shutil.which(word, path=os.environ.get("PATH", _PATH)) or ""

    def is_executable(self, path: str) -> bool:
        return os.path.isfile(path) and os.access(path, os.X_OK)

    def is_insecure(self, path: str) -> bool:
        real = Path(os.path.realpath(path))
        if not real.is_file():
            return True
        for part in (real, *real.parents):
            status = part.stat()
            is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            if status.st_uid != 0 or (status.st_mode & 0o022 and not is_sticky):
                return True
        return False

    def flaw(self, path: str) -> str:
        return flaw(path)

    def has_account(self, user: str, group: str) -> bool:
        try:
            pwd.getpwnam(user)
            if group:
                grp.getgrnam(group)
        except KeyError:
            return False
        return True

    def is_root(self, user: str) -> bool:
        try:
            return pwd.getpwnam(user).pw_uid == 0
        except KeyError:
            return False

    def network_name(self) -> str:
        return socket.gethostname()

    def has_address(self, server: str) -> bool:
        if not self._looks_up:
            return True
        try:
            return bool(socket.getaddrinfo(server, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            return False

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)
