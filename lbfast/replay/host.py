"""The director's own stack, as far as the recordings see it: what it answers and forwards.

A packet that the data path leaves or gives back to the host ends here.  Nothing listens on the
director, so TCP gets a reset, UDP a port unreachable, a ping its reply.
"""

from __future__ import annotations

import ipaddress
import struct

from lbfast.replay import network
from lbfast.replay.network import D0, D1, Sent
from lbfast.replay.packets import (
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Packet,
    checksum,
    icmp_packet,
    ip_packet,
    l4_checksum_ok,
    parse,
    pseudo,
    tcp_segment,
)

TUNNELS = (4, 41)
SILENT = (2, 59, 103, 136)  # IGMP, no next header, PIM, UDP-Lite: known, and not answered
LOCAL = [ipaddress.ip_network(n) for n in network.LOCAL_NETS]
ASSIGNED = [network.packed(addr) for _, addr, _ in network.ADDRESSES]
OWN = {D0: ("10.1.255.254", "fd00:1::fffe"), D1: ("10.2.255.254", "fd00:2::fffe")}


def is_local(addr: bytes) -> bool:
    ip = ipaddress.ip_address(addr)
    return any(ip in net for net in LOCAL if net.version == ip.version)


def route(addr: bytes) -> tuple[str, int]:
    """Returns where a packet for that address goes, and on which interface."""
    ip = ipaddress.ip_address(addr)
    servers = "10.2.0.0/16" if ip.version == 4 else "fd00:2::/64"
    if ip in ipaddress.ip_network(servers):
        return f"real:{addr[-1]}", D1
    return "client", D0


class Host:
    def __init__(self, mtu: int) -> None:
        self.mtu = {D0: network.MTU, D1: mtu}
        self.ident = 0

    def receive(self, data: bytes) -> list[Sent]:
        """Returns what the host sends because of a packet that it got."""
        p = parse(data)
        if p is None:
            return []
        if not is_local(p.dst):
            return self._forward(p)
        if p.is_later_fragment:
            return []
        if p.protocol == TCP:
            return self._tcp(p)
        if p.protocol == UDP:
            if len(p.payload) < 8 or not l4_checksum_ok(p):
                return []
            return self._error(p, (3, 3), (1, 4))
        if p.protocol in (ICMP, ICMPV6):
            return self._ping(p)
        if p.protocol in SILENT:
            return []
        if p.protocol in TUNNELS:  # the tunnel modules answer as if for a port
            return self._error(p, (3, 3), (1, 4))
        if p.version == 4:
            return self._error(p, (3, 2), (4, 1))
        return self._error(p, (3, 2), (4, 1), info=p.next_header_at)

    def _tcp(self, p: Packet) -> list[Sent]:
        if len(p.payload) < 20 or not l4_checksum_ok(p):
            return []
        sport, dport, seq, ack, offset, flags = struct.unpack("!HHIIBB", p.payload[:14])
        if flags & 4 or (offset >> 4) * 4 < 20 or (offset >> 4) * 4 > len(p.payload):
            return []
        if flags & 16:
            answer = tcp_segment(dport, sport, ack, 0, 4)
        else:
            length = len(p.payload) - (offset >> 4) * 4 + bool(flags & 2) + bool(flags & 1)
            answer = tcp_segment(dport, sport, 0, (seq + length) & 0xFFFFFFFF, 20)
        if p.version == 6:  # left to the device, which the recordings do not see
            partial = ~checksum(pseudo(p.dst, p.src, TCP, len(answer))) & 0xFFFF
            answer = answer[:16] + struct.pack("!H", partial) + answer[18:]
        to, _ = route(p.src)
        return [Sent(to, ip_packet(p.dst, p.src, TCP, answer, ident=0, df=True))]

    def _ping(self, p: Packet) -> list[Sent]:
        request, reply = (8, 0) if p.protocol == ICMP else (128, 129)
        if len(p.payload) < 8 or p.payload[0] != request or not l4_checksum_ok(p):
            return []
        self.ident += 1
        body = icmp_packet(reply, 0, p.payload[4:8], p.payload[8:], p.dst, p.src)
        to, _ = route(p.src)
        tos = p.data[1] if p.version == 4 else (p.data[0] & 15) << 4 | p.data[1] >> 4
        return [Sent(to, ip_packet(p.dst, p.src, p.protocol, body, ident=self.ident, tos=tos))]

    def _error(
        self, p: Packet, v4: tuple[int, int], v6: tuple[int, int], *, info: int = 0
    ) -> list[Sent]:
        """An ICMP error about `p` to its source; none about ICMP errors."""
        if p.is_icmp_error or p.is_later_fragment:
            return []
        to, ifindex = route(p.src)
        answers_as = is_local(p.dst) if p.version == 4 else p.dst in ASSIGNED
        source = p.dst if answers_as else network.packed(OWN[ifindex][p.version == 6])
        kind, code = v4 if p.version == 4 else v6
        room = 548 if p.version == 4 else 1232
        self.ident += 1
        body = icmp_packet(kind, code, struct.pack("!I", info), p.data[:room], source, p.src)
        tos = (p.data[1] & 0x1E) | 0xC0 if p.version == 4 else 0
        protocol = ICMP if p.version == 4 else ICMPV6
        return [Sent(to, ip_packet(source, p.src, protocol, body, ident=self.ident, tos=tos))]

    def _forward(self, p: Packet) -> list[Sent]:
        to, ifindex = route(p.dst)
        if p.ttl <= 1:
            return self._error(p, (11, 0), (3, 0))
        if len(p.data) > self.mtu[ifindex]:
            if p.version == 4 and not p.df:
                return []
            return self._error(p, (3, 4), (2, 0), info=self.mtu[ifindex])
        data = bytearray(p.data)
        if p.version == 6:
            data[7] -= 1
        else:
            data[8] -= 1
            data[10:12] = b"\0\0"
            data[10:12] = struct.pack("!H", checksum(bytes(data[: p.header_len])))
        return [Sent(to, bytes(data))]
