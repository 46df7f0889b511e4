"""Routes and rules as the kernel tells about them, set beside lines of the configuration."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lbfast import rtnl
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import RTPROT_KEEPALIVED, Prefix, Route, Rule
from lbfast.model.vrrp import VrrpConfig
from lbfast.vrrp.routes import ACTIONS, INVERT, TYPES

GROUPS = (7, 11, 8, 19)  # routes and rules of IPv4 and IPv6: RTNLGRP_IPV4_ROUTE …
KINDS = frozenset((rtnl.DELROUTE, rtnl.DELRULE))
_RTMSG = struct.Struct("=BBBBBBBBI")  # of rules too: struct fib_rule_hdr
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE, _RTA_VIA = 1, 4, 5, 6, 15, 18
_FRA_DST, _FRA_SRC, _FRA_IIF, _FRA_PRIORITY, _FRA_FWMARK = 1, 2, 3, 6, 10
_FRA_TABLE, _FRA_OIF, _FRA_PROTOCOL = 15, 17, 21
_IP6_METRIC = 1024  # the kernel's choice for a route without one
Attributes = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class SeenRoute:
    """A route of the kernel, one way only."""

    family: int
    type: int
    dst: Prefix
    table: int
    tos: int
    metric: int
    via: bytes
    oif: int

    def is_of(self, route: Route, index_of: Callable[[str], int]) -> bool:
        """Say whether it is a line of the configuration."""
        default = _IP6_METRIC if route.family == AF_INET6 else 0
        return (
            self.dst == _masked(route.dst.addr, route.dst.length)
            and (self.family, self.table, self.tos) == (route.family, route.table, route.tos)
            and self.metric == (route.metric or default)
            and self.type == TYPES[route.type]
            and self.via == route.via
            and self.oif == index_of(route.device)
        )


@dataclass(frozen=True, slots=True)
class SeenRule:
    """A rule of the kernel."""

    family: int
    priority: int
    action: int
    is_inverted: bool
    tos: int
    table: int
    from_: Prefix
    to: Prefix
    iif: str
    oif: str
    fwmark: int

    def is_of(self, rule: Rule) -> bool:
        """Say whether it is a line of the configuration."""
        table = rule.table if rule.action == "table" and not rule.l3mdev else 0
        return (
            (self.family, self.priority) == (rule.family or AF_INET, rule.priority)
            and (self.action, self.table) == (ACTIONS[rule.action], table)
            and (self.is_inverted, self.tos) == (rule.invert, rule.tos)
            and (self.iif, self.oif) == (rule.iif, rule.oif)
            and self.from_ == _of_line(rule.from_)
            and self.to == _of_line(rule.to)
            and self.fwmark == (rule.fwmark or 0)
        )


Seen = SeenRoute | SeenRule


def _masked(addr: bytes, length: int) -> Prefix:
    """Return a prefix without host bits; the default has no address."""
    if not length:
        return Prefix()
    spare = len(addr) * 8 - length
    number = int.from_bytes(addr, "big") >> spare << spare
    return Prefix(number.to_bytes(len(addr), "big"), length)


def _of_line(prefix: Prefix | None) -> Prefix:
    return _masked(prefix.addr, prefix.length) if prefix else Prefix()


def _number(found: Attributes, kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), "little")


def _name(found: Attributes, kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _attributes(data: bytes, at: int, end: int) -> Attributes:
    return dict(rtnl.attributes(data, at + _RTMSG.size, end))


def parse(kind: int, data: bytes, at: int, end: int) -> Seen | None:
    """Return the route or rule of a message's body; None for what keepalived did not set."""
    if kind in (rtnl.NEWROUTE, rtnl.DELROUTE):
        return _route(data, at, end)
    if kind in (rtnl.NEWRULE, rtnl.DELRULE):
        return _rule(data, at, end)
    return None


def _route(data: bytes, at: int, end: int) -> SeenRoute | None:
    family, length, _, tos, table, protocol, _, what, _ = _RTMSG.unpack_from(data, at)
    if protocol != RTPROT_KEEPALIVED:
        return None
    found = _attributes(data, at, end)
    return SeenRoute(
        family,
        what,
        _masked(found.get(_RTA_DST, b""), length),
        _number(found, _RTA_TABLE) or table,
        tos,
        _number(found, _RTA_PRIORITY),
        found.get(_RTA_GATEWAY, b"") or found.get(_RTA_VIA, b"")[2:],
        _number(found, _RTA_OIF),
    )


def _rule(data: bytes, at: int, end: int) -> SeenRule | None:
    family, to_length, from_length, tos, table, _, _, action, flags = _RTMSG.unpack_from(data, at)
    found = _attributes(data, at, end)
    if _number(found, _FRA_PROTOCOL) != RTPROT_KEEPALIVED:
        return None
    return SeenRule(
        family,
        _number(found, _FRA_PRIORITY),
        action,
        flags & INVERT != 0,
        tos,
        _number(found, _FRA_TABLE) or table,
        _masked(found.get(_FRA_SRC, b""), from_length),
        _masked(found.get(_FRA_DST, b""), to_length),
        _name(found, _FRA_IIF),
        _name(found, _FRA_OIF),
        _number(found, _FRA_FWMARK),
    )


def are_tracked(config: VrrpConfig) -> bool:
    """Say whether the loss of some route or rule matters."""
    lines: list[Route | Rule] = [*config.static_routes, *config.static_rules]
    for instance in config.instances:
        lines += [*instance.routes, *instance.rules]
    return any(line.track for line in lines)


def read_all() -> Iterator[Seen]:
    """Yield the routes and rules that are there and bear keepalived's protocol."""
    with rtnl.open_socket() as sock:
        for asked in (rtnl.GETROUTE, rtnl.GETRULE):
            for data in rtnl.dump(sock, asked):
                for kind, _, at, end in rtnl.messages(data):
                    if (seen := parse(kind, data, at + 16, end)) is not None:
                        yield seen
