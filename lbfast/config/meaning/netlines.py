"""Routes and rules of instances and static blocks: what they refer to, and their preferences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lbfast.config.findings import Place
from lbfast.config.meaning.context import Context
from lbfast.model import AF_INET
from lbfast.model.netlines import Address, Route, Rule

_FIRST_PREFERENCE = 16384


@dataclasses.dataclass(slots=True)
class RulePriorities:
    """The preferences that rules without one get: downward, for each family."""

    _next: dict[int, int] = dataclasses.field(default_factory=dict)

    def take(self, family: int) -> int:
        value = self._next.get(family, _FIRST_PREFERENCE)
        self._next[family] = value - 1
        return value


def addresses(context: Context, lines: Iterable[tuple[Address, Place]]) -> tuple[Address, ...]:
    """Returns static addresses; without `dev` they are the default interface's."""
    default = context.globals.get("default_interface", "eth0")
    found = []
    for address, place in lines:
        device = address.device or default
        context.require_interface(device, place, "static address")
        found.append(dataclasses.replace(address, device=device))
    return tuple(found)


def routes(
    context: Context, lines: Iterable[tuple[tuple[Route, str], Place]]
) -> tuple[Route, ...]:
    """Returns the routes; one without an interface is not tracked."""
    found = []
    for (route, deprecated), place in lines:
        if deprecated:
            context.findings.error(place, f"{deprecated} in a route is deprecated", "still works")
        for device in (route.device, *(hop.device for hop in route.nexthops)):
            context.require_interface(device, place, "route")
        has_device = route.device or any(hop.device for hop in route.nexthops)
        if route.track and not has_device:
            context.findings.error(place, "route without dev", "it is not tracked")
            route = dataclasses.replace(route, track=False)
        found.append(route)
    return tuple(found)


def rules(
    context: Context, lines: Iterable[tuple[Rule, Place]], priorities: RulePriorities
) -> tuple[Rule, ...]:
    """Returns the rules, each with a preference."""
    found = []
    for rule, place in lines:
        for device in (rule.iif, rule.oif):
            context.require_interface(device, place, "rule")
        if not rule.priority:
            value = priorities.take(rule.family or AF_INET)
            context.findings.error(place, "rule without preference", f"{value} is used")
            rule = dataclasses.replace(rule, priority=value)
        found.append(rule)
    return tuple(found)
