"""What the control plane tells the data path about the world around it, as typing protocols.

`control/netlink.py` speaks to a `World` only; the data path's engine is one, a recorder in the
tests another.  Addresses and MACs are `bytes` in network order; an address's length is its family.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol


class LinkFlags(enum.IntFlag):
    UP = 1  # administratively up and with carrier
    LOOPBACK = 2
    NO_ARP = 4  # no neighbour resolution: NOARP or point-to-point


class RouteType(enum.IntEnum):
    """The kernel's RTN_* numbers."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9


class Route(NamedTuple):
    """One route as the data path takes it: the arguments of `World.route_add` in order."""

    table: int  # TABLE_LOCAL …, or FIRST_OTHER_TABLE and up for those that rules name
    dst: bytes
    prefixlen: int
    type: int
    oif: int
    gateway: bytes  # b"" on-link; may be of the other family
    prefsrc: bytes  # b"" none
    mtu: int  # 0: the link's
    metric: int


# The data path numbers its routing tables from 0; the kernel's 255, 254 and 253 come first.
TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT = 0, 1, 2
FIRST_OTHER_TABLE, TABLES = 3, 16
MAX_RULES = 64


class Rule(NamedTuple):
    """One policy rule: which table to ask for a packet.  Tried in order until one has a route."""

    family: int
    table: int
    src: bytes  # b"" with length 0: any
    src_len: int
    dst: bytes
    dst_len: int


class World(Protocol):
    """The data path's tables of links, addresses, routes and neighbours."""

    def link_set(
        self,
        ifindex: int,
        mac: bytes,
        mtu: int,
        flags: int,
        vlan_parent: int = 0,
        vlan_id: int = 0,
        /,
    ) -> None: ...

    def link_del(self, ifindex: int, /) -> None: ...
    def addr_add(self, ifindex: int, addr: bytes, prefixlen: int, /) -> None: ...
    def addr_del(self, ifindex: int, addr: bytes, /) -> None: ...

    def route_add(
        self,
        table: int,
        dst: bytes,
        prefixlen: int,
        type: int,
        oif: int,
        gateway: bytes,
        prefsrc: bytes,
        mtu: int,
        metric: int,
        /,
    ) -> None:
        """Adds a route, or replaces the one that differs in prefsrc and mtu alone."""

    def route_del(
        self,
        table: int,
        dst: bytes,
        prefixlen: int,
        type: int,
        oif: int,
        gateway: bytes,
        metric: int,
        /,
    ) -> object: ...

    def rules_replace(self, rules: list[Rule], /) -> None:
        """Sets the policy rules, in order; local, main, default before that."""

    def neigh_set(self, ifindex: int, addr: bytes, mac: bytes, /) -> None: ...
    def neigh_del(self, ifindex: int, addr: bytes, /) -> None: ...

    def requests(self) -> list[tuple[str, int, bytes]]:
        """Returns and forgets what the data path wants: ("neigh" or "used", ifindex, addr)."""

    def set_request_fd(self, fd: int, /) -> None:
        """Names the eventfd to write to when `requests` has something; -1: none."""
