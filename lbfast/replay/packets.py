"""The packets of the recordings: making them from a short description and reading them back."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lbfast.replay.crc32c import crc32c

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}
ICMP_TYPES = 18
EXTENSIONS = (0, 43, 44, 60)


def checksum(data: bytes) -> int:
    """Returns the Internet checksum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def pseudo(src: bytes, dst: bytes, protocol: int, length: int) -> bytes:
    return src + dst + struct.pack("!II", length, protocol)


def sealed(src: bytes, dst: bytes, protocol: int, segment: bytes, at: int) -> bytes:
    """Returns the segment with its checksum, whose field is zero, filled in."""
    value = checksum(pseudo(src, dst, protocol, len(segment)) + segment)
    if value == 0 and protocol == UDP:
        value = 0xFFFF
    return segment[:at] + struct.pack("!H", value) + segment[at + 2 :]


def tcp_segment(
    sport: int, dport: int, seq: int, ack: int, flags: int, *, window: int = 0, data: bytes = b""
) -> bytes:
    header = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, window, 0, 0)
    return header + data


def icmp_packet(kind: int, code: int, rest: bytes, data: bytes, src: bytes, dst: bytes) -> bytes:
    body = bytes((kind, code, 0, 0)) + rest + data
    if len(src) == 16:
        return sealed(src, dst, ICMPV6, body, 2)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def ip_packet(
    src: bytes, dst: bytes, protocol: int, segment: bytes,
    *, ident: int = 1, df: bool = False, tos: int = 0, ttl: int = 64,
) -> bytes:  # fmt: skip
    """Puts an IP header in front; TCP and UDP checksums are computed when their field is 0."""
    at = {TCP: 16, UDP: 6}.get(protocol)
    if at is not None and segment[at : at + 2] == b"\0\0":
        segment = sealed(src, dst, protocol, segment, at)
    if len(src) == 16:
        return (
            struct.pack("!IHBB", 6 << 28 | tos << 20, len(segment), protocol, ttl)
            + src
            + dst
            + segment
        )
    header = (
        struct.pack(
            "!BBHHHBBH", 0x45, tos, 20 + len(segment), ident & 0xFFFF, df << 14, ttl, protocol, 0
        )
        + src
        + dst
    )
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + segment


@dataclass(frozen=True, slots=True)
class Packet:
    data: bytes
    version: int
    src: bytes
    dst: bytes
    protocol: int
    ttl: int
    header_len: int
    next_header_at: int
    df: bool
    is_later_fragment: bool

    @property
    def payload(self) -> bytes:
        return self.data[self.header_len :]

    @property
    def sport(self) -> int:
        return int.from_bytes(self.payload[0:2], "big")

    @property
    def dport(self) -> int:
        return int.from_bytes(self.payload[2:4], "big")

    @property
    def is_icmp_error(self) -> bool:
        if self.protocol == ICMP:  # types nobody knows count as errors
            kind = self.payload[0] if self.payload else 0
            return kind in (3, 4, 5, 11, 12) or kind > ICMP_TYPES
        return self.protocol == ICMPV6 and self.payload[:1] < b"\x80"


def parse(data: bytes) -> Packet | None:
    """Reads an IP packet; None when the host would not take it."""
    if len(data) >= 40 and data[0] >> 4 == 6:
        return _parse_v6(data)
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    header_len = (data[0] & 15) * 4
    total, _, frag = struct.unpack("!HHH", data[2:8])
    if header_len < 20 or not header_len <= total <= len(data) or checksum(data[:header_len]):
        return None
    data = data[:total]
    return Packet(
        data, 4, data[12:16], data[16:20], data[9], data[8], header_len, 9,
        bool(frag & 0x4000), bool(frag & 0x1FFF),
    )  # fmt: skip


def _parse_v6(data: bytes) -> Packet | None:
    total = 40 + struct.unpack("!H", data[4:6])[0]
    if total > len(data):
        return None
    data = data[:total]
    at, protocol, named_at, later = 40, data[6], 6, False
    while protocol in EXTENSIONS and at + 8 <= total:
        size = 8 if protocol == 44 else (data[at + 1] + 1) * 8
        if protocol == 44:
            later = bool(struct.unpack("!H", data[at + 2 : at + 4])[0] & 0xFFF8)
        protocol, named_at, at = data[at], at, at + size
    return Packet(data, 6, data[8:24], data[24:40], protocol, data[7], at, named_at, False, later)


def l4_checksum_ok(p: Packet) -> bool:
    """Returns whether the transport checksum is right (UDP over IPv4: or absent)."""
    body = p.payload
    if p.protocol == UDP:
        length = int.from_bytes(body[4:6], "big")
        if length < 8 or length > len(body):
            return False
        body = body[:length]
        if body[6:8] == b"\0\0":
            return p.version == 4
    if p.protocol == ICMP:
        return checksum(body) == 0
    return checksum(pseudo(p.src, p.dst, p.protocol, len(body)) + body) == 0


# ---- from the description of a `pkt` or `rpl` event


def _tcp(sport: int, dport: int, flags: str, options: dict[str, object]) -> bytes:
    bits = sum(TCP_FLAGS[f] for f in flags)
    ack = 2000 if "A" in flags else 0
    return tcp_segment(sport, dport, 1000, ack, bits, window=8192, data=_data(options, 0))


def _udp(sport: int, dport: int, flags: str, options: dict[str, object]) -> bytes:
    data = _data(options, 8)
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def _data(options: dict[str, object], default: int) -> bytes:
    if "data" in options:
        return str(options["data"]).encode()
    return b"x" * int(str(options.get("len", default)))


CHUNKS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5,
    "ABORT": 6, "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10,
    "COOKIE_ACK": 11, "ECNE": 12, "CWR": 13, "SHUTDOWN_COMPLETE": 14,
}  # fmt: skip


def _chunk(name: str, length: int) -> bytes:
    body = {
        "INIT": struct.pack("!IIHHI", 3000, 65536, 1, 1, 100),
        "INIT_ACK": struct.pack("!IIHHIHH", 4000, 65536, 1, 1, 200, 7, 8) + b"cook",
        "SACK": struct.pack("!IIHH", 100, 65536, 0, 0),
        "SHUTDOWN": struct.pack("!I", 100),
        "DATA": struct.pack("!IHHI", 100, 0, 0, 0) + b"x" * length,
        "COOKIE_ECHO": b"cook" + b"x" * length,
        "HEARTBEAT": struct.pack("!HH", 1, 8) + b"beat",
        "HEARTBEAT_ACK": struct.pack("!HH", 1, 8) + b"beat",
    }.get(name, b"")
    flags = 3 if name == "DATA" else 0
    head = struct.pack("!BBH", CHUNKS[name], flags, 4 + len(body))
    return head + body + b"\0" * (-len(body) % 4)


def _sctp(sport: int, dport: int, flags: str, options: dict[str, object]) -> bytes:
    names = flags.split("+")
    tag = 0 if names[0] == "INIT" else 3000
    length = int(str(options.get("len", 4)))
    chunks = b"".join(_chunk(n, length) for n in names)
    head = struct.pack("!HHI", sport, dport, tag)
    crc = crc32c(head + b"\0\0\0\0" + chunks)
    return head + struct.pack("<I", crc) + chunks


BUILDERS = {"tcp": _tcp, "udp": _udp, "sctp": _sctp}


def build(
    protocol: str, src: tuple[bytes, int], dst: tuple[bytes, int], flags: str,
    options: dict[str, object],
) -> bytes:  # fmt: skip
    """Makes the IP packet of a `pkt` or `rpl` event; sources and targets are (address, port)."""
    segment = BUILDERS[protocol](src[1], dst[1], flags, options)
    return ip_packet(src[0], dst[0], PROTOCOLS[protocol], segment)
