"""The kernel's links, addresses, and lost routes and rules, followed over netlink for VRRP."""

from __future__ import annotations

import asyncio
import errno
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass

from lbfast import rtnl
from lbfast.model import AF_INET, AF_INET6
from lbfast.vrrp import kernel, ways

logger = logging.getLogger(__name__)

_UP, _RUNNING = 0x1, 0x40
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK = 1, 3, 4, 5
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 and IPv6 addresses
_CHUNK = 1 << 17
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_LINK_LOCAL = b"\xfe\x80"


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    mac: bytes
    mtu: int
    is_up: bool  # administratively, and with carrier
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """An address that an interface has."""

    prefixlen: int
    flags: int
    scope: int

    @property
    def is_usable(self) -> bool:
        """Say whether packets may leave from it: duplicate detection is over."""
        waits = self.flags & kernel.F_TENTATIVE and not self.flags & kernel.F_OPTIMISTIC
        return not waits and not self.flags & kernel.F_DADFAILED


class Links:
    """Links by name and index, and the addresses of each in the kernel's order."""

    def __init__(self) -> None:
        self.by_name: dict[str, Link] = {}
        self.by_index: dict[int, Link] = {}
        self.addresses: dict[int, dict[bytes, Held]] = {}
        self.on_link: Callable[[str], None] = lambda name: None
        self.on_address: Callable[[int, bytes, bool], None] = lambda index, addr, there: None
        self.on_gone: Callable[[ways.Seen], None] = lambda seen: None
        self.on_gap: Callable[[], None] = lambda: None  # routes or rules may have gone unseen
        self._follows_ways = False
        self._sock = rtnl.open_socket(_GROUPS, blocking=False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.read_all()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._sock.fileno(), self.drain)

    def follow_ways(self) -> None:
        """Hear of routes and rules too; a host may have a million, so only who needs it asks."""
        if self._follows_ways:
            return
        self._follows_ways = True
        for group in ways.GROUPS:
            self._sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def read_all(self) -> None:
        """Read everything anew, and tell what differs from what was known."""
        old_links, old = self.by_index, self.addresses
        self.by_index, self.by_name, self.addresses = {}, {}, {}
        with rtnl.open_socket() as sock:
            for kind in (rtnl.GETLINK, rtnl.GETADDR):
                for data in rtnl.dump(sock, kind):
                    self._take(data, silent=True)
        for index in old_links.keys() | self.by_index.keys():
            before, after = old_links.get(index), self.by_index.get(index)
            for link in {before, after} if before != after else ():
                if link is not None:
                    self.on_link(link.name)
        for index in old.keys() | self.addresses.keys():
            before_held, held = old.get(index, {}), self.addresses.get(index, {})
            for addr in before_held.keys() ^ held.keys():
                self.on_address(index, addr, addr in held)

    def drain(self) -> None:
        """Read what has happened; after an overrun everything."""
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                logger.warning("netlink: events were lost, reading all links and addresses anew")
                self.read_all()
                self.on_gap()
                return
            self._take(data)

    def _take(self, data: bytes, *, silent: bool = False) -> None:
        for kind, _, at, end in rtnl.messages(data):
            if kind in (rtnl.NEWLINK, rtnl.DELLINK):
                self._link(kind == rtnl.NEWLINK, data, (at + 16, end), silent)
            elif kind in (rtnl.NEWADDR, rtnl.DELADDR):
                self._address(kind == rtnl.NEWADDR, data, (at + 16, end), silent)
            elif kind in ways.KINDS and (seen := ways.parse(kind, data, at + 16, end)):
                self.on_gone(seen)

    def _link(self, is_new: bool, data: bytes, span: tuple[int, int], silent: bool) -> None:
        family, _, index, flags, _ = _IFINFOMSG.unpack_from(data, span[0])
        if family:
            return  # a bridge telling about a port
        found = dict(rtnl.attributes(data, span[0] + 16, span[1]))
        name = found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        before = self.by_index.pop(index, None)
        if before is not None and self.by_name.get(before.name) is before:
            del self.by_name[before.name]
        if is_new:
            link = Link(
                index,
                name,
                found.get(_IFLA_ADDRESS, b""),
                int.from_bytes(found.get(_IFLA_MTU, b""), "little"),
                flags & _UP != 0 and flags & _RUNNING != 0,
                int.from_bytes(found.get(_IFLA_LINK, b""), "little"),
            )
            self.by_index[index] = self.by_name[name] = link
            if silent or link == before:
                return
        else:
            self.addresses.pop(index, None)
        if before is not None and before.name != name:
            self.on_link(before.name)
        self.on_link(name)

    def _address(self, is_new: bool, data: bytes, span: tuple[int, int], silent: bool) -> None:
        _, prefixlen, flags, scope, index = _IFADDRMSG.unpack_from(data, span[0])
        found = dict(rtnl.attributes(data, span[0] + 8, span[1]))
        addr = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
        if _IFA_FLAGS in found:
            flags = int.from_bytes(found[_IFA_FLAGS], "little")
        held = self.addresses.setdefault(index, {})
        if is_new:
            held[addr] = Held(prefixlen, flags, scope)
        elif held.pop(addr, None) is None:
            return
        if not silent:
            self.on_address(index, addr, is_new)

    # -- questions

    def index_of(self, name: str) -> int:
        """Return an interface's index, 0 if there is none of that name."""
        link = self.by_name.get(name)
        return link.index if link else 0

    def is_up(self, name: str) -> bool:
        link = self.by_name.get(name)
        return link is not None and link.is_up

    def has(self, addr: bytes) -> bool:
        """Say whether any interface has the address."""
        return any(addr in held for held in self.addresses.values())

    def source(self, name: str, family: int, besides: frozenset[bytes], to: bytes) -> bytes:
        """Return the address adverts to `to` leave from, empty if there is none.

        IPv4: the interface's first address; IPv6: its link-local one, or the first other one if
        `to` is neither link-local nor a group.  `besides` are virtual addresses, never chosen.
        """
        wants_local = to[:2] == _LINK_LOCAL or to[:1] == b"\xff"
        for addr, held in self.addresses.get(self.index_of(name), {}).items():
            if kernel.family_of(addr) != family or addr in besides or not held.is_usable:
                continue
            if family == AF_INET and not held.flags & kernel.F_SECONDARY:
                return addr
            if family == AF_INET6 and (addr[:2] == _LINK_LOCAL) == wants_local:
                return addr
        return b""
