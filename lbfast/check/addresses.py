"""Which addresses this host has now, for `ha_suspend` (spec 3.10)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from lbfast import rtnl

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_CHUNK = 1 << 16
_TRIES = 10  # a dump that changes under the reader is read again


class LocalAddresses:
    """The addresses of all interfaces, read again whenever the kernel says that one changed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, read: Callable[[], frozenset[bytes]] | None = None
    ) -> None:
        """`read` returns the addresses; the kernel's, if nothing else is given."""
        self._loop = loop
        self._read = read or read_addresses
        self._sock: socket.socket | None = None
        self._known: frozenset[bytes] = frozenset()

    def open(self) -> None:
        """Subscribes and reads; OSError where netlink cannot be had."""
        self._sock = rtnl.open_socket(_GROUPS, blocking=False)
        self._known = self._read()
        self._loop.add_reader(self._sock, self._changed)

    def __contains__(self, address: bytes) -> bool:
        return address in self._known

    def _changed(self) -> None:
        assert self._sock is not None
        try:
            while self._sock.recv(_CHUNK):
                pass
        except OSError:
            pass  # none left, or some were lost (ENOBUFS): all are read again in any case
        self._known = self._read()

    def close(self) -> None:
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None


def read_addresses() -> frozenset[bytes]:
    """Returns every address of every interface, in network byte order; OSError."""
    with rtnl.open_socket() as sock:
        for _ in range(_TRIES - 1):
            try:
                return frozenset(_addresses(sock))
            except InterruptedError:
                continue
        return frozenset(_addresses(sock))


def _addresses(sock: socket.socket) -> Iterator[bytes]:
    for data in rtnl.dump(sock, rtnl.GETADDR):
        for kind, _, start, end in rtnl.messages(data):
            if kind == rtnl.NEWADDR:
                message = ifaddrmsg(data[start:end])
                message.decode()
                # on a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL our own
                text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                family = socket.AF_INET6 if ":" in text else socket.AF_INET
                yield socket.inet_pton(family, text)
