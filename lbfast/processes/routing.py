"""The VRRP process as a child: instances, BFD sessions, and word of them to the parent."""

from __future__ import annotations

import dataclasses

from lbfast.model.configuration import Configuration
from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import channel as c
from lbfast.vrrp import dump
from lbfast.vrrp.actions import State
from lbfast.vrrp.service import VrrpService
from lbfast.vrrp.urgency import be_prompt


class Routing:
    """Implements `lbfast.processes.child.Work`."""

    title = "Keepalived_vrrp"

    def __init__(self) -> None:
        self._service: VrrpService | None = None
        self._keep_addresses = False

    async def start(self, setup: c.Setup, channel: c.Channel) -> str:
        self._keep_addresses = setup.keep_addresses

        def entered(instance: VrrpInstance, state: State) -> None:
            channel.send(c.State(instance.name, str(state)))

        def bfd_changed(session: str, is_up: bool) -> None:
            channel.send(c.Bfd(session, is_up))

        service = VrrpService(entered, bfd_changed)
        config = self._own(setup.configuration)
        were_up = frozenset(name for name, is_up in setup.sessions.items() if is_up)
        await service.start(config, setup.masters, were_up)
        self._service = service
        be_prompt()
        sessions = f", {len(config.bfds)} BFD sessions" if config.bfds else ""
        return f"VRRP instances {', '.join(i.name for i in config.instances) or 'none'}{sessions}"

    def _own(self, configuration: Configuration) -> VrrpConfig:
        config = configuration.vrrp
        settings = dataclasses.replace(config.settings, keep_addresses=self._keep_addresses)
        return dataclasses.replace(config, settings=settings)

    async def reload(self, old: Configuration, new: Configuration) -> None:
        assert self._service is not None
        await self._service.reload(self._own(old), self._own(new))

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
