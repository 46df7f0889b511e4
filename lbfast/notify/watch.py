"""Follows single files by inotify: content, creation, removal and replacement."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import struct
from collections.abc import Callable

logger = logging.getLogger(__name__)

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE = 0x100, 0x200
_EVENTS = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_CHUNK = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)


class FileWatcher:
    """Calls back whenever something happened to a file; its directory must exist."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
        self._directories: dict[str, int] = {}
        self._watched: dict[tuple[int, str], list[Callable[[], None]]] = {}
        loop.add_reader(self._fd, self._readable)

    def watch(self, path: str, changed: Callable[[], None]) -> None:
        """Adds a file, which need not exist; OSError if its directory does not."""
        directory, name = os.path.split(os.path.abspath(path))
        if directory not in self._directories:
            watch = _libc.inotify_add_watch(self._fd, os.fsencode(directory), _EVENTS)
            self._directories[directory] = _check(watch, directory)
        self._watched.setdefault((self._directories[directory], name), []).append(changed)

    def _readable(self) -> None:
        data = os.read(self._fd, _CHUNK)
        at = 0
        hit: dict[Callable[[], None], None] = {}  # each once, however many events there are
        while at < len(data):
            watch, _, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length
            hit.update(dict.fromkeys(self._watched.get((watch, name), ())))
        for changed in hit:
            changed()

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def read_number(path: str) -> int:
    """Returns the signed integer in a track file; 0 if there is no file or no number in it."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            words = file.read(64).split()
    except FileNotFoundError:
        return 0
    except OSError as failed:
        logger.warning("%s: not read, counts as 0: %s", path, failed.strerror)
        return 0
    try:
        return int(words[0]) if words else 0
    except ValueError:
        logger.warning("%s: %r is no number, counts as 0", path, words[0])
        return 0


def prepare(path: str, value: int, *, overwrite: bool) -> None:
    """Writes a track file's first value if the file is missing, or in any case; OSError."""
    with open(path, "w" if overwrite else "a", encoding="ascii") as file:
        if file.tell() == 0:
            file.write(f"{value}\n")
