"""The VRRP process as a child: instances, BFD sessions, and word of them to the parent."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from lbfast.model.configuration import Configuration
from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import channel as c
from lbfast.processes.balancing import LOST_S, ForwarderLink
from lbfast.processes.ownership import MASTER, standby
from lbfast.vrrp import dump
from lbfast.vrrp.actions import State
from lbfast.vrrp.service import VrrpService
from lbfast.vrrp.urgency import be_prompt

logger = logging.getLogger("lbfast")


class Routing:
    """Implements `lbfast.processes.child.Work`."""

    title = "Keepalived_vrrp"

    def __init__(self) -> None:
        self._service: VrrpService | None = None
        self._keep_addresses = False
        self._states: dict[str, str] = {}
        self._is_forwarder_lost = False

    async def start(self, setup: c.Setup, channel: c.Channel) -> str:
        self._keep_addresses = setup.keep_addresses
        self._configuration = setup.configuration
        self._link = ForwarderLink(Path(setup.control), self._forwarder_lost)
        self._states = dict.fromkeys(setup.masters, MASTER)

        def entered(instance: VrrpInstance, state: State) -> None:
            self._states[instance.name] = str(state)
            self._tell()
            channel.send(c.State(instance.name, str(state)))

        def bfd_changed(session: str, is_up: bool) -> None:
            channel.send(c.Bfd(session, is_up))

        service = VrrpService(entered, bfd_changed, self._settled)
        config = self._own(setup.configuration)
        were_up = frozenset(name for name, is_up in setup.sessions.items() if is_up)
        await service.start(config, setup.masters, were_up)
        self._service = service
        self._judge()
        be_prompt()
        sessions = f", {len(config.bfds)} BFD sessions" if config.bfds else ""
        return f"VRRP instances {', '.join(i.name for i in config.instances) or 'none'}{sessions}"

    def _own(self, configuration: Configuration) -> VrrpConfig:
        config = configuration.vrrp
        settings = dataclasses.replace(config.settings, keep_addresses=self._keep_addresses)
        return dataclasses.replace(config, settings=settings)

    async def reload(self, old: Configuration, new: Configuration) -> None:
        assert self._service is not None
        self._configuration = new
        await self._service.reload(self._own(old), self._own(new))
        self._tell()
        self._judge()

    async def _settled(self) -> None:
        """Returns when packets to our addresses are balanced; at once if nothing is."""
        if self._configuration.check.services:
            await self._link.settled()

    def _tell(self) -> None:
        self._link.tell(standby(self._configuration.vrrp, self._states))

    def _forwarder_lost(self, is_lost: bool) -> None:
        self._is_forwarder_lost = is_lost
        self._judge()

    def _judge(self) -> None:
        """Lets another director serve what nobody balances here."""
        is_missed = self._is_forwarder_lost and bool(self._configuration.check.services)
        if is_missed:
            logger.warning("no forwarder for %g s: giving up all instances", LOST_S)
        if self._service is not None:
            self._service.set_cause("no forwarder", is_missed)

    def hear(self, message: c.Message) -> None:
        pass

    def text(self, what: str) -> str:
        service = self._service
        if service is None:
            return ""
        if what == "clear":
            dump.clear_statistics(service)
            return ""
        return {"data": dump.text, "stats": dump.statistics, "json": dump.as_json}[what](service)

    async def stop(self, *, is_orphan: bool) -> None:
        if self._service is not None:
            await self._service.stop()
        self._link.close()
