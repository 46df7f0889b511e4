"""Addresses in the kernel: requests that add and remove them, several in one go.

The messages are packed here: on becoming master every one counts, and pyroute2 takes a third of a
millisecond for each.  What is rarer (routes, rules, links) is packed by pyroute2: routes.py.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lbfast import rtnl
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import FOREVER, Address

_IFADDRMSG = struct.Struct("=BBBBI")
_CACHEINFO = struct.Struct("=IIII")
_ADDRESS, _LOCAL, _LABEL, _BROADCAST, _CACHE, _FLAGS = 1, 2, 3, 4, 6, 8
F_SECONDARY, F_NODAD, F_HOME, F_DEPRECATED = 0x01, 0x02, 0x10, 0x20
F_DADFAILED, F_TENTATIVE, F_OPTIMISTIC = 0x08, 0x40, 0x04
F_MANAGETEMP, F_NOPREFIX, F_AUTOJOIN = 0x100, 0x200, 0x400
_CHUNK = 1 << 17
_PER_SEND = 64  # messages
GONE = frozenset((errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT, errno.ESRCH))


@dataclass(frozen=True, slots=True)
class Request:
    """One change asked of the kernel; `harmless` errors mean that it is so already."""

    kind: int
    flags: int
    payload: bytes
    doing: str
    harmless: frozenset[int] = frozenset()


class Kernel:
    """A netlink route socket of our own for changes; blocking, answers come at once."""

    def __init__(self) -> None:
        self._sock = rtnl.open_socket()

    def close(self) -> None:
        self._sock.close()

    def apply(self, requests: Iterable[Request]) -> list[str]:
        """Ask for changes in order; return a sentence for each one that was refused."""
        waiting = list(requests)
        refused: list[str] = []
        for start in range(0, len(waiting), _PER_SEND):
            refused += self._send(waiting[start : start + _PER_SEND])
        return refused

    def _send(self, requests: Sequence[Request]) -> list[str]:
        flags = rtnl.REQUEST | rtnl.ACK
        self._sock.send(
            b"".join(
                _padded(rtnl.message(request.kind, flags | request.flags, request.payload, number))
                for number, request in enumerate(requests)
            )
        )
        refused, answered = [], 0
        while answered < len(requests):
            data = self._sock.recv(_CHUNK)
            for kind, _, at, _ in rtnl.messages(data):
                if kind != _ERROR:
                    continue
                request = requests[int.from_bytes(data[at + 8 : at + 12], "little")]
                answered += 1
                code = rtnl.error_of(data, at)
                if code and code not in request.harmless:
                    refused.append(f"{request.doing}: {os.strerror(code)}")
        return refused


_ERROR = 2


def _padded(message: bytes) -> bytes:
    return message + bytes(-len(message) % 4)


def family_of(addr: bytes) -> int:
    return AF_INET if len(addr) == 4 else AF_INET6


def text_of(addr: bytes) -> str:
    return socket.inet_ntop(family_of(addr), addr)


def _flags_of(address: Address) -> int:
    flags = 0
    for is_set, bit in (
        (address.home, F_HOME),
        (address.nodad, F_NODAD),
        (address.mngtmpaddr, F_MANAGETEMP),
        (address.noprefixroute, F_NOPREFIX),
        (address.autojoin, F_AUTOJOIN),
    ):
        flags |= bit if is_set and (bit >= F_MANAGETEMP or len(address.addr) == 16) else 0
    return flags


def _lifetime(address: Address) -> int:
    """Return the preferred lifetime: an IPv6 /128 is deprecated, so never chosen as source."""
    if address.preferred_lft_s is not None:
        return address.preferred_lft_s
    is_host = len(address.addr) == 16 and address.prefixlen == 128
    return 0 if is_host else FOREVER


def _payload(address: Address, ifindex: int, *, full: bool) -> bytes:
    family = family_of(address.addr)
    flags = _flags_of(address) if full else 0
    head = _IFADDRMSG.pack(family, address.prefixlen, flags & 0xFF, address.scope, ifindex)
    other = address.peer.addr if address.peer else address.addr
    if address.peer:
        head = _IFADDRMSG.pack(family, address.peer.length, flags & 0xFF, address.scope, ifindex)
    attributes = [rtnl.attribute(_LOCAL, address.addr), rtnl.attribute(_ADDRESS, other)]
    if full:
        attributes.append(rtnl.attribute(_FLAGS, struct.pack("=I", flags)))
        if address.broadcast:
            attributes.append(rtnl.attribute(_BROADCAST, address.broadcast))
        if (preferred := _lifetime(address)) != FOREVER:
            data = _CACHEINFO.pack(preferred, FOREVER, 0, 0)
            attributes.append(rtnl.attribute(_CACHE, data))
    if address.label:
        attributes.append(rtnl.attribute(_LABEL, address.label.encode() + b"\0"))
    return head + b"".join(attributes)


def add_address(address: Address, ifindex: int) -> Request:
    """Return the request that adds an address to an interface; one that is there stays."""
    doing = f"adding {text_of(address.addr)}/{address.prefixlen}"
    payload = _payload(address, ifindex, full=True)
    flags = rtnl.CREATE | rtnl.REPLACE
    return Request(rtnl.NEWADDR, flags, payload, doing)


def remove_address(address: Address, ifindex: int) -> Request:
    """Return the request that removes an address; one that is not there is no error."""
    doing = f"removing {text_of(address.addr)}/{address.prefixlen}"
    payload = _payload(address, ifindex, full=False)
    return Request(rtnl.DELADDR, 0, payload, doing, GONE)
