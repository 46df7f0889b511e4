"""Routes and rules of instances and static blocks: what they refer to, and their preferences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lbfast.config.findings import Place
from lbfast.config.meaning.context import Context
from lbfast.config.routes import RouteLine
from lbfast.model import AF_INET
from lbfast.model.netlines import RTPROT_KEEPALIVED, Address, Route, Rule

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


def routes(context: Context, lines: Iterable[tuple[RouteLine, Place]]) -> tuple[Route, ...]:
    """Returns the routes; one without an interface is not tracked."""
    found = []
    for line, place in lines:
        route = line.route
        if line.deprecated:
            context.findings.error(
                place, f"{line.deprecated} in a route is deprecated", "still works"
            )
        for word in line.unused:
            context.findings.note(
                place, f"{word} of a route has no effect here", "the route is set without it"
            )
        for device in (route.device, *(hop.device for hop in route.nexthops)):
            context.require_interface(device, place, "route")
        found.append(_tracked(context, _of_family(context, route, place), place))
    return tuple(found)


def _of_family(context: Context, route: Route, place: Place) -> Route:
    """Leaves out what IPv4 routes do not have."""
    kept = tuple(pair for pair in route.metrics if pair[0] != "expires")
    if route.family == AF_INET and len(kept) != len(route.metrics):
        context.findings.error(place, "expires of an IPv4 route", "ignored")
        return dataclasses.replace(route, metrics=kept)
    return route


def _tracked(context: Context, route: Route, place: Place) -> Route:
    """Settles what can be watched: a route of an interface, under keepalived's own protocol."""
    if not route.track:
        return route
    if route.protocol != RTPROT_KEEPALIVED:
        context.findings.error(
            place, f"protocol {route.protocol} of a route without no_track",
            f"{RTPROT_KEEPALIVED} is used",
        )  # fmt: skip
        route = dataclasses.replace(route, protocol=RTPROT_KEEPALIVED)
    if not route.device:  # several hops are not watched either
        context.findings.error(place, "route without dev", "it is not tracked")
        route = dataclasses.replace(route, track=False)
    return route


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
        if rule.track and rule.protocol != RTPROT_KEEPALIVED:
            context.findings.error(
                place, f"protocol {rule.protocol} of a rule without no_track",
                f"{RTPROT_KEEPALIVED} is used",
            )  # fmt: skip
            rule = dataclasses.replace(rule, protocol=RTPROT_KEEPALIVED)
        found.append(rule)
    return tuple(found)
