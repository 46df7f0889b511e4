"""A control connection of FTP whose two ends do their own counting, through a director."""

from __future__ import annotations

import struct
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from tests.fast import director as d

LISTEN, ESTABLISHED = 9, 1
VIP, SERVER, CLIENT = "10.9.140.211", "10.2.0.3", "10.1.0.77"
VIP6, SERVER6, CLIENT6 = "fd00:9::21", "fd00:2::3", "fd00:1::77"
ASKED = "227 Entering Passive Mode (10,2,0,3,4,210).\r\n"
TOLD = "227 Entering Passive Mode (10,9,140,211,4,210).\r\n"
GROWTH = len(TOLD) - len(ASKED)


class Session:
    """A control connection whose ends number their bytes from 1000 (client) and 50000 (server)."""

    def __init__(
        self, director: d.Director, *, v6: bool = False, server_port: int = 21, cport: int = 20000
    ) -> None:
        self.director = director
        self.v6 = v6
        self.vip, self.server, self.client = (
            (VIP6, SERVER6, CLIENT6) if v6 else (VIP, SERVER, CLIENT)
        )
        self.cport, self.server_port = cport, server_port
        self.cseq, self.sseq = 1000, 50000
        self.mark = 0  # where a rewritten reply begins

    def packet(self, src: str, dst: str, tcp: Packet, data: bytes = b"") -> Packet:
        ip = IPv6(src=src, dst=dst) if self.v6 else IP(src=src, dst=dst)
        return ip / tcp / Raw(data) if data else ip / tcp

    def ask(self, data: str = "", flags: str = "PA", **fields: Any) -> list[d.Out]:
        """From the client."""
        fields = {"seq": self.cseq, "ack": self.sseq, "flags": flags} | fields
        self.cseq += len(data) + ("S" in flags)
        tcp = TCP(sport=self.cport, dport=21, **fields)
        return self.director.client(self.packet(self.client, self.vip, tcp, data.encode()))

    def answer(
        self, data: str = "", flags: str = "PA", vnet: bytes = b"", **fields: Any
    ) -> list[d.Out]:
        """From the real server."""
        fields = {"seq": self.sseq, "ack": self.cseq, "flags": flags} | fields
        self.sseq += len(data) + ("S" in flags)
        tcp = TCP(sport=self.server_port, dport=self.cport, **fields)
        packet = self.packet(self.server, self.client, tcp, data.encode())
        return self.director.real(packet, vnet)

    def established(self) -> Session:
        self.ask(flags="S", ack=0)
        self.answer(flags="SA")
        self.ask(flags="A")
        return self


def director(*, v6: bool = False, port: int = 21, **settings: int) -> d.Director:
    made = d.Director(**settings)
    made.service(d.TCP, VIP6 if v6 else VIP, 21, [(SERVER6 if v6 else SERVER, port)])
    return made


def text(out: d.Out) -> str:
    return bytes(out.packet[TCP].payload).decode()


def finished(out: d.Out) -> Packet:
    """Return the packet as it is on the wire; fails if its checksums are wrong there."""
    raw = bytearray(out.raw)
    l4 = 40 if raw[0] >> 4 == 6 else 20
    length = struct.pack("!II", len(raw) - l4, 6)
    pseudo = bytes(raw[8:40] if l4 == 40 else raw[12:20]) + length
    if out.needs_csum:
        assert out.csum_at == (l4, 16)
        assert struct.unpack("!H", raw[l4 + 16 : l4 + 18])[0] == total(pseudo)
        value = ~total(bytes(raw[l4:])) & 0xFFFF
        raw[l4 + 16 : l4 + 18] = struct.pack("!H", value)
    assert total(pseudo + bytes(raw[l4:])) == 0xFFFF
    assert l4 == 40 or total(bytes(raw[:20])) == 0xFFFF
    return IPv6(bytes(raw)) if l4 == 40 else IP(bytes(raw))


def total(data: bytes) -> int:
    data += bytes(len(data) % 2)
    value: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def announced(director: d.Director) -> list[tuple[str, str, str]]:
    """Return (client, virtual, server) of every connection that waits for its first packet."""
    return [(r.client, r.virtual, r.server) for r in director.rows() if r.state == LISTEN]
