"""Lines of virtual_routes, static_routes, virtual_rules and static_rules (spec 2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbfast.config.networds import (
    IP_PROTOCOLS,
    PROTOCOLS,
    SCOPES,
    TABLES,
    UINT_MAX,
    Cursor,
    Fields,
    Step,
    apply_words,
    family_of,
    named_number,
    number,
    prefix,
    put,
    take,
    word_range,
)
from lbfast.config.values import Bad, Statement, packed
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import NextHop, Prefix, Route, Rule

ROUTE_TYPES = (
    "unicast", "local", "broadcast", "anycast", "multicast", "throw", "unreachable",
    "prohibit", "blackhole", "nat",
)  # fmt: skip
NUMBERED_METRICS = (
    "mtu", "advmss", "rtt", "rttvar", "reordering", "window", "cwnd", "ssthresh", "rto_min",
    "hoplimit", "initcwnd", "initrwnd", "quickack", "expires", "fastopen_no_cookie",
)  # fmt: skip
_WITH_ARGUMENT = ("congctl", "features", "pref", "ttl-propagate", "encap", "vrf")


def _table(word: str) -> int:
    return named_number(TABLES, UINT_MAX, wraps=True)(word)


def _metric(name: str) -> Step:
    def step(fields: Fields, words: Cursor) -> None:
        if words.peek() == "lock":
            words.take()
        word = words.take().removesuffix("ms").removesuffix("s")
        fields["metrics"] = (*fields.get("metrics", ()), (name, number(is_decimal=True)(word)))

    return step


def _via(fields: Fields, words: Cursor) -> None:
    word = words.take()
    if word in ("inet", "inet6"):
        word = words.take()
    fields["via"] = packed(word)


def _old_via(fields: Fields, words: Cursor) -> None:
    fields["deprecated"] = '"gw" (use "via")'
    _via(fields, words)


def _or(fields: Fields, words: Cursor) -> None:
    """`via A or B`: two next hops."""
    fields["deprecated"] = '"or" (use "nexthop")'
    second = NextHop(packed(words.take()))
    first = NextHop(fields.pop("via", b""), fields.get("device", ""))
    fields["nexthops"] = (*fields.get("nexthops", ()), first, second)


def _dst(fields: Fields, words: Cursor) -> None:
    fields["dst"] = prefix(words.take())


_NEXTHOP: Mapping[str, Step] = {
    "via": _via,
    "dev": take("device", str),
    "oif": take("device", str),
    "weight": take("weight", number(1, 256)),
    "onlink": put("onlink", True),
}


def _nexthop(fields: Fields, words: Cursor) -> None:
    hop: Fields = {}
    while words and words.peek() in _NEXTHOP:
        _NEXTHOP[words.take()](hop, words)
    if not hop:
        raise Bad("nexthop without words", "expected via or dev")
    fields["nexthops"] = (*fields.get("nexthops", ()), NextHop(**hop))


def _unused(name: str) -> Step:
    """A word with one argument that has no effect."""

    def step(fields: Fields, words: Cursor) -> None:
        words.take()
        fields.setdefault("unused", []).append(name)

    return step


def _route_realms(fields: Fields, words: Cursor) -> None:
    _realms(words.take())
    fields.setdefault("unused", []).append("realms")


def _prefix_of(name: str) -> Step:
    return take(name, prefix)


_ROUTE: Mapping[str, Step] = {
    **{kind: put("type", kind) for kind in ROUTE_TYPES},
    "inet": put("family", AF_INET),
    "inet6": put("family", AF_INET6),
    "src": take("src", packed),
    "to": _dst,
    "via": _via,
    "gw": _old_via,
    "or": _or,
    "dev": take("device", str),
    "oif": take("device", str),
    "table": take("table", _table),
    **{
        word: take("metric", number(is_decimal=True))
        for word in ("metric", "priority", "preference")
    },
    "scope": take("scope", named_number(SCOPES, 255)),
    **{word: take("protocol", named_number(PROTOCOLS, 255)) for word in ("protocol", "proto")},
    **{word: take("tos", number(0, 255, wraps=True)) for word in ("tos", "dsfield")},
    "from": _prefix_of("from_"),
    "onlink": put("onlink", True),
    "nexthop": _nexthop,
    **{name: _metric(name) for name in NUMBERED_METRICS},
    **{name: _unused(name) for name in _WITH_ARGUMENT},
    "realms": _route_realms,
    **{mode: put("mode", mode) for mode in ("add", "prepend", "append")},
    "no_track": put("track", False),
    "track_group": take("track_group", str),
}


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route as it was written."""

    route: Route
    deprecated: str = ""
    unused: tuple[str, ...] = ()  # words without effect


def route_line(line: Statement) -> RouteLine:
    """Returns the route that a line describes; Bad if it describes none."""
    words = Cursor(line)
    fields: Fields = {}
    while words:
        word = words.take()
        step = _ROUTE.get(word)
        if step is not None:
            step(fields, words)
        elif "dst" not in fields:
            words.back()
            _dst(fields, words)
        else:
            raise Bad(f"{word!r} in a route", "expected one of keepalived's route words")
    if "dst" not in fields:
        raise Bad("route without destination", "expected a prefix or default")
    deprecated = fields.pop("deprecated", "")
    unused = tuple(fields.pop("unused", ()))
    dst: Prefix = fields["dst"]
    hops = [hop.via for hop in fields.get("nexthops", ())]
    known = (dst.addr, fields.get("src", b""), fields.get("via", b""), *hops)
    fields.setdefault("family", family_of(*known))
    return RouteLine(Route(**fields), deprecated, unused)


def _fwmark(fields: Fields, words: Cursor) -> None:
    mark, slash, mask = words.take().partition("/")
    fields["fwmark"] = number()(mark)
    if slash:
        fields["fwmask"] = number()(mask)


def _lookup(fields: Fields, words: Cursor) -> None:
    fields["table"] = _table(words.take())
    if not fields["table"]:
        raise Bad("table 0", "expected another")
    fields["action"] = "table"


def _goto(fields: Fields, words: Cursor) -> None:
    fields["goto"] = number()(words.take())
    fields["action"] = "goto"


def _realms(word: str) -> int:
    first, slash, second = word.partition("/")
    half = number(0, 65535)
    return (half(first) << 16 | half(second)) if slash else half(first)


_ACTIONS = ("nop", "blackhole", "unreachable", "prohibit")
_RULE: Mapping[str, Step] = {
    "not": put("invert", True),
    "from": _prefix_of("from_"),
    "to": _prefix_of("to"),
    "table": _lookup,
    "lookup": _lookup,
    **{word: take("priority", number(1)) for word in ("priority", "order", "preference")},
    "fwmark": _fwmark,
    "iif": take("iif", str),
    "dev": take("iif", str),
    "oif": take("oif", str),
    **{word: take("tos", number(0, 255)) for word in ("tos", "dsfield")},
    "realms": take("realms", _realms),
    "goto": _goto,
    **{word: put("action", word) for word in _ACTIONS},
    "type": take("action", str),
    "suppress_prefixlength": take("suppress_prefixlength", number(0, 128)),
    "suppress_prefixlen": take("suppress_prefixlength", number(0, 128)),
    "suppress_ifgroup": take("suppress_ifgroup", number()),
    "suppress_group": take("suppress_ifgroup", number()),
    "uidrange": take("uid_range", word_range(UINT_MAX)),
    "l3mdev": put("l3mdev", True),
    "protocol": take("protocol", number(0, 255, is_decimal=True)),
    "ipproto": take("ip_proto", named_number(IP_PROTOCOLS, 255)),
    "sport": take("sport", word_range(65535)),
    "dport": take("dport", word_range(65535)),
    "inet": put("family", AF_INET),
    "inet6": put("family", AF_INET6),
    "no_track": put("track", False),
    "track_group": take("track_group", str),
}


def rule_line(line: Statement) -> Rule:
    """Returns the rule that a line describes, its priority 0 if it names none; Bad if none is."""
    words = Cursor(line)
    fields: Fields = {}
    apply_words(_RULE, fields, words, "a rule")
    ends = [fields[name].addr for name in ("from_", "to") if name in fields]
    sizes = {len(addr) for addr in ends if addr}
    if len(sizes) > 1:
        raise Bad("addresses of both families", "expected one")
    fields.setdefault("family", family_of(*ends))
    if "action" not in fields:
        raise Bad("rule without table", "expected a table, goto or nop")
    return Rule(**fields)
