"""Where log lines go: the terminal, the journal, a file, or the system's log."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from dataclasses import dataclass

SYSTEM_LOG = "/dev/log"
FACILITIES = {"user": 1, "daemon": 3, **{f"local{number}": 16 + number for number in range(8)}}
_PRIORITIES = {
    logging.DEBUG: 6,  # as with -D of keepalived, which tells details as information
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
_PATIENCE_S = 0.02  # with a system log that does not read: no process here may wait for it


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How to log; without a file or a facility: to standard error."""

    level: int = logging.INFO
    file: str = ""
    facility: str = ""  # of the system's log, one of FACILITIES
    is_silent: bool = False
    console: bool = False  # to standard error as well
    suffix: str = ""  # of the processes' names, for namespace and instance


class _Prioritized(logging.Formatter):
    """Puts <N> before a line: the journal takes its priority from there."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"<{_priority(record)}>{text}"


class SystemLog(logging.Handler):
    """The system's log by its socket, each line as syslog(3) of the C library writes it."""

    def __init__(self, path: str, facility: str, title: str) -> None:
        super().__init__()
        self._path, self._facility, self._title = path, FACILITIES[facility], title
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a line; to a log that was started anew by another try, else it is lost."""
        number = self._facility * 8 + _priority(record)
        moment = time.strftime("%b %e %H:%M:%S", time.localtime(record.created))
        line = f"<{number}>{moment} {self._title}[{os.getpid()}]: {self.format(record)}"
        for _ in range(2):
            sock = self._socket
            try:
                sock = self._connected()
                sock.send(line.encode(errors="replace"))
            except (TimeoutError, BlockingIOError):
                if sock is not None:
                    sock.settimeout(0)  # it is not waited for again before it reads
                return
            except OSError:
                self._forget()
            else:
                sock.settimeout(_PATIENCE_S)
                return

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_PATIENCE_S)
            self._socket.connect(self._path)
        return self._socket

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        self._forget()
        super().close()


def _priority(record: logging.LogRecord) -> int:
    return _PRIORITIES.get(record.levelno, 6)


def goes_to_journal() -> bool:
    """Returns whether standard error is a stream of the journal's."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def set_up(settings: LogSettings, title: str) -> None:
    """Sends the log lines of this process, called `title`, to where they belong.

    Raises OSError if the file cannot be written.
    """
    title += settings.suffix
    handlers: list[logging.Handler] = []
    if settings.file:
        handlers.append(logging.FileHandler(settings.file))
        line = f"%(asctime)s {title}[%(process)d]: %(message)s"
        handlers[-1].setFormatter(logging.Formatter(line, "%b %e %H:%M:%S"))
    if settings.facility and os.path.exists(SYSTEM_LOG):
        handlers.append(SystemLog(SYSTEM_LOG, settings.facility, title))
        handlers[-1].setFormatter(logging.Formatter("%(message)s"))
    if settings.console or not (handlers or settings.is_silent):
        handlers.append(_console())
    logging.basicConfig(
        level=settings.level, handlers=handlers or [logging.NullHandler()], force=True
    )


def _console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if goes_to_journal():
        handler.setFormatter(_Prioritized("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("lbfast: %(message)s"))
    return handler
