"""Tracked files: one number each, followed by inotify (spec 2.5)."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from lbfast.model.vrrp import TrackFile

logger = logging.getLogger(__name__)

_CLOEXEC, _NONBLOCK = 0o2000000, 0o4000
# close after writing, created, deleted, moved in and out, the directory itself gone
_EVENTS = 0x8 | 0x100 | 0x200 | 0x80 | 0x40 | 0x400
_MAX_TEXT = 64
_BUFFER = 65536


def read_value(path: str) -> int:
    """Return the number in a file; 0 if there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return int(file.read(_MAX_TEXT).split()[0])
    except OSError:
        return 0
    except (ValueError, IndexError):
        logger.warning("%s: no number in it, 0 is taken", path)
        return 0


def prepare(config: TrackFile) -> None:
    """Create or overwrite a file as `init_file` asks; what cannot be done is logged."""
    if config.init_value is None:
        return
    if os.path.lexists(config.path) and not config.overwrite:
        return
    try:
        Path(config.path).write_text(f"{config.init_value}\n")
    except OSError as error:
        logger.warning("%s: not written: %s", config.path, error.strerror)


class FileWatch:
    """Watches the directories of the files, so that new and removed files are seen too."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        files: Iterable[TrackFile],
        on_value: Callable[[str, int], None],
    ) -> None:
        """`on_value` gets the object's name and its number, first during `start`."""
        self._loop, self._files, self._on_value = loop, tuple(files), on_value
        self._values: dict[str, int] = {}
        self._fd = -1

    def start(self) -> None:
        if not self._files:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_CLOEXEC | _NONBLOCK)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify: {os.strerror(code)}")
        for config in self._files:
            prepare(config)
        for folder in sorted({os.path.dirname(config.path) or "." for config in self._files}):
            if libc.inotify_add_watch(self._fd, os.fsencode(folder), _EVENTS) < 0:
                reason = os.strerror(ctypes.get_errno())
                logger.warning("%s: changes of its files are not seen: %s", folder, reason)
        self._loop.add_reader(self._fd, self._event)
        self._read_all()

    def _event(self) -> None:
        try:
            while os.read(self._fd, _BUFFER):
                pass
        except BlockingIOError:
            self._read_all()

    def _read_all(self) -> None:
        for config in self._files:
            value = read_value(config.path)
            if self._values.get(config.name) != value:
                self._values[config.name] = value
                self._on_value(config.name, value)

    def stop(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
