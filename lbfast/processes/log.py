"""Where log lines go: the terminal, the journal, a file, or the system's log."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from logging.handlers import SysLogHandler

_SYSLOG = "/dev/log"
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How to log; without a file or a facility: to standard error."""

    level: int = logging.INFO
    file: str = ""
    facility: str = ""  # of the system's log: daemon, local0 …
    is_silent: bool = False


class _Prioritized(logging.Formatter):
    """Puts <N> before a line: the journal takes its priority from there."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}"


def goes_to_journal() -> bool:
    """Returns whether standard error is a stream of the journal's."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def set_up(settings: LogSettings, title: str) -> None:
    """Sends the log lines of this process, called `title`, to where they belong."""
    handler: logging.Handler
    if settings.is_silent:
        handler = logging.NullHandler()
    elif settings.file:
        handler = logging.FileHandler(settings.file)
        line = f"%(asctime)s {title}[%(process)d]: %(message)s"
        handler.setFormatter(logging.Formatter(line, "%b %e %H:%M:%S"))
    elif settings.facility and os.path.exists(_SYSLOG):
        handler = SysLogHandler(_SYSLOG, SysLogHandler.facility_names[settings.facility])
        handler.ident = f"{title}[{os.getpid()}]: "
    else:
        handler = logging.StreamHandler(sys.stderr)
        if goes_to_journal():
            handler.setFormatter(_Prioritized("%(message)s"))
        else:
            handler.setFormatter(logging.Formatter("lbfast: %(message)s"))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
