"""A director in the network of the recordings, for tests that send it packets.

client -- router -- (2) director (3) -- real servers 10.2.0.N, fd00:2::N
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lbfast._fastpath import Engine
from lbfast.replay import network

MASQ, DROUTE = 0, 3
PERSISTENT, ONE_PACKET = 1, 4
TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP
SECOND_NS = 1_000_000_000

Key = tuple[int, int, bytes, int, int]  # of a service: af, protocol, address, port, fwmark


class Out(NamedTuple):
    """A packet that left: "client", "real:N", or "host" when it was given back."""

    to: str
    packet: Packet
    needs_csum: bool
    csum_at: tuple[int, int]  # where it starts, counted from the IP header, and its field there
    raw: bytes  # from the IP header on


class Row(NamedTuple):
    """A connection: client, virtual and real server's `address:port`."""

    client: str
    virtual: str
    server: str
    state: int
    left_ms: int
    pe_data: bytes


def shown(addr: bytes, port: int) -> str:
    text = str(ip_address(addr))
    return f"[{text}]:{port}" if len(addr) == 16 else f"{text}:{port}"


def packed(text: str) -> bytes:
    return ip_address(text).packed


class Director:
    def __init__(self, *, fd: int = -1, **settings: int) -> None:
        """fd: a file that keeps the records, or already has some."""
        self.now_ns = 1000 * SECOND_NS
        self.engine = Engine(conns=4096, dests=64, services=64, seed=7, fd=fd, now_ns=self.now_ns)
        network.build(self.engine, network.MTU)
        for name, value in settings.items():
            self.engine.set_setting(name, value)

    def service(
        self,
        protocol: int,
        vip: str,
        port: int,
        servers: Iterable[tuple[str, int]],
        *,
        method: int = MASQ,
        flags: int = 0,
        timeout_s: int = 0,
        pe: bytes = b"",
    ) -> Key:
        """Add a service with round robin over these servers; returns its key."""
        addr = ip_address(vip)
        af = socket.AF_INET if addr.version == 4 else socket.AF_INET6
        mask = 0xFFFFFFFF if addr.version == 4 else 128
        key = (af, protocol, addr.packed, port, 0)
        self.engine.service_put(key, b"rr", flags, timeout_s, mask, pe)
        for server, at in servers:
            self.server(key, server, at, method)
        return key

    def server(self, key: Key, addr: str, port: int, method: int = MASQ, weight: int = 1) -> None:
        """Add a real server to a service."""
        server = (key[0], ip_address(addr).packed, port)
        self.engine.server_put(key, server, method, weight, 0, 0, 0, 0, 0)

    def client(self, packet: Packet, vnet: bytes = b"") -> list[Out]:
        return self._send("client", bytes(packet), vnet)

    def real(self, packet: Packet, vnet: bytes = b"") -> list[Out]:
        return self._send("real", bytes(packet), vnet)

    def _send(self, side: str, packet: bytes, vnet: bytes) -> list[Out]:
        ifindex, _, frame = network.frame(side, packet)
        outs = self.engine.process([(ifindex, vnet, frame)], self.now_ns)
        return [_out(*out) for out in outs]

    def rows(self) -> list[Row]:
        rows: list[tuple[Any, ...]] = self.engine.connections()[0]
        return sorted(
            Row(shown(r[2], r[3]), shown(r[4], r[5]), shown(r[6], r[7]), r[8], r[9], r[11])
            for r in rows
        )

    def row(self, client: str) -> Row:
        """Return the only connection of a client's `address:port`."""
        (row,) = (r for r in self.rows() if r.client == client)
        return row

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)
        self.engine.process([], self.now_ns)

    def counts(self, key: Key) -> list[tuple[int, int, int]]:
        """Return (active, inactive, persistent) of the service's servers, newest first."""
        return [(s[8], s[9], s[10]) for s in self.engine.service(key)[7]]


def _out(kind: int, ifindex: int, vnet: bytes, frame: bytes) -> Out:
    to = "host" if kind else network.sent(ifindex, frame).to
    ethernet = Ether(frame)
    layer = IPv6 if IPv6 in ethernet else IP
    flags, _, _, _, start, field = struct.unpack("=BBHHHH", vnet)
    return Out(to, ethernet[layer], bool(flags & 1), (start - 14, field), frame[14:])
