"""Virtual routes and rules in the kernel; pyroute2 packs the messages."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES, fibmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from lbfast import rtnl
from lbfast.model import AF_INET
from lbfast.model.netlines import NextHop, Prefix, Route, Rule
from lbfast.vrrp.kernel import GONE, Request, text_of

_NETLINK_HEADER = 16
_APPEND = 0x800
_MODES = {"add": rtnl.CREATE | rtnl.EXCL, "prepend": rtnl.CREATE, "append": rtnl.CREATE | _APPEND}
TYPES = {
    "unicast": 1,
    "local": 2,
    "broadcast": 3,
    "anycast": 4,
    "multicast": 5,
    "blackhole": 6,
    "unreachable": 7,
    "prohibit": 8,
    "throw": 9,
    "nat": 10,
}
_SCOPE_LINK, _SCOPE_HOST = 253, 254
_ONLINK = 4
INVERT = 2  # FIB_RULE_INVERT
ACTIONS = {
    "table": FR_ACT_NAMES["FR_ACT_TO_TBL"],
    **{
        word: FR_ACT_NAMES[f"FR_ACT_{word.upper()}"]
        for word in ("goto", "nop", "blackhole", "unreachable", "prohibit")
    },
}
_EXISTS = frozenset((errno.EEXIST,))
_SCALED = {"rtt": 8, "rttvar": 4}  # the kernel keeps eighths and quarters of milliseconds
_OWN_ATTRIBUTES = {"realms": "RTA_FLOW", "pref": "RTA_PREF"}
IndexOf = Callable[[str], int]


def _payload(message: Any) -> bytes:
    message.encode()
    return bytes(message.data)[_NETLINK_HEADER:]


def default_scope(route: Route) -> int:
    """Return the scope that ip(8) gives a route without one."""
    if route.scope is not None:
        return route.scope
    if route.family != AF_INET:
        return 0
    if route.type == "local":
        return _SCOPE_HOST
    has_gateway = route.via or any(hop.via for hop in route.nexthops)
    return _SCOPE_LINK if route.type == "unicast" and not has_gateway else 0


def _gateway(addr: bytes, family: int) -> tuple[str, Any]:
    if (len(addr) == 4) == (family == AF_INET):
        return "RTA_GATEWAY", text_of(addr)
    return "RTA_VIA", {"family": 2 if len(addr) == 4 else 10, "addr": text_of(addr)}


def _next_hop(hop: NextHop, family: int, index_of: IndexOf) -> dict[str, Any]:
    gateway = [_gateway(hop.via, family)] if hop.via else []
    return {
        "oif": index_of(hop.device) if hop.device else 0,
        "hops": hop.weight - 1,
        "flags": _ONLINK if hop.onlink else 0,
        "attrs": gateway,
    }


def _route_message(route: Route, index_of: IndexOf) -> Any:
    message = rtmsg()
    message["family"] = route.family
    message["dst_len"] = route.dst.length
    message["src_len"] = route.from_.length if route.from_ else 0
    message["tos"] = route.tos
    message["table"] = route.table if route.table < 256 else 0
    message["proto"] = route.protocol
    message["scope"] = default_scope(route)
    message["type"] = TYPES[route.type]
    message["flags"] = _ONLINK if route.onlink else 0
    attrs: list[tuple[str, Any]] = [("RTA_TABLE", route.table)]
    if route.dst.addr:
        attrs.append(("RTA_DST", text_of(route.dst.addr)))
    if route.from_ and route.from_.addr:
        attrs.append(("RTA_SRC", text_of(route.from_.addr)))
    if route.via:
        attrs.append(_gateway(route.via, route.family))
    if route.device:
        attrs.append(("RTA_OIF", index_of(route.device)))
    if route.src:
        attrs.append(("RTA_PREFSRC", text_of(route.src)))
    if route.metric:
        attrs.append(("RTA_PRIORITY", route.metric))
    hops = [_next_hop(hop, route.family, index_of) for hop in route.nexthops]
    if hops:
        attrs.append(("RTA_MULTIPATH", hops))
    message["attrs"] = attrs + _metrics(route)
    return message


def _metrics(route: Route) -> list[tuple[str, Any]]:
    own = [
        (_OWN_ATTRIBUTES[word], value) for word, value in route.metrics if word in _OWN_ATTRIBUTES
    ]
    metrics = [
        (f"RTAX_{word.upper()}", value * _SCALED.get(word, 1))
        for word, value in route.metrics
        if word not in _OWN_ATTRIBUTES
    ]
    return [*own, ("RTA_METRICS", {"attrs": metrics})] if metrics else list(own)


def route_text(route: Route) -> str:
    return f"route {_prefix_text(route.dst)}"


def _prefix_text(prefix: Prefix) -> str:
    return f"{text_of(prefix.addr)}/{prefix.length}" if prefix.addr else "default"


def add_route(route: Route, index_of: IndexOf) -> Request:
    """Return the request that installs a route; one that is there stays."""
    payload = _payload(_route_message(route, index_of))
    doing = f"adding {route_text(route)}"
    return Request(rtnl.NEWROUTE, _MODES[route.mode], payload, doing, _EXISTS)


def remove_route(route: Route, index_of: IndexOf) -> Request:
    """Return the request that removes a route; one that is not there is no error."""
    payload = _payload(_route_message(route, index_of))
    return Request(rtnl.DELROUTE, 0, payload, f"removing {route_text(route)}", GONE)


def _rule_message(rule: Rule) -> Any:
    message = fibmsg()
    message["family"] = rule.family
    message["dst_len"] = rule.to.length if rule.to else 0
    message["src_len"] = rule.from_.length if rule.from_ else 0
    message["tos"] = rule.tos
    has_table = rule.action == "table" and not rule.l3mdev
    message["table"] = rule.table if has_table and rule.table < 256 else 0
    message["action"] = ACTIONS[rule.action]
    message["flags"] = INVERT if rule.invert else 0
    attrs: list[tuple[str, Any]] = [
        ("FRA_PRIORITY", rule.priority),
        ("FRA_PROTOCOL", rule.protocol),
    ]
    if has_table:
        attrs.append(("FRA_TABLE", rule.table))
    for name, prefix in (("FRA_SRC", rule.from_), ("FRA_DST", rule.to)):
        if prefix and prefix.addr:
            attrs.append((name, text_of(prefix.addr)))
    for name, value in _rule_values(rule):
        if value is not None:
            attrs.append((name, value))
    message["attrs"] = attrs
    return message


def _rule_values(rule: Rule) -> tuple[tuple[str, Any], ...]:
    def span(pair: tuple[int, int] | None) -> str | None:
        return f"{pair[0]}:{pair[1]}" if pair else None

    return (
        ("FRA_GOTO", rule.goto or None),
        ("FRA_FWMARK", rule.fwmark),
        ("FRA_FWMASK", rule.fwmask),
        ("FRA_IIFNAME", rule.iif or None),
        ("FRA_OIFNAME", rule.oif or None),
        ("FRA_SUPPRESS_PREFIXLEN", rule.suppress_prefixlength),
        ("FRA_SUPPRESS_IFGROUP", rule.suppress_ifgroup),
        ("FRA_UID_RANGE", span(rule.uid_range)),
        ("FRA_L3MDEV", 1 if rule.l3mdev else None),
        ("FRA_IP_PROTO", rule.ip_proto or None),
        ("FRA_SPORT_RANGE", span(rule.sport)),
        ("FRA_DPORT_RANGE", span(rule.dport)),
        ("FRA_FLOW", rule.realms or None),
    )


def add_rule(rule: Rule) -> Request:
    """Return the request that installs a rule; one that is there stays."""
    payload = _payload(_rule_message(rule))
    doing = f"adding rule {rule.priority}"
    return Request(rtnl.NEWRULE, rtnl.CREATE | rtnl.EXCL, payload, doing, _EXISTS)


def remove_rule(rule: Rule) -> Request:
    """Return the request that removes a rule; one that is not there is no error."""
    payload = _payload(_rule_message(rule))
    return Request(rtnl.DELRULE, 0, payload, f"removing rule {rule.priority}", GONE)
