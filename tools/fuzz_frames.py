"""Frames for the fuzzer: a corpus of valid ones, made once, and what is done to them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from random import Random

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkCookieEcho, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet, Raw

from lbfast.replay import network
from tools.fuzz_world import FULLNAT, LOCAL_PORTS, SERVERS, SERVERS6, VLAN_ID, Service
from tools.fuzz_world import SCTP as SCTP_NUMBER
from tools.fuzz_world import UDP as UDP_NUMBER

Frame = tuple[int, bytes, bytes]  # interface, virtio-net header, Ethernet frame
PLAIN = bytes(10)
CLIENT, CLIENT6 = "10.1.0.1", "fd00:1::1"
CLIENT_PORT = 40000
EXTREMES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0xFF00, 0x00FF, 0x2000, 0x4500, 0x6000, 0x0800, 20, 60)
FTP_LINES = (
    b"PORT 10,1,0,1,200,10\r\n",
    b"EPRT |2|fd00:1::1|51210|\r\n",
    b"227 Entering Passive Mode (10,2,0,1,200,11)\r\n",
    b"229 Entering Extended Passive Mode (|||51211|)\r\n",
)


def corpus(services: list[Service]) -> list[Frame]:
    """Return valid frames of every kind for these services, both ways, and some for none."""
    frames = []
    for service in services:
        for packet in requests(service):
            frames.append(framed("client", packet))
        for packet in replies(service):
            frames.append(framed("real", packet))
    frames += super_frames(services)
    frames += [framed("client", packet) for packet in odd_packets()]
    frames += [tagged(frame) for frame in frames[::7]]
    arp = Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="10.1.255.254")
    return [*frames, (network.D0, PLAIN, bytes(arp))]


def framed(side: str, packet: Packet) -> Frame:
    ifindex, _, frame = network.frame(side, bytes(packet))
    return ifindex, PLAIN, frame


def tagged(frame: Frame) -> Frame:
    """Return the frame with a VLAN tag, as on a trunk."""
    tag = struct.pack("!HH", 0x8100, VLAN_ID)
    return network.D1, frame[1], frame[2][:12] + tag + frame[2][12:]


def transports(service: Service, sport: int, dport: int) -> Iterator[Packet]:
    """Yield transport packets as a connection has them from birth to end."""
    if service.key[1] == UDP_NUMBER:
        yield UDP(sport=sport, dport=dport) / Raw(b"question")
        yield UDP(sport=sport, dport=dport, chksum=0) / Raw(bytes(1400))
    elif service.key[1] == SCTP_NUMBER:
        for chunk in (SCTPChunkInit(), SCTPChunkInitAck(), SCTPChunkCookieEcho()):
            yield SCTP(sport=sport, dport=dport, tag=1) / chunk
    else:
        for flags in ("S", "SA", "A", "PA", "FA", "R", ""):
            yield TCP(sport=sport, dport=dport, flags=flags) / Raw(b"GET / HTTP/1.1\r\n\r\n")
        yield TCP(sport=sport, dport=dport, flags="A") / Raw(bytes(1440))
        if 21 in (sport, dport):
            for line in FTP_LINES:
                yield TCP(sport=sport, dport=dport, flags="PA") / Raw(line)


def requests(service: Service) -> Iterator[Packet]:
    """Yield what a client sends to the service: whole, in fragments, and errors about replies."""
    for number, payload in enumerate(transports(service, CLIENT_PORT, service.port)):
        if service.is_v6:
            yield IPv6(src=CLIENT6, dst=service.vip, hlim=64 - 63 * (number == 1)) / payload
            continue
        ip = IP(src=CLIENT, dst=service.vip, flags="DF" if number & 1 else "")
        yield ip / payload
        if number == 0:
            yield IP(src=CLIENT, dst=service.vip, ttl=1) / payload
            yield IP(src=CLIENT, dst=service.vip, options=[IPOption_RR()]) / payload
    yield from fragments(service)
    yield from errors(service, CLIENT6 if service.is_v6 else CLIENT, service.vip)


def replies(service: Service) -> Iterator[Packet]:
    """Yield what a real server answers, and errors about requests."""
    client = CLIENT6 if service.is_v6 else CLIENT
    server = (SERVERS6 if service.is_v6 else SERVERS)[0]
    port = 8000 if service.port == 80 else service.port
    header = IPv6 if service.is_v6 else IP
    if service.way.method == FULLNAT:
        client = str(ip_address(service.laddr))
        for number, payload in enumerate(transports(service, port, CLIENT_PORT)):
            payload.dport = LOCAL_PORTS[number % len(LOCAL_PORTS)]
            yield header(src=server, dst=client) / payload
        yield from errors(service, server, client)
        return
    for payload in transports(service, port, CLIENT_PORT):
        yield header(src=server, dst=client) / payload
    yield from errors(service, server, client)


def errors(service: Service, source: str, target: str) -> Iterator[Packet]:
    """Yield ICMP errors from `source` about what `target` sent it."""
    client = source in (CLIENT, CLIENT6)
    ports = (service.port, CLIENT_PORT) if client else (CLIENT_PORT, service.port)
    payload = next(transports(service, *ports))
    if service.is_v6:
        about = IPv6(src=target, dst=source) / payload
        for error in (ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=1300)):
            yield IPv6(src=source, dst=target) / error / about
        return
    about = IP(src=target, dst=source, flags="DF") / payload
    for kind, code in ((3, 3), (3, 4), (11, 0), (4, 0), (12, 0)):
        yield IP(src=source, dst=target) / ICMP(type=kind, code=code, nexthopmtu=1300) / about


def fragments(service: Service) -> Iterator[Packet]:
    """Yield the fragments of one large request, the last one first."""
    payload = bytes(next(transports(service, CLIENT_PORT, service.port))) + bytes(2000)
    parts = [(at, payload[at : at + 800]) for at in range(0, len(payload), 800)]
    for at, part in reversed(parts):
        more = int(at + 800 < len(payload))
        if service.is_v6:
            extension = IPv6ExtHdrFragment(nh=service.key[1] or 6, offset=at // 8, m=more, id=77)
            yield IPv6(src=CLIENT6, dst=service.vip) / extension / Raw(part)
        else:
            ip = IP(src=CLIENT, dst=service.vip, id=77, frag=at // 8, flags=more)
            ip.proto = service.key[1] or 6
            yield ip / Raw(part)


def super_frames(services: list[Service]) -> Iterator[Frame]:
    """Yield TCP and UDP super-frames and frames whose checksum is not computed yet."""
    for service in services:
        header = 40 if service.is_v6 else 20
        for number, payload in enumerate(transports(service, CLIENT_PORT, service.port)):
            if service.key[1] == SCTP_NUMBER:
                continue
            udp = service.key[1] == UDP_NUMBER
            ip = IPv6(src=CLIENT6, dst=service.vip) if service.is_v6 else None
            ip = ip or IP(src=CLIENT, dst=service.vip, flags="DF")
            large = bytes(ip / payload / Raw(bytes(4000 * (number & 1))))
            gso = (5 if udp else 4 if service.is_v6 else 1) if number & 1 else 0
            start, length = 14 + header, 8 if udp else 20
            vnet = struct.pack(
                "=BBHHHH", 1, gso, start + length, 1400 if gso else 0, start, 6 if udp else 16
            )
            ifindex, _, frame = network.frame("client", large)
            yield ifindex, vnet, frame


def odd_packets() -> Iterator[Packet]:
    """Yield packets for no service: pings, extension headers, tunnels, unknown protocols."""
    tcp = TCP(sport=CLIENT_PORT, dport=80)
    yield IP(src=CLIENT, dst="10.9.0.1") / ICMP() / Raw(b"ping")
    yield IP(src=CLIENT, dst="10.9.0.1") / IP(src=CLIENT, dst="10.9.0.2") / tcp
    yield IP(src=CLIENT, dst="10.9.0.1", proto=47) / Raw(bytes(40))
    yield IP(src=CLIENT, dst="10.9.0.1", proto=51) / Raw(bytes(40))
    yield IP(src="127.0.0.1", dst="10.9.0.1") / tcp
    yield IPv6(src=CLIENT6, dst="fd00:9::1") / ICMPv6EchoRequest()
    for extension in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting()):
        yield IPv6(src=CLIENT6, dst="fd00:9::1") / extension / tcp
        yield IPv6(src=CLIENT6, dst="fd00:9::1") / extension / extension / tcp
    yield IPv6(src=CLIENT6, dst="fd00:9::1") / IPv6ExtHdrFragment() / tcp


# ---------------------------------------------------------------- what is done to them


class Mutator:
    """An endless, reproducible stream of frames."""

    def __init__(self, templates: list[Frame], seed: int) -> None:
        self.templates = templates
        self.random = Random(seed)

    def batch(self, count: int) -> list[Frame]:
        bits, templates, n = self.random.getrandbits, self.templates, len(self.templates)
        frames = []
        for _ in range(count):
            dice = bits(40)
            frame = templates[(dice >> 8) % n]
            change = CHANGES[dice & 15]
            frames.append(change(self, frame, bits(48)) if change else frame)
        return frames


def _sealed(frame: Frame, data: bytearray, dice: int) -> Frame:
    """Return the frame with new bytes, mostly with a right IPv4 header checksum."""
    if dice & 3 and len(data) >= 34 and data[12:14] == b"\x08\x00":
        size = (data[14] & 15) * 4
        if 20 <= size <= len(data) - 14:
            data[24:26] = b"\0\0"
            total = sum(struct.unpack_from(f"!{size // 2}H", data, 14)) % 0xFFFF
            struct.pack_into("!H", data, 24, 0xFFFF - total)
    return frame[0], frame[1], bytes(data)


def flip(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Overwrite up to four bytes, mostly in the headers."""
    data = bytearray(frame[2])
    reach = min(len(data), 90 if dice & 4 else 0xFFFF)
    for _ in range(1 + (dice >> 3 & 3)):
        where = mutator.random.getrandbits(24)
        data[(where >> 8) % reach] = where & 255
    return _sealed(frame, data, dice)


def extreme(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Put a value of the kind that breaks arithmetic into a 16-bit field."""
    data = bytearray(frame[2])
    at = 12 + (dice >> 8) % 40 * 2
    if at + 2 <= len(data):
        struct.pack_into("!H", data, at, EXTREMES[(dice >> 24) % len(EXTREMES)])
    return _sealed(frame, data, dice)


def truncate(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    return frame[0], frame[1], frame[2][: (dice >> 8) % len(frame[2])]


def extend(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    return frame[0], frame[1], frame[2] + mutator.random.randbytes((dice >> 8) % 64)


def splice(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Join the head of one frame to the tail of another."""
    other = mutator.templates[(dice >> 16) % len(mutator.templates)][2]
    at = (dice & 0x7F) + 14
    return _sealed(frame, bytearray(frame[2][:at] + other[at:]), dice >> 8)


def noise(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Keep the Ethernet header, and nothing else."""
    return frame[0], frame[1], frame[2][:14] + mutator.random.randbytes((dice >> 8) % 120)


def flow(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Take another client port: another connection, and otherwise valid."""
    data = bytearray(frame[2])
    at = 54 if data[12:14] == b"\x86\xdd" else 34
    if at + 2 <= len(data):
        struct.pack_into("!H", data, at, dice & 0xFFFF)
    return frame[0], frame[1], bytes(data)


def offload(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Change the virtio-net header: any bytes, or one extreme value in a field of it."""
    if dice & 1:
        return frame[0], mutator.random.randbytes(10), frame[2]
    vnet = bytearray(frame[1])
    struct.pack_into("=H", vnet, (dice >> 8) % 5 * 2, EXTREMES[(dice >> 16) % len(EXTREMES)])
    return frame[0], bytes(vnet), frame[2]


def side(mutator: Mutator, frame: Frame, dice: int) -> Frame:
    """Let it arrive on the other interface."""
    return network.D0 + network.D1 - frame[0], frame[1], frame[2]


Change = Callable[[Mutator, Frame, int], Frame]
CHANGES: tuple[Change | None, ...] = (
    *(None, None, None),
    *(flow, flow, flip, flip, flip),
    *(extreme, extreme, truncate, extend, splice),
    *(noise, offload, side),
)
assert len(CHANGES) == 16
