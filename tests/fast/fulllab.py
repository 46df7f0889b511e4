"""A director with FULLNAT services, and what its tests share.

Local addresses are 10.2.255.2N and fd00:2::ff2N, real servers 10.2.0.7:8080 and its IPv6 twin.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests.fast.path import CLIENT, CLIENT6, VIP, VIP6, Lab, Out, head

LIP, LIP6 = "10.2.255.21", "fd00:2::ff21"
RIP, RIP6 = "10.2.0.7", "fd00:2::7"
RPORT = 8080
TOA = 254


def words(proto: str = "t", lips: int = 1, rport: int = RPORT) -> list[str]:
    """Lines for a service of each family with so many local addresses."""
    flag = f"--{proto}-service" if len(proto) > 1 else f"-{proto}"
    lines = []
    for vip, rip, lip in ((VIP, RIP, "10.2.255.2"), (f"[{VIP6}]", f"[{RIP6}]", "fd00:2::ff2")):
        lines.append(f"-A {flag} {vip}:80 -s lc")
        lines += [f"--add-laddr {flag} {vip}:80 -z {lip}{n}" for n in range(1, lips + 1)]
        lines.append(f"-a {flag} {vip}:80 -r {rip}:{rport} --fullnat")
    return lines


def lab(proto: str = "t", lips: int = 1, **sysctls: Any) -> Lab:
    return Lab(*words(proto, lips), **sysctls)


def client_of(v6: bool) -> str:
    return CLIENT6 if v6 else CLIENT


def answer(v6: bool, lport: int, rest: Packet, lip: str = "", **fields: Any) -> Packet:
    """What the real server sends to a local port: `rest` with its ports filled in."""
    rest.sport, rest.dport = RPORT, lport
    if v6:
        return IPv6(src=RIP6, dst=lip or LIP6, **fields) / rest
    return IP(src=RIP, dst=lip or LIP, **fields) / rest


def ask(world: Lab, port: int, v6: bool = False, layer: type[Packet] = UDP) -> Packet:
    """Send a client's packet; returns what the real server gets."""
    body = UDP(sport=port, dport=80) if layer is UDP else TCP(sport=port, dport=80, flags="S")
    return world.one(head(v6) / body).packet


def ends(packet: Packet) -> tuple[str, int, str, int]:
    layer = packet[UDP] if UDP in packet else packet[TCP]
    return packet.src, layer.sport, packet.dst, layer.dport


class Flow:
    """One TCP connection through the director, opened by its handshake as far as asked."""

    def __init__(self, world: Lab, v6: bool = False, port: int = 4000, isn: int = 100) -> None:
        self.world, self.v6, self.port, self.isn = world, v6, port, isn
        self.server_isn = 7000
        out = self.request("S", seq=isn, options=[("MSS", 1460)])
        self.lip, self.lport = out.packet.src, out.packet[TCP].sport
        self.delta = (out.packet[TCP].seq - isn) % 2**32

    def request(self, flags: str, load: bytes = b"", **fields: Any) -> Out:
        """Send a segment of the client; returns what leaves."""
        fields.setdefault("seq", self.isn + 1)
        tcp = TCP(sport=self.port, dport=80, flags=flags, **fields)
        return self.world.one(head(self.v6) / tcp / load)

    def reply(self, flags: str, load: bytes = b"", **fields: Any) -> Out:
        """Send a segment of the real server; returns what leaves."""
        fields.setdefault("seq", self.server_isn + 1)
        fields.setdefault("ack", (self.isn + 1 + self.delta) % 2**32)
        tcp = TCP(flags=flags, **fields)
        return self.world.one(answer(self.v6, self.lport, tcp, self.lip) / load, "real")

    def shaken(self) -> Flow:
        """Let the server answer, so that its numbers are known."""
        self.reply("SA", seq=self.server_isn)
        return self


def toa_of(packet: Packet) -> bytes | None:
    """Return the client's port and address in the option, None without one."""
    found = [value for kind, value in packet[TCP].options if kind == TOA]
    assert len(found) <= 1
    return found[0] if found else None
