"""Follows the kernel's links, addresses, routes, rules and neighbours for the data path.

One task reads the notifications; a resynchronisation is a dump of everything whose differences go
to the world.  Meanwhile notifications wait in the socket's queue: they are applied after, and
applying them again leads to the same end.  If that queue overflows (ENOBUFS), everything is
dumped again.  Dumps take 50 us a route, in the event loop: meant for thousands, not for a full
Internet table.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from lbfast import rtnl
from lbfast.control.links import AddressTable, Link, LinkTable, address_of, link_of
from lbfast.control.neighbours import Key, NeighbourTable, neighbour_of, use_message
from lbfast.control.routes import RouteTable, RuleTable, route_of
from lbfast.control.world import World

# RTMGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE; and, as a
# group without a bit in the old mask's names, IPv6 rules (RTNLGRP_IPV6_RULE, 19).
_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << (19 - 1)

_CLASSES = {
    rtnl.NEWLINK: ifinfmsg,
    rtnl.NEWADDR: ifaddrmsg,
    rtnl.NEWROUTE: rtmsg,
    rtnl.NEWNEIGH: ndmsg,
    rtnl.NEWRULE: fibmsg,
}
_CHUNK = 1 << 17
_DUMP_TRIES = 10
_HOUSEKEEPING_S = 30.0

_log = logging.getLogger(__name__)


class Follower:
    """Keeps a `World` in step with the network namespace of the process that makes it.

    `on_link` is called with (ifindex, Link) for every change of a link and (ifindex, None) when
    it is gone, also for those found at the start.  All in the event loop's thread.
    """

    def __init__(
        self, world: World, on_link: Callable[[int, Link | None], None] | None = None
    ) -> None:
        self._world = world
        self._events = rtnl.open_socket(_GROUPS, blocking=False)
        self._asks = rtnl.open_socket(blocking=False)
        self._wanted_fd = world.request_fd()
        self._task: asyncio.Task[None] | None = None
        self._routes_stale = False
        self._on_link = on_link or (lambda ifindex, link: None)
        self.resyncs = 0  # how often everything was read again, the start included
        self.links = LinkTable(world, self._link_changed)
        self.addresses = AddressTable(world)
        self.routes = RouteTable(world, self._link_up)
        self.rules = RuleTable(world, self.routes)
        self.neighbours = NeighbourTable(world, self._ask)

    async def start(self) -> None:
        """Reads everything once, then follows it in a task; raises OSError."""
        loop = asyncio.get_running_loop()
        self._resync()
        loop.add_reader(self._asks.fileno(), self._drain_answers)
        loop.add_reader(self._wanted_fd, self.serve_requests)
        self._task = loop.create_task(self._follow(), name="netlink")

    async def close(self) -> None:
        """Stops following; the world keeps what it has."""
        if self._task:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._asks.fileno())
            loop.remove_reader(self._wanted_fd)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._events.close()
        self._asks.close()

    def serve_requests(self) -> None:
        """Answers what the data path asked for: neighbours to resolve or to keep."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wanted_fd, 8)
        now = asyncio.get_running_loop().time()
        for kind, ifindex, addr in self._world.requests():
            self.neighbours.used((ifindex, addr), now)
            if kind == "neigh":
                self.neighbours.wanted((ifindex, addr))

    # ------------------------------------------------------------ notifications

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        cleaned = loop.time()
        while True:
            try:
                data = await loop.sock_recv(self._events, _CHUNK)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                _log.info("netlink: notifications were lost, reading everything again")
                self._resync()
                continue
            self._apply_all(data)
            if loop.time() - cleaned > _HOUSEKEEPING_S:
                cleaned = loop.time()
                self.neighbours.forget_unused(cleaned)

    def _apply_all(self, data: bytes) -> None:
        """Applies a datagram and all that wait behind it, then what follows from them at once."""
        rules_stale = False
        while data:
            for kind, flags, at, _ in rtnl.messages(data):
                rules_stale |= kind in (rtnl.NEWRULE, rtnl.DELRULE)
                self._apply(kind, flags, data, at)
            try:
                data = self._events.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                self._resync()
                return
        if self._routes_stale:
            self._read_routes()
        if rules_stale:
            self._read_rules()

    def _apply(self, kind: int, flags: int, data: bytes, at: int) -> None:
        """Applies one notification.  DEL is one more than NEW, and reads like it."""
        deleted = kind not in _CLASSES
        base = kind - 1 if deleted else kind
        if base not in _CLASSES or base == rtnl.NEWRULE:
            return
        msg = _decode(base, data, at)
        if base == rtnl.NEWLINK:
            self._apply_link(msg, deleted)
        elif base == rtnl.NEWADDR:
            self._apply_address(msg, deleted)
        elif base == rtnl.NEWNEIGH:
            self._apply_neighbour(msg, deleted)
        elif route := route_of(msg):
            if deleted:
                self.routes.remove(*route)
            else:
                self.routes.put(*route, replace=bool(flags & rtnl.REPLACE))

    def _apply_link(self, msg: Any, deleted: bool) -> None:
        if msg["family"] != socket.AF_UNSPEC:  # of a bridge port, or IPv6's view of the link
            return
        if deleted:
            self.links.remove(msg["index"])
        else:
            self.links.put(link_of(msg))

    def _apply_address(self, msg: Any, deleted: bool) -> None:
        if msg["family"] not in (socket.AF_INET, socket.AF_INET6):
            return
        address, usable = address_of(msg)
        if deleted:
            # IPv4 removes routes with this preferred source without a word.
            self._routes_stale |= self.addresses.remove(address) and len(address[1]) == 4
        else:
            self.addresses.put(address, usable)

    def _apply_neighbour(self, msg: Any, deleted: bool) -> None:
        if n := neighbour_of(msg):
            now = asyncio.get_running_loop().time()
            if deleted:
                self.neighbours.remove(n.key, now)
            else:
                self.neighbours.put(n, now)

    def _link_changed(self, ifindex: int, link: Link | None) -> None:
        # IPv4 removes the routes of an interface that goes down without a word.
        self._routes_stale |= link is None or not link.up
        self.routes.links_changed()
        self._on_link(ifindex, link)

    def _link_up(self, ifindex: int) -> bool:
        link = self.links.links.get(ifindex)
        return link is not None and link.up

    # ------------------------------------------------------------ dumps

    def _resync(self) -> None:
        self.resyncs += 1
        links = [link_of(m) for m in self._dump(rtnl.GETLINK) if m["family"] == socket.AF_UNSPEC]
        self.links.keep_only({link.ifindex for link in links})
        for link in links:
            self.links.put(link)
        self._read_addresses()
        self._read_rules()
        self._read_routes()
        self._read_neighbours()

    def _read_addresses(self) -> None:
        families = (socket.AF_INET, socket.AF_INET6)
        found = [address_of(m) for m in self._dump(rtnl.GETADDR) if m["family"] in families]
        self.addresses.keep_only({address for address, _ in found})
        for address, usable in found:
            self.addresses.put(address, usable)

    def _read_rules(self) -> None:
        self.rules.replace_all(self._dump(rtnl.GETRULE))

    def _read_routes(self) -> None:
        self._routes_stale = False
        found = [route for m in self._dump(rtnl.GETROUTE) if (route := route_of(m))]
        self.routes.replace_all(found)

    def _read_neighbours(self) -> None:
        now = asyncio.get_running_loop().time()
        found = [n for m in self._dump(rtnl.GETNEIGH) if (n := neighbour_of(m))]
        self.neighbours.keep_only({n.key for n in found}, now)
        for n in found:
            self.neighbours.put(n, now)

    def _dump(self, kind: int) -> list[Any]:
        """Reads a whole table, of all families; again if it changed meanwhile."""
        for _ in range(_DUMP_TRIES):
            with rtnl.open_socket() as sock, contextlib.suppress(InterruptedError):
                return list(_decoded(sock, kind))
        raise OSError(errno.EAGAIN, "netlink: a table would not stand still to be read")

    # ------------------------------------------------------------ requests to the kernel

    def _ask(self, key: Key) -> None:
        """Asks to resolve or probe; a full queue means the data path will ask again."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._asks.send(use_message(key))

    def _drain_answers(self) -> None:
        """Reads the errors of requests: an interface that went away meanwhile, nothing else."""
        with contextlib.suppress(OSError):
            while True:
                self._asks.recv(_CHUNK)


def _decode(kind: int, data: bytes, at: int) -> Any:
    msg = _CLASSES[kind](data, offset=at)
    msg.decode()
    return msg


def _decoded(sock: socket.socket, get: int) -> Iterator[Any]:
    """Yields the decoded messages of a dump; GET is two more than NEW."""
    new = get - 2
    for data in rtnl.dump(sock, get):
        for kind, _, at, _ in rtnl.messages(data):
            if kind == new:
                yield _decode(new, data, at)
