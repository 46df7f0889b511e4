"""Frames that tell neighbours where a virtual address lives now (spec 4.2); pure."""

from __future__ import annotations

import struct

from lbfast.vrrp.packet import ones_sum

BROADCAST = b"\xff" * 6
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ETH_ARP, _ETH_IPV6 = b"\x08\x06", b"\x86\xdd"
_ARP_HEAD = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)  # Ethernet, IPv4, request
_NEIGHBOR_ADVERTISEMENT = 136
_ROUTER, _OVERRIDE = 0x80000000, 0x20000000
_IPPROTO_ICMPV6 = 58


def gratuitous_arp(mac: bytes, addr: bytes) -> bytes:
    """Return the broadcast ARP request of an IPv4 address for itself."""
    return BROADCAST + mac + _ETH_ARP + _ARP_HEAD + mac + addr + BROADCAST + addr


def unsolicited_na(mac: bytes, addr: bytes, *, is_router: bool) -> bytes:
    """Return the neighbour advertisement of an IPv6 address to all nodes (RFC 4861 7.2.6)."""
    flags = _OVERRIDE | (_ROUTER if is_router else 0)
    body = struct.pack("!BBHI", _NEIGHBOR_ADVERTISEMENT, 0, 0, flags) + addr + b"\x02\x01" + mac
    pseudo = addr + ALL_NODES + struct.pack("!IHBB", len(body), 0, 0, _IPPROTO_ICMPV6)
    checksum = 0xFFFF - ones_sum(pseudo + body)
    body = body[:2] + checksum.to_bytes(2, "big") + body[4:]
    header = struct.pack("!IHBB", 0x60000000, len(body), _IPPROTO_ICMPV6, 255)
    return _ALL_NODES_MAC + mac + _ETH_IPV6 + header + addr + ALL_NODES + body


def announcement(mac: bytes, addr: bytes, *, is_router: bool = False) -> bytes:
    """Return the frame for an address of either family."""
    if len(addr) == 4:
        return gratuitous_arp(mac, addr)
    return unsolicited_na(mac, addr, is_router=is_router)
