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
    """One route as the data path takes it; the arguments of `World.route_add` in order."""

    table: int  # the kernel's number: 255 local, 254 main, 253 default
    dst: bytes
    prefixlen: int
    type: int
    oif: int
    gateway: bytes  # b"" on-link; may be of the other family
    prefsrc: bytes  # b"" none
    mtu: int  # 0: the link's
    metric: int


class Rule(NamedTuple):
    """One policy rule that chooses a table by source, destination or incoming interface.

    Rules are tried in list order; the first whose table has a route other than `throw` decides.
    `type` other than UNICAST (blackhole, unreachable, prohibit) decides without a table.
    """

    family: int
    src: bytes
    src_prefixlen: int
    dst: bytes
    dst_prefixlen: int
    iif: int  # 0: any; the loopback index: packets of this host itself
    table: int
    type: int


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
    def addr_del(self, ifindex: int, addr: bytes, prefixlen: int, /) -> None: ...

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
        """Adds a route, or replaces the one of the same table, dst, prefixlen and metric."""

    def route_del(self, table: int, dst: bytes, prefixlen: int, metric: int, /) -> object: ...
    def routes_replace(self, routes: list[Route], /) -> None: ...

    def rules_replace(self, rules: list[Rule], /) -> None:
        """Sets the policy rules, in order; before that they are local, main, default."""

    def neigh_set(self, ifindex: int, addr: bytes, mac: bytes, /) -> None: ...
    def neigh_del(self, ifindex: int, addr: bytes, /) -> None: ...

    def requests(self) -> list[tuple[str, int, bytes]]:
        """Returns and forgets what the data path wants: ("neigh" or "used", ifindex, addr)."""

    def request_fd(self) -> int:
        """Returns an eventfd that is readable while `requests` has something."""
