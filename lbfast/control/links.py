"""The kernel's links and addresses as the data path has them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lbfast.control.world import LinkFlags, World

_IFF_UP, _IFF_LOOPBACK, _IFF_POINTOPOINT, _IFF_NOARP, _IFF_LOWER_UP = 1, 0x8, 0x10, 0x80, 0x10000
_ARPHRD_ETHER = 1
_TENTATIVE = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED
_OPTIMISTIC = 0x04

# Kinds of master whose ports' frames belong to the master; a VRF's are still the port's own.
_TAKING_MASTERS = frozenset(("bridge", "bond", "team", "openvswitch", "hsr"))


@dataclass(frozen=True, slots=True)
class Link:
    ifindex: int
    name: str
    mac: bytes
    mtu: int
    flags: LinkFlags
    ethernet: bool
    kind: str = ""  # of rtnetlink: veth, bridge, vlan, macvlan …; "" for hardware
    master: int = 0
    parent: int = 0  # the interface a VLAN is on
    vlan_id: int = 0

    @property
    def up(self) -> bool:
        return LinkFlags.UP in self.flags


def link_of(msg: Any) -> Link:
    """Reads an RTM_NEWLINK."""
    flags = LinkFlags(0)
    # LOWER_UP is the carrier; RUNNING follows it up to a second later.
    if msg["flags"] & _IFF_UP and msg["flags"] & _IFF_LOWER_UP:
        flags |= LinkFlags.UP
    if msg["flags"] & _IFF_LOOPBACK:
        flags |= LinkFlags.LOOPBACK
    if msg["flags"] & (_IFF_NOARP | _IFF_POINTOPOINT):
        flags |= LinkFlags.NO_ARP
    info = msg.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") or "") if info else ""
    data = info.get_attr("IFLA_INFO_DATA") if kind == "vlan" else None
    mac = msg.get_attr("IFLA_ADDRESS") or ""
    return Link(
        ifindex=msg["index"],
        name=msg.get_attr("IFLA_IFNAME") or "",
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=msg.get_attr("IFLA_MTU") or 0,
        flags=flags,
        ethernet=msg["ifi_type"] == _ARPHRD_ETHER,
        kind=kind,
        master=msg.get_attr("IFLA_MASTER") or 0,
        parent=(msg.get_attr("IFLA_LINK") or 0) if data else 0,
        vlan_id=(data.get_attr("IFLA_VLAN_ID") or 0) if data else 0,
    )


def steerable(links: dict[int, Link]) -> dict[int, str]:
    """Returns the interfaces a director without -i works on, by ifindex.

    Every Ethernet interface but those whose frames belong to a master that is an interface itself
    (the ports of a bridge, the slaves of a bond) and VLANs, whose frames are seen on their parent.
    """
    return {
        link.ifindex: link.name
        for link in links.values()
        if link.ethernet
        and LinkFlags.LOOPBACK not in link.flags
        and not (link.vlan_id and link.parent in links)
        and not (link.master in links and links[link.master].kind in _TAKING_MASTERS)
    }


class LinkTable:
    """Links: tells the world what changed, and `on_change` of every change (None: it is gone)."""

    def __init__(self, world: World, on_change: Callable[[int, Link | None], None]) -> None:
        self._world = world
        self._on_change = on_change
        self.links: dict[int, Link] = {}

    def put(self, link: Link) -> None:
        old = self.links.get(link.ifindex)
        if link == old:
            return
        self.links[link.ifindex] = link
        if old is None or _shown(old) != _shown(link):
            self._world.link_set(link.ifindex, *_shown(link))
        self._on_change(link.ifindex, link)

    def remove(self, ifindex: int) -> None:
        if self.links.pop(ifindex, None):
            self._world.link_del(ifindex)
            self._on_change(ifindex, None)

    def keep_only(self, seen: set[int]) -> None:
        for ifindex in self.links.keys() - seen:
            self.remove(ifindex)


def _shown(link: Link) -> tuple[bytes, int, int, int, int]:
    """Returns what the data path is told of a link; a MAC that is not Ethernet's is none."""
    mac = link.mac if len(link.mac) == 6 else bytes(6)
    return mac, link.mtu, int(link.flags), link.parent, link.vlan_id


Address = tuple[int, bytes, int]  # ifindex, address, prefix length


def address_of(msg: Any) -> tuple[Address, bool]:
    """Reads an RTM_NEWADDR; tells also whether the address may be used yet (IPv6 DAD)."""
    text = msg.get_attr("IFA_LOCAL") or msg.get_attr("IFA_ADDRESS")
    flags = msg.get_attr("IFA_FLAGS") or msg["flags"]
    raw = socket.inet_pton(msg["family"], text)
    usable = not flags & _TENTATIVE or bool(flags & _OPTIMISTIC)
    return (msg["index"], raw, msg["prefixlen"]), usable


class AddressTable:
    def __init__(self, world: World) -> None:
        self._world = world
        self.addresses: set[Address] = set()
        self.changes = 0  # how often one came or went

    def put(self, address: Address, usable: bool) -> None:
        if not usable:
            self.remove(address)
        elif address not in self.addresses:
            self.addresses.add(address)
            self.changes += 1
            self._world.addr_add(*address)

    def remove(self, address: Address) -> bool:
        """Forgets an address; returns whether it was known."""
        if address not in self.addresses:
            return False
        self.addresses.remove(address)
        self.changes += 1
        self._world.addr_del(*address)
        # The same address with another prefix length is one to the world.
        for other in self.addresses:
            if other[:2] == address[:2]:
                self._world.addr_add(*other)
        return True

    def keep_only(self, seen: set[Address]) -> None:
        for address in self.addresses - seen:
            self.remove(address)
