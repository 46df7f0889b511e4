"""The kernel's routes and policy rules as the data path has them.

Limits.  Of a multipath route the first next hop whose link is up is used (IPVS, too, keeps one
next hop per destination).  Routes by TOS or IPv6 source, link-local and multicast ones are left
out; one through an encapsulation counts as unreachable.  A rule counts if it chooses a table by
source or destination; `iif` other than `lo`, `oif`, marks, ports and users never match what the
host itself sends, and what the data path sends is routed as that (so does IPVS); `not`, `goto`
and `suppress_*` are left out and named by `RuleTable.left_out`.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from lbfast.control.world import Route, RouteType, Rule, World

_CLONED = 0x200
_ENCAP_TYPES_NONE = (None, 0)
_DUMPED_TYPES = frozenset(RouteType) - {RouteType.MULTICAST}

_ALWAYS = {255, 254, 253}  # local, main, default

# The data path's limits.
TABLES, MAX_RULES = 16, 64


class Key(NamedTuple):
    table: int  # the kernel's number
    dst: bytes
    prefixlen: int
    metric: int


class Hop(NamedTuple):
    type: int
    oif: int
    gateway: bytes
    prefsrc: bytes
    mtu: int


def route_of(msg: Any) -> tuple[Key, list[Hop]] | None:
    """Reads an RTM_NEWROUTE or DELROUTE; None: a route the data path does not use."""
    family = msg["family"]
    if family not in (socket.AF_INET, socket.AF_INET6) or msg["flags"] & _CLONED:
        return None
    if msg["type"] not in _DUMPED_TYPES or msg["src_len"] or msg["tos"]:
        return None
    attrs = dict(msg["attrs"])
    dst = _address(family, attrs.get("RTA_DST"))
    if family == socket.AF_INET6 and msg["type"] == RouteType.UNICAST and _scoped(dst):
        return None
    key = Key(
        attrs.get("RTA_TABLE") or msg["table"],
        dst or bytes(4 if family == socket.AF_INET else 16),
        msg["dst_len"],
        attrs.get("RTA_PRIORITY") or 0,
    )
    prefsrc = _address(family, attrs.get("RTA_PREFSRC"))
    metrics = attrs.get("RTA_METRICS")
    mtu = (metrics.get_attr("RTAX_MTU") or 0) if metrics else 0
    hops = []
    for nh in attrs.get("RTA_MULTIPATH") or (msg,):
        nh_attrs = attrs if nh is msg else dict(nh["attrs"])
        oif = (nh_attrs.get("RTA_OIF") or 0) if nh is msg else nh["oif"]
        kind = msg["type"]
        if nh_attrs.get("RTA_ENCAP_TYPE") not in _ENCAP_TYPES_NONE:
            kind = RouteType.UNREACHABLE
        hops.append(Hop(int(kind), oif, _gateway(family, nh_attrs), prefsrc, mtu))
    return key, hops


def _scoped(dst: bytes) -> bool:
    """Tells whether an IPv6 destination is link-local or multicast."""
    return bool(dst) and (dst[0] == 0xFF or (dst[0] == 0xFE and dst[1] & 0xC0 == 0x80))


def _address(family: int, text: str | None) -> bytes:
    return socket.inet_pton(family, text) if text else b""


def _gateway(family: int, attrs: dict[str, Any]) -> bytes:
    if via := attrs.get("RTA_VIA"):
        return _address(via["family"], via["addr"])
    return _address(family, attrs.get("RTA_GATEWAY"))


class RouteTable:
    """Routes of all tables; those of tables that rules use are the world's.

    `link_up` tells whether an interface is up, for the choice among next hops.
    """

    def __init__(self, world: World, link_up: Callable[[int], bool]) -> None:
        self._world = world
        self._link_up = link_up
        self._hops: dict[Key, list[Hop]] = {}
        self._shown: dict[Key, Route] = {}
        self._tables = set(_ALWAYS)
        self._quiet = False
        self._multipath: set[Key] = set()

    def put(self, key: Key, hops: list[Hop], *, replace: bool) -> None:
        """Adds next hops to a route, or replaces all it had."""
        have = [] if replace else self._hops.get(key, [])
        self._set(key, have + [hop for hop in hops if hop not in have])

    def remove(self, key: Key, hops: list[Hop]) -> None:
        """Removes next hops of a route; IPv6 says a removed one without its MTU and source."""
        gone = {hop[:3] for hop in hops}
        self._set(key, [hop for hop in self._hops.get(key, []) if hop[:3] not in gone])

    def replace_all(self, routes: Iterable[tuple[Key, list[Hop]]]) -> None:
        """Makes the table what a dump says: by the differences, the first time as a whole."""
        new: defaultdict[Key, list[Hop]] = defaultdict(list)
        for key, hops in routes:
            new[key] += [hop for hop in hops if hop not in new[key]]
        self._quiet = not self._shown
        for key in self._hops.keys() - new.keys():
            self._set(key, [])
        for key, hops in new.items():
            if self._hops.get(key) != hops:
                self._set(key, hops)
        if self._quiet:
            self._quiet = False
            self._world.routes_replace(self.routes())

    def links_changed(self) -> None:
        """Chooses again among several next hops."""
        for key in self._multipath:
            self._show(key)

    def use_tables(self, numbers: Iterable[int]) -> list[int]:
        """Makes the tables that rules name the world's too; returns those beyond its limit."""
        wanted = [n for n in dict.fromkeys(numbers) if n not in _ALWAYS]
        tables = _ALWAYS | set(wanted[: TABLES - len(_ALWAYS)])
        changed = tables ^ self._tables
        self._tables = tables
        for key in [k for k in self._hops if k.table in changed]:
            if key.table in tables:
                self._show(key)
            else:
                self._withdraw(key)
        return wanted[TABLES - len(_ALWAYS) :]

    def routes(self) -> list[Route]:
        """Returns what the world has been told."""
        return list(self._shown.values())

    def __len__(self) -> int:
        return len(self._hops)

    def _set(self, key: Key, hops: list[Hop]) -> None:
        if not hops:
            self._hops.pop(key, None)
            self._multipath.discard(key)
            self._withdraw(key)
            return
        self._hops[key] = hops
        (self._multipath.add if len(hops) > 1 else self._multipath.discard)(key)
        self._show(key)

    def _show(self, key: Key) -> None:
        """Tells the world the chosen next hop, in the place of the one before."""
        if key.table not in self._tables:
            return
        hops = self._hops[key]
        hop = hops[0]
        if len(hops) > 1:
            hop = next((h for h in hops if h.oif == 0 or self._link_up(h.oif)), hop)
        route = Route(key.table, key.dst, key.prefixlen, *hop, key.metric)
        if route != self._shown.get(key):
            self._shown[key] = route
            if not self._quiet:
                self._world.route_add(*route)

    def _withdraw(self, key: Key) -> None:
        if self._shown.pop(key, None) and not self._quiet:
            self._world.route_del(*key)


# ---------------------------------------------------------------- policy rules

_INVERT = 0x2
_LOOPBACK = 1  # the index of lo, in every network namespace
_TO_TABLE = 1
_DECIDING = {6: RouteType.BLACKHOLE, 7: RouteType.UNREACHABLE, 8: RouteType.PROHIBIT}
_OTHER_SELECTORS = (
    "FRA_FWMARK", "FRA_OIFNAME", "FRA_TUN_ID", "FRA_UID_RANGE", "FRA_IP_PROTO",
    "FRA_SPORT_RANGE", "FRA_DPORT_RANGE", "FRA_L3MDEV", "FRA_FLOW",
)  # fmt: skip


class RuleTable:
    """Policy rules: asks the route table for the tables they name, then tells the world."""

    def __init__(self, world: World, routes: RouteTable) -> None:
        self._world = world
        self._routes = routes
        self._told: list[Rule] | None = None
        self.left_out: list[str] = []

    def replace_all(self, msgs: Iterable[Any]) -> None:
        """Takes a whole dump of rules, in any order."""
        self.left_out = []
        found = []
        for msg in sorted(msgs, key=lambda m: int(m.get_attr("FRA_PRIORITY") or 0)):
            if rule := self._rule(msg):
                found.append(rule)
        named = (rule.table for rule in found if rule.type == RouteType.UNICAST)
        refused = self._routes.use_tables(named)
        self.left_out += [f"table {n}: more than {TABLES} routing tables" for n in refused]
        rules = [rule for rule in found if rule.table not in refused]
        if len(rules) > MAX_RULES:
            self.left_out.append(f"{len(rules) - MAX_RULES} policy rules beyond {MAX_RULES}")
        if rules[:MAX_RULES] != self._told:
            self._told = rules[:MAX_RULES]
            self._world.rules_replace(list(self._told))

    def _rule(self, msg: Any) -> Rule | None:
        family, action = msg["family"], msg["action"]
        iif = msg.get_attr("FRA_IIFNAME")
        if family not in (socket.AF_INET, socket.AF_INET6) or iif not in (None, "lo"):
            return None
        if any(msg.get_attr(name) for name in _OTHER_SELECTORS):
            return None
        priority = msg.get_attr("FRA_PRIORITY") or 0
        suppress = msg.get_attr("FRA_SUPPRESS_PREFIXLEN")
        if msg["flags"] & _INVERT or suppress not in (None, 0xFFFFFFFF) or msg["tos"]:
            self.left_out.append(f"rule {priority}: only from, to and iif are followed")
            return None
        kind = _DECIDING.get(action, RouteType.UNICAST)
        if action != _TO_TABLE and action not in _DECIDING:
            self.left_out.append(f"rule {priority}: only tables and refusals are followed")
            return None
        table = msg.get_attr("FRA_TABLE") or msg["table"]
        src = _address(family, msg.get_attr("FRA_SRC"))
        dst = _address(family, msg.get_attr("FRA_DST"))
        from_here = _LOOPBACK if iif else 0
        lengths = msg["src_len"], msg["dst_len"]
        return Rule(family, src, lengths[0], dst, lengths[1], from_here, table, int(kind))
