"""Tells the world of events: scripts, FIFOs, mails and the log."""

from __future__ import annotations

import asyncio
import logging

from lbfast.check.actions import Alert, FifoLine, Note, Notice, RunScript
from lbfast.errors import ConfigError
from lbfast.model.check import CheckSettings
from lbfast.model.vrrp import Fifo
from lbfast.notify.fifo import EventFifo
from lbfast.notify.mail import Mailer
from lbfast.notify.program import Programs

logger = logging.getLogger(__name__)


class World:
    """What notices go to, by the settings of one configuration."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: CheckSettings,
        fifos: dict[Fifo, EventFifo] | None = None,
    ) -> None:
        """`fifos` are those that are open already; what the settings lack of them is closed."""
        self._loop = loop
        self._programs = Programs(loop)
        self._mailer = Mailer(settings.mail)
        self._fifos: dict[Fifo, EventFifo] = {}
        held = dict(fifos or {})
        kept = {fifo: held.pop(fifo) for fifo in settings.fifos if fifo in held}
        for gone in held.values():
            gone.close()
        for fifo in settings.fifos:
            opened = kept.get(fifo) or _open(loop, fifo)
            if opened is not None:
                self._fifos[fifo] = opened

    def replaced(self, settings: CheckSettings) -> World:
        """Returns what goes by other settings; FIFOs that stay, stay open."""
        self._mailer.close()
        return World(self._loop, settings, self._fifos)

    def tell(self, notice: Notice) -> None:
        match notice:
            case RunScript(script):
                self._programs.run(script)
            case FifoLine(text):
                for fifo in self._fifos.values():
                    fifo.write(text)
            case Alert(subject, body):
                self._mailer.send(subject, body)
            case Note(text):
                logger.info("%s", text)

    def close(self) -> None:
        self._mailer.close()
        for fifo in self._fifos.values():
            fifo.close()


def _open(loop: asyncio.AbstractEventLoop, fifo: Fifo) -> EventFifo | None:
    opened = EventFifo(loop, fifo)
    try:
        opened.open()
    except (ConfigError, OSError) as failed:
        logger.warning("FIFO not used: %s", failed)
        return None
    return opened
