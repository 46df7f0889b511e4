"""The state of services, servers and checks as text, for SIGUSR1 and for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbfast.check.effects import ServiceStatus
from lbfast.check.names import server_name
from lbfast.check.running import Watch

_OK = {None: "unknown", True: "success", False: "failure"}


def text(services: Iterable[ServiceStatus], checks: Iterable[Watch]) -> str:
    """Returns one paragraph a service: its quorum, its servers, and their checks."""
    every = list(checks)
    return "".join(f"{line}\n" for service in services for line in _service(service, every))


def _service(service: ServiceStatus, checks: list[Watch]) -> Iterator[str]:
    config = service.config
    yield f"VS = {service.name}"
    yield f"   Quorum = {config.quorum}, hysteresis = {config.hysteresis}"
    state = "up" if service.has_quorum else "down"
    yield f"   Quorum state = {state}, weight = {service.total_weight}"
    if config.sorry is not None:
        active = "active" if service.sorry_is_active else "waiting"
        yield f"   Sorry server = {server_name(config, config.sorry.server.key)}, {active}"
    held = next(iter(service.table.values()), {})
    for key, server in service.servers.items():
        yield f"   RS = {server_name(config, key)}"
        yield f"     Alive = {_yes(server.alive)}, in table = {_yes(key in held)}"
        weight = f"weight = {server.weight}, configured = {server.config.server.weight}"
        yield f"     {weight}, failed checkers = {len(server.failed)}"
        for check in checks:
            if (config.key, key) in check.subscribers:
                last = check.last
                reason = f": {last.reason}" if last.reason else ""
                up = "up" if check.is_up else "down"
                yield f"     {check.kind} = {up}, last result = {_OK[last.ok]}{reason}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
