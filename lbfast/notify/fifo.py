"""A named pipe that gets a line for every event, and the program that reads it."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import signal
import stat

from lbfast.errors import ConfigError
from lbfast.model.vrrp import Fifo
from lbfast.notify.program import Program, spawn

logger = logging.getLogger(__name__)

_MODE = 0o600


class EventFifo:
    """Open for reading too, so that a missing reader is no error and no end of file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fifo: Fifo) -> None:
        self.fifo = fifo
        self._loop = loop
        self._fd = -1
        self._reader: Program | None = None
        self._is_full = False

    def open(self) -> None:
        """Makes the pipe if it is missing, and starts its reader.

        ConfigError if the path is something else, OSError if it cannot be made.
        """
        path = self.fifo.path
        if not os.path.lexists(path):
            os.mkfifo(path, _MODE)
            if self.fifo.user:
                os.chown(path, *_owner(self.fifo))
        elif not stat.S_ISFIFO(os.stat(path).st_mode):
            raise ConfigError(f"{path}: is no FIFO")
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fifo.script is not None:
            process = spawn(self.fifo.script, path)
            self._reader = Program(self._loop, process, self._reader_ended)

    def _reader_ended(self, status: int) -> None:
        self._reader = None
        logger.warning("%s: its reader ended with status %d", self.fifo.path, status)

    def write(self, line: str) -> None:
        """Writes one event, all or nothing; what no one reads is dropped when the pipe is full."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, line.encode() + b"\n")
            self._is_full = False
        except BlockingIOError:
            if not self._is_full:
                logger.warning("%s: full, events are lost", self.fifo.path)
            self._is_full = True

    def close(self) -> None:
        if self._reader is not None:
            self._reader.signal(signal.SIGTERM)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _owner(fifo: Fifo) -> tuple[int, int]:
    try:
        user = pwd.getpwnam(fifo.user)
        group = grp.getgrnam(fifo.group).gr_gid if fifo.group else user.pw_gid
    except KeyError as unknown:
        raise ConfigError(f"{fifo.path}: no such account: {unknown.args[0]}") from None
    return user.pw_uid, group
