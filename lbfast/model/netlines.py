"""Address, route and rule lines of keepalived's blocks, as frozen values (spec 2.7)."""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.model import AF_INET

FOREVER = 0xFFFFFFFF  # preferred lifetime
RT_TABLE_MAIN = 254
RTPROT_KEEPALIVED = 18
SCOPE_UNIVERSE = 0


@dataclass(frozen=True, slots=True)
class Prefix:
    """An address with the length of its prefix; `Prefix(b"", 0)` is everything (default)."""

    addr: bytes = b""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """A line of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress."""

    addr: bytes
    prefixlen: int
    device: str = ""  # empty: the instance's interface, or its virtual MAC's
    broadcast: bytes = b""  # `brd +` and `brd -` are already worked out; empty: none
    scope: int = SCOPE_UNIVERSE
    label: str = ""
    peer: Prefix | None = None
    use_vmac: bool = False
    home: bool = False
    nodad: bool = True  # IPv6
    mngtmpaddr: bool = False
    noprefixroute: bool = False
    autojoin: bool = False
    track: bool = True  # False: `no_track`
    preferred_lft_s: int | None = None  # None: 0 for an IPv6 /128, else for ever
    track_group: str = ""


@dataclass(frozen=True, slots=True)
class NextHop:
    """One `nexthop` of a route."""

    via: bytes = b""
    device: str = ""
    weight: int = 1
    onlink: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A line of virtual_routes or static_routes."""

    family: int = AF_INET
    type: str = "unicast"  # a word of `ip route`: unicast, blackhole, unreachable …
    dst: Prefix = Prefix()
    via: bytes = b""  # may be of the other family
    device: str = ""
    src: bytes = b""  # preferred source
    from_: Prefix | None = None
    table: int = RT_TABLE_MAIN
    metric: int = 0
    scope: int | None = None  # None: as `ip route` chooses
    protocol: int = RTPROT_KEEPALIVED
    tos: int = 0
    onlink: bool = False
    metrics: tuple[tuple[str, int], ...] = ()  # mtu, advmss, rtt …: word and value
    nexthops: tuple[NextHop, ...] = ()
    mode: str = "prepend"  # add, prepend or append
    track: bool = True
    track_group: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of virtual_rules or static_rules."""

    family: int = AF_INET
    priority: int = 0  # never 0: the configuration has assigned one
    invert: bool = False  # `not`
    from_: Prefix | None = None
    to: Prefix | None = None
    table: int = RT_TABLE_MAIN
    action: str = "table"  # table, goto, nop, blackhole, unreachable or prohibit
    goto: int = 0
    fwmark: int | None = None
    fwmask: int | None = None
    iif: str = ""
    oif: str = ""
    tos: int = 0
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    uid_range: tuple[int, int] | None = None
    l3mdev: bool = False
    protocol: int = RTPROT_KEEPALIVED
    ip_proto: int = 0
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    realms: int = 0
    track: bool = True
    track_group: str = ""
