"""Unwrapping a tunnelled packet: length, address, checksum, congestion mark."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from lbfast.realservers.unwrap import (
    COMPLETE,
    GSO_TCPV4,
    GSO_TCPV6,
    NEEDS_CSUM,
    VNET,
    Refusal,
    inner_length,
    unwrap,
)

VIP4, VIP6 = "198.51.100.1", "2001:db8:9::1"
VIPS = frozenset(ipaddress.ip_address(vip).packed for vip in (VIP4, VIP6))
NETWORK = {False: IP(src="203.0.113.7", dst=VIP4), True: IPv6(src="2001:db8:7::7", dst=VIP6)}


def packet(is_v6: bool, segment: Packet) -> memoryview:
    return memoryview(bytearray(bytes(NETWORK[is_v6] / segment)))


def pseudo(raw: memoryview, is_v6: bool, protocol: int) -> int:
    """Return the sum over the pseudo-header, word by word."""
    ends = bytes(raw[8:40] if is_v6 else raw[12:20])
    words = [int.from_bytes(ends[i : i + 2], "big") for i in range(0, len(ends), 2)]
    total = sum(words) + protocol + len(raw) - (40 if is_v6 else 20)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("is_v6", [False, True])
def test_finished_segment_is_left_to_be_verified(is_v6: bool) -> None:
    assert unwrap(packet(is_v6, TCP() / b"data"), is_v6, 0, VIPS) == COMPLETE


@pytest.mark.parametrize("is_v6", [False, True])
@pytest.mark.parametrize(
    ("segment", "protocol", "at"), [(TCP(), 6, 16), (UDP(), 17, 6)], ids=["tcp", "udp"]
)
@given(payload=st.binary(min_size=0, max_size=1300))
def test_unfinished_checksum_is_told_by_its_value(
    is_v6: bool, segment: Packet, protocol: int, at: int, payload: bytes
) -> None:
    raw = packet(is_v6, segment / Raw(payload))
    header = 40 if is_v6 else 20
    raw[header + at : header + at + 2] = pseudo(raw, is_v6, protocol).to_bytes(2, "big")
    expected = VNET.pack(NEEDS_CSUM, 0, 0, 0, header, at)
    assert unwrap(raw, is_v6, 0, VIPS) == expected


@pytest.mark.parametrize(("is_v6", "gso"), [(False, GSO_TCPV4), (True, GSO_TCPV6)])
def test_unfinished_super_frame_keeps_segments_of_a_sane_size(is_v6: bool, gso: int) -> None:
    raw = packet(is_v6, TCP() / Raw(bytes(20000)))
    header = 40 if is_v6 else 20
    raw[header + 16 : header + 18] = pseudo(raw, is_v6, 6).to_bytes(2, "big")
    assert unwrap(raw, is_v6, 0, VIPS) == VNET.pack(
        NEEDS_CSUM, gso, header + 20, 1500 - header - 20, header, 16
    )


def test_datagram_without_checksum_is_left_alone() -> None:
    assert unwrap(packet(False, UDP(chksum=0) / b"data"), False, 0, VIPS) == COMPLETE


def test_other_protocol_and_fragment_are_left_alone() -> None:
    assert unwrap(packet(False, ICMP()), False, 0, VIPS) == COMPLETE
    piece = IP(src="203.0.113.7", dst=VIP4, proto=6, frag=100) / Raw(bytes(40))
    assert unwrap(memoryview(bytearray(bytes(piece))), False, 0, VIPS) == COMPLETE


def test_address_that_is_no_vip_is_refused() -> None:
    raw = memoryview(bytearray(bytes(IP(dst="198.51.100.2") / UDP())))
    assert unwrap(raw, False, 0, VIPS) is Refusal.FOREIGN


@pytest.mark.parametrize("is_v6", [False, True])
def test_outer_congestion_is_copied_where_the_transport_can_carry_it(is_v6: bool) -> None:
    raw = packet(is_v6, TCP() / b"data")
    assert unwrap(raw, is_v6, 3, VIPS) is Refusal.CONGESTED
    capable = NETWORK[is_v6].copy()
    if is_v6:
        capable.tc = 2
    else:
        capable.tos = 2
    raw = memoryview(bytearray(bytes(capable / TCP() / b"data")))
    assert unwrap(raw, is_v6, 3, VIPS) == COMPLETE
    seen = (IPv6 if is_v6 else IP)(bytes(raw))
    assert (seen.tc if is_v6 else seen.tos) & 3 == 3
    if not is_v6:
        stated = seen.chksum
        del seen.chksum
        assert IP(bytes(seen)).chksum == stated


@pytest.mark.parametrize("is_v6", [False, True])
def test_length_is_the_headers_own(is_v6: bool) -> None:
    raw = packet(is_v6, UDP() / b"data")
    padded = memoryview(bytearray(bytes(raw) + bytes(9)))
    assert inner_length(padded, is_v6) == len(raw)
    assert inner_length(raw[:-1], is_v6) == 0
    assert inner_length(raw, not is_v6) == 0
    assert inner_length(raw[:8], is_v6) == 0


@given(data=st.binary(max_size=200), is_v6=st.booleans(), ecn=st.integers(0, 3))
def test_any_bytes_are_judged(data: bytes, is_v6: bool, ecn: int) -> None:
    raw = memoryview(bytearray(data))
    length = inner_length(raw, is_v6)
    assert 0 <= length <= len(data)
    if length:
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        where = data[24:40] if is_v6 else data[16:20]
        assert len(socket.inet_ntop(family, where)) > 1
        assert isinstance(unwrap(raw[:length], is_v6, ecn, {where}), bytes | Refusal)
