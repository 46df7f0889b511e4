"""Unwraps one tunnelled packet: is it ours, and how complete is its checksum.

A raw socket hands over packets without their offload metadata, so an inner checksum that the
sender left to its device arrives unfinished: it holds the sum of the pseudo-header alone.  Such a
field is recognised by its value, and the virtio-net header then says "to be completed", which the
receiving host takes as right, as it would have taken the packet itself.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Container

ETHERNET_PAYLOAD = 1500
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_ECN = 0, 1, 4, 0x80
TCP, UDP, SCTP = 6, 17, 132
CHECKSUM_AT = {TCP: 16, UDP: 6, SCTP: 8}
VNET = struct.Struct("<BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
COMPLETE = VNET.pack(0, GSO_NONE, 0, 0, 0, 0)


class Refusal(enum.Enum):
    """Why a tunnelled packet is dropped."""

    SHORT = "shorter than its headers say"
    FOREIGN = "for an address that is no VIP here"
    CONGESTED = "congestion marked on a packet that cannot carry the mark (RFC 6040)"


def inner_length(inner: memoryview, is_v6: bool) -> int:
    """Return the length that the inner header states; 0 if it is not such a packet."""
    if len(inner) < (40 if is_v6 else 20) or inner[0] >> 4 != (6 if is_v6 else 4):
        return 0
    length = int.from_bytes(inner[4:6], "big") + 40 if is_v6 else int.from_bytes(inner[2:4], "big")
    header = 40 if is_v6 else (inner[0] & 15) * 4
    return length if header <= length <= len(inner) else 0


def unwrap(
    inner: memoryview, is_v6: bool, outer_ecn: int, vips: Container[bytes]
) -> bytes | Refusal:
    """Judge an inner packet of exactly its own length.

    Returns the virtio-net header to write before it.  An outer congestion mark is copied into
    it in place.
    """
    if bytes(inner[24:40] if is_v6 else inner[16:20]) not in vips:
        return Refusal.FOREIGN
    if outer_ecn == 3 and not _mark(inner, is_v6):
        return Refusal.CONGESTED
    if is_v6:
        return _metadata(inner, inner[6], 40, GSO_TCPV6, int.from_bytes(inner[8:40], "big"))
    if int.from_bytes(inner[6:8], "big") & 0x3FFF:  # a fragment
        return COMPLETE
    header = (inner[0] & 15) * 4
    return _metadata(inner, inner[9], header, GSO_TCPV4, int.from_bytes(inner[12:20], "big"))


def _metadata(inner: memoryview, protocol: int, header: int, gso: int, addresses: int) -> bytes:
    """Return the virtio-net header; `addresses` is both as one number, for the sum."""
    at = CHECKSUM_AT.get(protocol)
    length = len(inner) - header
    if at is None or length < at + 2:
        return COMPLETE
    field = int.from_bytes(inner[header + at : header + at + 2], "big")
    # a number of 16-bit words and their one's-complement sum are equal modulo 65535
    pseudo = (addresses + protocol + length) % 0xFFFF
    if protocol == SCTP:
        pseudo = 0
    if field % 0xFFFF != pseudo or (protocol == UDP and field == 0):
        return COMPLETE
    if protocol == TCP and len(inner) > ETHERNET_PAYLOAD:
        headers = header + (inner[header + 12] >> 4) * 4
        if inner[header + 13] & 0x80:  # CWR: only the first segment carries it
            gso |= GSO_ECN
        return VNET.pack(NEEDS_CSUM, gso, headers, ETHERNET_PAYLOAD - headers, header, at)
    return VNET.pack(NEEDS_CSUM, GSO_NONE, 0, 0, header, at)


def _mark(inner: memoryview, is_v6: bool) -> bool:
    """Set CE in the inner header; False if its transport does not know ECN (RFC 6040 4.2)."""
    if is_v6:
        if not inner[1] & 0x30:
            return False
        inner[1] |= 0x30
        return True
    if not inner[1] & 3:
        return False
    # RFC 1624 eqn 3 on the first header word
    old = int.from_bytes(inner[0:2], "big")
    inner[1] |= 3
    checksum = ~int.from_bytes(inner[10:12], "big") & 0xFFFF
    checksum += (~old & 0xFFFF) + int.from_bytes(inner[0:2], "big")
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    inner[10:12] = (~checksum & 0xFFFF).to_bytes(2, "big")
    return True
