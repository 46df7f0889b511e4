"""What the VRRP process does while there is no forwarder."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

from lbfast.model.configuration import Configuration
from lbfast.processes.routing import Routing
from lbfast.vrrp.service import VrrpService


class Service:
    """Takes note of what is said to a VrrpService."""

    def __init__(self) -> None:
        self.is_missed = False

    def set_cause(self, cause: str, is_down: bool) -> None:
        self.is_missed = is_down

    async def reload(self, old: object, new: object) -> None:
        pass


class Link:
    """Takes what would be told to a forwarder."""

    def tell(self, standby: frozenset[bytes]) -> None:
        pass


def configuration(services: int) -> Configuration:
    empty = Configuration()
    check = dataclasses.replace(empty.check, services=cast(Any, (object(),) * services))
    return dataclasses.replace(empty, check=check)


def routing(services: int) -> tuple[Routing, Service]:
    made, service = Routing(), Service()
    made._service = cast(VrrpService, service)
    made._link = cast(Any, Link())
    made._configuration = configuration(services)
    return made, service


def test_instances_come_back_though_the_virtual_servers_are_gone_meanwhile() -> None:
    made, service = routing(1)
    made._forwarder_lost(True)
    assert service.is_missed
    asyncio.run(made.reload(configuration(1), configuration(0)))
    assert not service.is_missed


def test_a_reload_that_brings_virtual_servers_misses_the_forwarder() -> None:
    made, service = routing(0)
    made._forwarder_lost(True)
    assert not service.is_missed
    asyncio.run(made.reload(configuration(0), configuration(1)))
    assert service.is_missed
    made._forwarder_lost(False)
    assert not service.is_missed
