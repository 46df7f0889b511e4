"""Raw sockets that carry adverts: one to receive for each segment, one to send for each instance.

IPv4 packets are made whole here (the identification counts, spec 4.1); the kernel makes the IPv6
header from the socket's options.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass

from lbfast.errors import WireError
from lbfast.model import AF_INET
from lbfast.vrrp.packet import (
    IPPROTO_VRRP,
    TOS,
    Received,
    received_ipv6,
    split_ipv4,
)

_IP_MULTICAST_ALL, _SO_TIMESTAMPNS, _SO_PRIORITY = 49, 35, 12
_IPV6_MULTICAST_ALL = 29
_IPV6_PKTINFO, _IPV6_HOPLIMIT = 50, 52
_CONTROL_PRIORITY = 7  # TC_PRIO_CONTROL
_MAX_PACKET = 65536
_RCVBUF = 1 << 20
_ANCILLARY = 256
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """What one receive socket hears: an interface, a family and protocol, perhaps a group."""

    interface: str  # empty: any (unicast)
    family: int
    protocol: int
    group: bytes = b""


class Receiver:
    """A socket on a segment; packets come with the time when the kernel got them."""

    def __init__(self, segment: Segment, ifindex: int) -> None:
        """Open and join; OSError names what was refused."""
        self.segment, self.ifindex = segment, ifindex
        self.sock = socket.socket(
            segment.family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, segment.protocol
        )
        try:
            self._set_up()
        except BaseException:
            self.sock.close()
            raise

    def _set_up(self) -> None:
        sock, segment = self.sock, self.segment
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RCVBUF)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if segment.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, segment.interface.encode())
        if segment.family == AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            if segment.group:
                request = segment.group + bytes(4) + struct.pack("=i", self.ifindex)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            return
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        if segment.group:
            request = segment.group + struct.pack("=i", self.ifindex)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)

    def read(self) -> tuple[Received, int] | None:
        """Return the next packet and its age in ns; None if there is no more.

        A packet that is cut short is passed over.
        """
        while True:
            try:
                data, ancillary, _, source = self.sock.recvmsg(_MAX_PACKET, _ANCILLARY)
            except BlockingIOError:
                return None
            except OSError:  # the interface went down or away: its events tell the rest
                return None
            with contextlib.suppress(WireError):
                return self._take_apart(data, ancillary, source)

    def _take_apart(
        self, data: bytes, ancillary: list[tuple[int, int, bytes]], source: tuple[str, int]
    ) -> tuple[Received, int]:
        age, hops, dst = 0, -1, b""
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, ns = struct.unpack("=qq", value[:16])
                age = max(0, time.time_ns() - seconds * _NS_PER_S - ns)
            elif (level, kind) == (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT):
                hops = int.from_bytes(value[:4], "little", signed=True)
            elif (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
                dst = value[:16]
        if self.segment.family == AF_INET:
            return split_ipv4(data), age
        src = socket.inet_pton(socket.AF_INET6, source[0].split("%")[0])
        return received_ipv6(src, dst, hops, data), age

    def close(self) -> None:
        self.sock.close()


class Sender:
    """A socket from which one instance's adverts leave."""

    def __init__(self, family: int, interface: str, ifindex: int, ttl: int) -> None:
        """Open it on an interface (empty: wherever the route leads)."""
        self.family, self.ifindex = family, ifindex
        protocol = socket.IPPROTO_RAW if family == AF_INET else IPPROTO_VRRP
        self.sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        try:
            sock = self.sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # nobody reads it
            sock.setsockopt(socket.SOL_SOCKET, _SO_PRIORITY, _CONTROL_PRIORITY)
            if interface:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if family == AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                if ifindex:
                    where = bytes(8) + struct.pack("=i", ifindex)
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
            else:
                self._set_up_ipv6(ttl)
        except BaseException:
            self.sock.close()
            raise

    def _set_up_ipv6(self, hops: int) -> None:
        for option, value in (
            (socket.IPV6_MULTICAST_LOOP, 0),
            (socket.IPV6_MULTICAST_HOPS, hops),
            (socket.IPV6_UNICAST_HOPS, hops),
            (socket.IPV6_TCLASS, TOS),
        ):
            self.sock.setsockopt(socket.IPPROTO_IPV6, option, value)
        if self.ifindex:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.ifindex)

    def send_ipv4(self, packet: bytes, dst: bytes) -> None:
        """Send a whole packet; OSError if the kernel refuses."""
        self.sock.sendto(packet, (socket.inet_ntop(socket.AF_INET, dst), 0))

    def send_ipv6(self, message: bytes, src: bytes, dst: bytes) -> None:
        """Send a message from `src` to `dst`; OSError if the kernel refuses."""
        scope = self.ifindex if dst[:1] == b"\xff" or dst[:2] == b"\xfe\x80" else 0
        info = src + struct.pack("=i", scope)
        where = (socket.inet_ntop(socket.AF_INET6, dst), 0, 0, scope)
        self.sock.sendmsg([message], [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, info)], 0, where)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()
