"""VRRP adverts as bytes, versions 2 and 3, over IPv4 and IPv6 (spec 4.1, RFC 3768, RFC 9568).

Version 2:                                Version 3:
```
0       1       2         3               0       1       2         3
+-------+-------+---------+---------+     +-------+-------+---------+---------+
| 2 | 1 | VRID  | priority| count   |     | 3 | 1 | VRID  | priority| count   |
+-------+-------+---------+---------+     +-------+-------+---------+---------+
| auth  | int s |     checksum      |     | 0 | interval cs   |     checksum  |
+-------+-------+-------------------+     +-------+-------+-------------------+
| addresses, 4 bytes each           |     | addresses, 4 or 16 bytes each     |
| authentication data, 8 bytes      |     +-----------------------------------+
+-----------------------------------+
```
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from lbfast.errors import WireError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.vrrp import AuthType

IPPROTO_VRRP = 112
IPPROTO_AH = 51
TTL = 255
TOS = 0xC0
HEADER_LEN = 8
AUTH_LEN = 8
AH_LEN = 24
IPV4_LEN = 20
ADVERTISEMENT = 1
CENTISECOND_US = 10_000
_SECOND_US = 1_000_000
_ICV_LEN = 12
_MAX_CENTISECONDS = 0xFFF
_HEADER = struct.Struct("!BBBBHH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_AH = struct.Struct("!BBHIII")  # next header, length, reserved, SPI, sequence; then the ICV


@dataclass(frozen=True, slots=True)
class Advert:
    """One advertisement; `priority` 0 says that its sender stops being master."""

    version: int
    vrid: int
    priority: int
    interval_us: int  # whole seconds in version 2, whole centiseconds in version 3
    addresses: tuple[bytes, ...] = ()
    auth_type: int = AuthType.NONE
    auth_data: bytes = b""  # version 2: at most 8 bytes
    kind: int = ADVERTISEMENT


def ones_sum(data: bytes) -> int:
    """Return the ones-complement sum of 16-bit words, folded (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(src: bytes, dst: bytes, length: int) -> bytes:
    """Return what version 3 adds to the checksum, for either family."""
    if len(src) == 4:
        return src + dst + struct.pack("!BBH", 0, IPPROTO_VRRP, length)
    return src + dst + struct.pack("!IHBB", length, 0, 0, IPPROTO_VRRP)


def encode(advert: Advert, src: bytes = b"", dst: bytes = b"") -> bytes:
    """Return the VRRP message with its checksum.

    Version 3 and everything over IPv6 sum the pseudo header of `src` and `dst` too; empty
    addresses leave it out (version 2, or `v3_checksum_as_v2`).
    """
    count = len(advert.addresses)
    first = advert.version << 4 | advert.kind
    if advert.version == 2:
        middle = advert.auth_type << 8 | advert.interval_us // _SECOND_US & 0xFF
    else:
        middle = min(advert.interval_us // CENTISECOND_US, _MAX_CENTISECONDS)
    body = b"".join(advert.addresses)
    if advert.version == 2 and not src:
        body += advert.auth_data[:AUTH_LEN].ljust(AUTH_LEN, b"\0")
    head = _HEADER.pack(first, advert.vrid, advert.priority, count, middle, 0)
    pseudo = pseudo_header(src, dst, len(head) + len(body)) if src else b""
    checksum = 0xFFFF - ones_sum(pseudo + head + body)
    return head[:6] + checksum.to_bytes(2, "big") + body


def length_of(message: bytes, family: int) -> int:
    """Return the length that a message's own header announces; it must have HEADER_LEN bytes."""
    size = 4 if family == AF_INET else 16
    trailer = AUTH_LEN if message[0] >> 4 == 2 and family == AF_INET else 0
    return HEADER_LEN + message[3] * size + trailer


def decode(message: bytes, family: int) -> Advert:
    """Return what a message says; its checksum is not looked at.

    Raises WireError if it is shorter than its header and its count of addresses announce.
    """
    if len(message) < HEADER_LEN or len(message) < length_of(message, family):
        raise WireError(f"advert: {len(message)} bytes are fewer than its header announces")
    first, vrid, priority, count, middle, _ = _HEADER.unpack_from(message)
    size = 4 if family == AF_INET else 16
    end = HEADER_LEN + count * size
    addresses = tuple(message[at : at + size] for at in range(HEADER_LEN, end, size))
    version, kind = first >> 4, first & 0xF
    if version == 2:
        data = message[end : end + AUTH_LEN] if family == AF_INET else b""
        interval_us = (middle & 0xFF) * _SECOND_US
        return Advert(2, vrid, priority, interval_us, addresses, middle >> 8, data, kind)
    interval_us = (middle & _MAX_CENTISECONDS) * CENTISECOND_US
    return Advert(version, vrid, priority, interval_us, addresses, kind=kind)


def checksum_holds(message: bytes, src: bytes = b"", dst: bytes = b"") -> bool:
    """Say whether the sum over message (and pseudo header, if addresses are given) is right."""
    pseudo = pseudo_header(src, dst, len(message)) if src else b""
    return ones_sum(pseudo + message) == 0xFFFF


def ipv4_header(src: bytes, dst: bytes, length: int, fields: tuple[int, int, int]) -> bytes:
    """Return an IPv4 header without options in front of `length` bytes.

    `fields` are identification, TTL and protocol; DF is clear and the checksum is filled in.
    """
    ident, ttl, protocol = fields
    total = IPV4_LEN + length
    words = (0x45, TOS, total, ident, 0, ttl, protocol)
    bare = _IPV4.pack(*words, 0, src, dst)
    return _IPV4.pack(*words, 0xFFFF - ones_sum(bare), src, dst)


def ah_icv(header: bytes, ah: bytes, message: bytes, key: bytes, *, unicast: bool) -> bytes:
    """Return the 12 bytes that authenticate a packet: HMAC-MD5-96 (RFC 2403) as keepalived does.

    `ah` is the authentication header's first 12 bytes.  TOS, fragment field and header checksum
    count as zero; the TTL does so in unicast mode only.
    """
    fixed = bytearray(header[:IPV4_LEN])
    fixed[1] = 0
    fixed[6:8] = fixed[10:12] = b"\0\0"
    if unicast:
        fixed[8] = 0
    data = bytes(fixed) + ah[: AH_LEN - _ICV_LEN] + bytes(_ICV_LEN) + message
    return hmac.digest(key[:AUTH_LEN].ljust(AUTH_LEN, b"\0"), data, "md5")[:_ICV_LEN]


def ah_header(src: bytes, sequence: int) -> bytes:
    """Return the first 12 bytes of the authentication header; the SPI is the source address."""
    spi = int.from_bytes(src, "big")
    return _AH.pack(IPPROTO_VRRP, AH_LEN // 4 - 2, 0, spi, sequence, 0)[:12]


def ah_sequence(ah: bytes) -> int:
    return int.from_bytes(ah[8:12], "big")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an IPv4 packet of ours carries besides the advert."""

    src: bytes
    dst: bytes
    ident: int = 0  # 0: the kernel chooses one
    ttl: int = TTL
    unicast: bool = False
    key: bytes | None = None  # authenticate with it (AH)
    sequence: int = 0  # of AH


def ipv4_packet(message: bytes, envelope: Envelope) -> bytes:
    """Return the whole IPv4 packet for a message."""
    src, dst = envelope.src, envelope.dst
    if envelope.key is None:
        fields = (envelope.ident, envelope.ttl, IPPROTO_VRRP)
        return ipv4_header(src, dst, len(message), fields) + message
    fields = (envelope.ident, envelope.ttl, IPPROTO_AH)
    header = ipv4_header(src, dst, AH_LEN + len(message), fields)
    ah = ah_header(src, envelope.sequence)
    icv = ah_icv(header, ah, message, envelope.key, unicast=envelope.unicast)
    return header + ah + icv + message


@dataclass(frozen=True, slots=True)
class Received:
    """A packet as the socket gave it, taken apart; nothing of it is believed yet."""

    family: int
    src: bytes
    dst: bytes
    ttl: int  # -1: not told
    protocol: int
    message: bytes
    header: bytes = b""  # IPv4: the IP header
    ah: bytes = b""  # 24 bytes, if protocol is AH

    @property
    def to_group(self) -> bool:
        """Say whether it was sent to a multicast address."""
        return self.dst[0] >> 4 == 0xE if len(self.dst) == 4 else self.dst[:1] == b"\xff"


def split_ipv4(packet: bytes) -> Received:
    """Take a packet of an IPv4 raw socket apart; WireError if it is cut short."""
    if len(packet) < IPV4_LEN or packet[0] >> 4 != 4:
        raise WireError(f"IPv4 packet: {len(packet)} bytes, expected a header of 20")
    ihl = (packet[0] & 0xF) * 4
    protocol, total = packet[9], int.from_bytes(packet[2:4], "big")
    rest = packet[ihl:total]
    ah = b""
    if protocol == IPPROTO_AH:
        ah, rest = rest[:AH_LEN], rest[AH_LEN:]
    if ihl < IPV4_LEN or total > len(packet) or len(ah) not in (0, AH_LEN):
        raise WireError(f"IPv4 packet: header of {ihl} bytes announces {total} of {len(packet)}")
    return Received(
        AF_INET, packet[12:16], packet[16:20], packet[8], protocol, rest, packet[:ihl], ah
    )


def received_ipv6(src: bytes, dst: bytes, hop_limit: int, message: bytes) -> Received:
    """Return what an IPv6 raw socket gave: the message and its ancillary data."""
    return Received(AF_INET6, src, dst, hop_limit, IPPROTO_VRRP, message)
