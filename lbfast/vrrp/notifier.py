"""Tells scripts, FIFOs and mail what instances and groups have become (spec 4.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lbfast.errors import ConfigError
from lbfast.model.script import Script
from lbfast.model.vrrp import Notify, VrrpConfig
from lbfast.notify.fifo import EventFifo
from lbfast.notify.mail import Mailer
from lbfast.notify.program import Programs
from lbfast.vrrp.actions import State

logger = logging.getLogger(__name__)

_MAIL = {
    State.MASTER: ("Entering MASTER state", "is now owning VRRP VIPs"),
    State.BACKUP: ("Entering BACKUP state", "is no longer owning VRRP VIPs"),
    State.FAULT: ("Entering FAULT state", "is no longer owning VRRP VIPs"),
    State.STOP: ("Stopping", "is no longer owning VRRP VIPs"),
}


class Notifier:
    """Order on a transition: specific script, generic script, FIFO line, mail."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._programs = Programs(loop)
        self._loop = loop
        self._fifos: dict[str, EventFifo] = {}
        self._mailer: Mailer | None = None
        self._mailed = set(_MAIL)

    def configure(self, config: VrrpConfig) -> None:
        """Open the FIFOs of a configuration, close those it has no more."""
        wanted = {fifo.path: fifo for fifo in config.settings.fifos}
        for path, fifo in list(self._fifos.items()):
            if wanted.get(path) != fifo.fifo:
                self._fifos.pop(path).close()
        for path, wish in wanted.items():
            if path not in self._fifos:
                opened = EventFifo(self._loop, wish)
                try:
                    opened.open()
                except (OSError, ConfigError) as error:
                    logger.warning("%s: not opened: %s", path, error)
                    continue
                self._fifos[path] = opened
        silent = set() if config.settings.fault_mails else {State.FAULT}
        self._mailed = set(_MAIL) - silent
        if self._mailer is None or self._mailer.mail != config.mail:
            if self._mailer is not None:
                self._mailer.close()
            self._mailer = Mailer(config.mail)

    def entered(
        self, name: str, state: State, priority: int, notify: Notify, *, is_group: bool = False
    ) -> None:
        """Tell that an instance, or a group (with priority 0), has entered a state."""
        kind = "GROUP" if is_group else "INSTANCE"
        self._run(_SPECIFIC[state](notify))
        if notify.any is not None:
            self._run(notify.any, kind, name, str(state), str(priority))
        self._write(f'{kind} "{name}" {state} {priority}')
        if notify.smtp_alert and self._mailer is not None and state in self._mailed:
            subject, body = _MAIL[state]
            what = "Group" if is_group else "Instance"
            self._mailer.send(f"VRRP {what} {name} - {subject}", f"VRRP {what} {body}")

    def lower_heard(self, name: str, priority: int, notify: Notify) -> None:
        self._run(notify.master_rx_lower_pri)
        self._write(f'INSTANCE "{name}" MASTER_RX_LOWER_PRI {priority}')

    def priority_changed(self, name: str, state: State, priority: int, notify: Notify) -> None:
        if notify.priority_changes and state in (State.MASTER, State.BACKUP):
            self._write(f'INSTANCE "{name}" {state}_PRIORITY {priority}')

    def repeat(self, name: str, state: State, priority: int, *, is_group: bool = False) -> None:
        """Write a state again, after a reload that asks for it."""
        self._write(f'{"GROUP" if is_group else "INSTANCE"} "{name}" {state} {priority}')

    def _run(self, script: Script | None, *words: str) -> None:
        if script is not None:
            self._programs.run(script, *words)

    def _write(self, line: str) -> None:
        for fifo in self._fifos.values():
            fifo.write(line)

    def close(self) -> None:
        """Close everything; scripts that still run are left to end by themselves."""
        for fifo in self._fifos.values():
            fifo.close()
        self._fifos.clear()
        if self._mailer is not None:
            self._mailer.close()
            self._mailer = None


_SPECIFIC: dict[State, Callable[[Notify], Script | None]] = {
    State.MASTER: lambda notify: notify.master,
    State.BACKUP: lambda notify: notify.backup,
    State.FAULT: lambda notify: notify.fault,
    State.STOP: lambda notify: notify.stop,
    State.DELETED: lambda notify: notify.deleted,
    State.INIT: lambda notify: None,
}
