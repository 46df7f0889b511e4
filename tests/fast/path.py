"""A director in the network of the recordings (lbfast/replay/network.py), asked with frames.

Clients are 10.1.0.N and fd00:1::N, virtual addresses 10.9.0.0/16 and fd00:9::/64, real servers
10.2.0.N and fd00:2::N.  The clock is the test's own.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lbfast.model import ServerState, ServiceState
from lbfast.replay import network
from lbfast.replay.network import D0, D1
from lbfast.replay.packets import checksum
from lbfast.replay.scenario import Director, connection_row, service_word, shown

NEEDS_CSUM = 1
TCPV4, TCPV6, UDP_L4 = 1, 4, 5
VIP, VIP6 = "10.9.0.1", "fd00:9::1"
CLIENT, CLIENT6 = "10.1.0.1", "fd00:1::1"
LAYERS = (IP, TCP, UDP, ICMP, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded)


class Vnet(NamedTuple):
    """struct virtio_net_hdr."""

    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def pack(self) -> bytes:
        return struct.pack("=BBHHHH", *self)


PLAIN = Vnet()


class Out(NamedTuple):
    """A frame that left: on an interface, or back to the host."""

    to_host: bool
    ifindex: int
    vnet: Vnet
    frame: bytes

    @property
    def packet(self) -> Packet:
        return Ether(self.frame).payload

    @property
    def macs(self) -> tuple[bytes, bytes]:
        return self.frame[:6], self.frame[6:12]


class Lab:
    """One director; `words` are lines for ipvsadm, sysctls are keywords."""

    def __init__(self, *words: str, mtu: int = network.MTU, **sysctls: int) -> None:
        self.director = Director({"mtu": mtu, "sysctl": sysctls})
        self.engine = self.director.engine
        self.tables = self.director.tables
        for line in words:
            self.words(line)

    @property
    def now_ns(self) -> int:
        return self.director.now_ns

    def words(self, line: str, status: int = 0) -> str:
        """Say a line to ipvsadm; returns what it prints, on stderr when it is to fail."""
        event = self.director.play(["cmd", line, None])
        assert event[2] == status, event
        return str(event[4] if status else event[3])

    def wait(self, seconds: float) -> None:
        self.director.play(["wait", seconds])

    def send(self, packet: Packet | bytes, side: str = "client", vnet: Vnet = PLAIN) -> list[Out]:
        """Send an IP packet from the clients' or the servers' side."""
        ifindex, _, frame = network.frame(side, bytes(packet))
        return self.frames((ifindex, vnet.pack(), frame))

    def frames(self, *frames: tuple[int, bytes, bytes]) -> list[Out]:
        return self.outs(self.engine.process(list(frames), self.now_ns))

    @staticmethod
    def outs(rows: list[tuple[int, int, bytes, bytes]]) -> list[Out]:
        return [
            Out(kind == 1, ifindex, Vnet(*struct.unpack("=BBHHHH", vnet)), frame)
            for kind, ifindex, vnet, frame in rows
        ]

    def together(self, *packets: tuple[Packet | bytes, str, Vnet]) -> list[Out]:
        """Send packets of one side as a batch: each with its side and virtio-net header."""
        rows = []
        for packet, side, vnet in packets:
            ifindex, _, frame = network.frame(side, bytes(packet))
            rows.append((ifindex, vnet.pack(), frame))
        return self.outs(self.engine.process(rows, self.now_ns, 64))

    def one(self, packet: Packet | bytes, side: str = "client", vnet: Vnet = PLAIN) -> Out:
        """Send a packet that makes exactly one frame leave."""
        outs = self.send(packet, side, vnet)
        assert len(outs) == 1, (outs, self.engine.reasons())
        return outs[0]

    def verdict(self, packet: Packet | bytes, side: str = "client") -> str:
        """Say what becomes of a packet: drop, sent, host, ignore or held."""
        before = self.engine.verdicts()
        self.send(packet, side)
        after = self.engine.verdicts()
        changed = [name for name in after if after[name] != before[name]]
        assert len(changed) == 1
        return changed[0]

    def ask(
        self, sport: int, flags: str = "S", *, dst: str = f"{VIP}:80", src: str = CLIENT,
        proto: str = "tcp",
    ) -> str:  # fmt: skip
        """Send a packet of a client; returns where it went, in the recordings' words."""
        client = f"[{src}]:{sport}" if ":" in src else f"{src}:{sport}"
        return str(self.director.play(["pkt", proto, client, dst, flags, None])[-1])

    def answer(self, src: str, dst: str, flags: str = "SA", proto: str = "tcp") -> str:
        """Send a packet of a real server; returns from where the client sees it."""
        return str(self.director.play(["rpl", proto, src, dst, flags, None])[-1])

    def connections(self) -> list[list[Any]]:
        """Return [protocol, client, virtual, real, state, seconds] of every entry."""
        return sorted(connection_row(c) for c in self.tables.connections())

    def state(self, sport: int, src: str = CLIENT) -> tuple[str, int]:
        """Return state and seconds left of a client's connection."""
        found = [(r[4], r[5]) for r in self.connections() if r[1] == shown_text(src, sport)]
        assert len(found) == 1, self.connections()
        return found[0]

    def service(self, word: str = f"tcp {VIP}:80") -> ServiceState:
        return next(s for s in self.tables.services() if service_word(s.service.key) == word)

    def server(self, addr: str, word: str = f"tcp {VIP}:80") -> ServerState:
        servers = self.service(word).servers
        return next(s for s in servers if shown(s.server.key.addr, s.server.key.port) == addr)

    def loads(self, word: str = f"tcp {VIP}:80") -> dict[str, tuple[int, int, int]]:
        """Return {server: (active, inactive, persistent)}."""
        return {
            shown(s.server.key.addr, s.server.key.port): (s.active, s.inactive, s.persistent)
            for s in self.service(word).servers
        }


def shown_text(addr: str, port: int) -> str:
    return f"[{addr}]:{port}" if ":" in addr else f"{addr}:{port}"


def bare(packet: Packet) -> Packet:
    """Return the packet without any checksum, so that equal ones compare equal."""
    fresh = packet.copy()
    for layer in LAYERS:
        for at in range(1, 4):
            found = fresh.getlayer(layer, at)
            if found is not None:
                for name in ("chksum", "cksum"):
                    if name in found.fields:
                        delattr(found, name)
    return fresh


def sums_right(packet: Packet) -> bool:
    """Say whether scapy would have computed the same checksums (of the outermost headers)."""
    fresh = packet.copy()
    for layer in LAYERS:
        for name in ("chksum", "cksum"):
            if layer in fresh and name in fresh[layer].fields:
                delattr(fresh[layer], name)
    return bytes(fresh) == bytes(packet)


def head(v6: bool, src: str = "", dst: str = "", **fields: Any) -> Packet:
    """Return the IP header of a client's packet to the virtual address."""
    if v6:
        return IPv6(src=src or CLIENT6, dst=dst or VIP6, **fields)
    return IP(src=src or CLIENT, dst=dst or VIP, **fields)


def hops(v6: bool, n: int) -> dict[str, Any]:
    return {"hlim": n} if v6 else {"ttl": n}


def tos(v6: bool, value: int) -> dict[str, Any]:
    return {"tc": value} if v6 else {"tos": value}


def df(v6: bool) -> dict[str, Any]:
    return {} if v6 else {"flags": "DF"}


def partial(packet: Packet) -> tuple[bytes, Vnet]:
    """Leave a packet's TCP or UDP checksum to the device: pseudo-header only, and say so."""
    raw = bytearray(bytes(packet))
    l4 = 40 if raw[0] >> 4 == 6 else (raw[0] & 15) * 4
    protocol = raw[6] if raw[0] >> 4 == 6 else raw[9]
    at = l4 + (16 if protocol == 6 else 6)
    raw[at : at + 2] = struct.pack("!H", pseudo_sum(bytes(raw), l4, protocol))
    return bytes(raw), Vnet(NEEDS_CSUM, csum_start=14 + l4, csum_offset=at - l4)


def finished(out: Out) -> Packet:
    """Return the packet as the device sends it: with the checksum that was left to it."""
    if not out.vnet.flags & NEEDS_CSUM:
        return out.packet
    start, at = out.vnet.csum_start, out.vnet.csum_start + out.vnet.csum_offset
    value = checksum(out.frame[start:])
    return Ether(out.frame[:at] + struct.pack("!H", value) + out.frame[at + 2 :]).payload


def pseudo_sum(raw: bytes, l4: int, protocol: int) -> int:
    addrs = raw[8:40] if raw[0] >> 4 == 6 else raw[12:20]
    text = addrs + struct.pack("!II", len(raw) - l4, protocol)
    total: int = sum(struct.unpack(f"!{len(text) // 2}H", text))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


__all__ = ["CLIENT", "CLIENT6", "D0", "D1", "VIP", "VIP6", "Lab", "Out", "Vnet"]
