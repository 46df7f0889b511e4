"""PING_CHECK: an ICMP echo with 128 bytes, for IPv4 and IPv6 (spec 3.3)."""

from __future__ import annotations

import itertools
import os
import socket
import struct

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.check.udp import filler

_PAYLOAD = filler(128)
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_ECHO, _ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_sequence = itertools.count()

SOCKETS = {
    int(socket.AF_INET): (int(socket.SOCK_RAW), int(socket.IPPROTO_ICMP)),
    int(socket.AF_INET6): (int(socket.SOCK_RAW), int(socket.IPPROTO_ICMPV6)),
}


def checksum(data: bytes) -> int:
    """Returns the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class PingExchange:
    """One echo request; replies to others, which a raw socket sees as well, are passed over."""

    __slots__ = ("_is_v6", "_tag", "request")
    blames_server = True

    def __init__(self, family: int) -> None:
        self._is_v6 = family == socket.AF_INET6
        self._tag = struct.pack("!HH", os.getpid() & 0xFFFF, next(_sequence) & 0xFFFF)
        kind = _ECHO[6 if self._is_v6 else 4]
        bare = bytes((kind, 0, 0, 0)) + self._tag + _PAYLOAD
        # the kernel fills in the checksum of ICMPv6, whose pseudo-header it alone knows
        total = 0 if self._is_v6 else checksum(bare)
        self.request = bare[:2] + struct.pack("!H", total) + bare[4:]

    def received(self, data: bytes) -> Result | None:
        if not self._is_v6:
            data = data[(data[0] & 0x0F) * 4 :] if data else b""  # a raw IPv4 socket shows it all
        if len(data) < _HEADER.size or data[4:8] != self._tag:
            return None
        return SUCCESS if data[0] == _ECHO_REPLY[6 if self._is_v6 else 4] else None

    def timed_out(self) -> Result:
        return failure("no echo in time")
