"""Checksums against ten-line models and scapy."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw

from tests.fast.wiretest import load


@pytest.fixture(scope="module")
def wire() -> Any:
    return load()


def model(data: bytes) -> bytes:
    """RFC 1071, word by word."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")


def crc_model(data: bytes) -> int:
    """CRC32c, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def same(one: bytes, other: bytes) -> bool:
    """Whether two checksums are equal; 0 and 0xFFFF are the same number."""
    return int.from_bytes(one, "big") % 0xFFFF == int.from_bytes(other, "big") % 0xFFFF


@given(data=st.binary(max_size=300), skip=st.integers(0, 9))
def test_sum_of_any_buffer_at_any_alignment(wire: Any, data: bytes, skip: int) -> None:
    assert wire.csum(data, min(skip, len(data))) == model(data[skip:])


@pytest.mark.parametrize("byte", [b"\xff", b"\x00", b"\x80", b"\x01"], ids=bytes.hex)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 20, 60, 1499, 65535])
def test_sum_of_equal_bytes_loses_no_carry(wire: Any, byte: bytes, size: int) -> None:
    assert wire.csum(byte * size) == model(byte * size)


@given(data=st.binary(min_size=8, max_size=200), cuts=st.sets(st.integers(0, 100), max_size=5))
def test_sum_in_parts_is_the_sum_of_the_whole(wire: Any, data: bytes, cuts: set[int]) -> None:
    even = sorted({min(2 * cut, len(data) & ~1) for cut in cuts})
    assert wire.csum_in_parts(data, even) == model(data)


@given(
    data=st.binary(min_size=24, max_size=120),
    at=st.integers(0, 4),
    new=st.binary(min_size=16, max_size=16),
    size=st.sampled_from([2, 4, 16]),
)
def test_replacing_a_field_is_as_good_as_summing_again(
    wire: Any, data: bytes, at: int, new: bytes, size: int
) -> None:
    at *= 2
    changed = data[:at] + new[:size] + data[at + size :]
    got = wire.csum_replace(model(data), data[at : at + size], new[:size])
    assert same(got, model(changed))


@given(old=st.binary(min_size=12, max_size=12), new=st.binary(min_size=4, max_size=4))
def test_replacing_in_an_unfinished_checksum_keeps_it_unfinished(
    wire: Any, old: bytes, new: bytes
) -> None:
    def inverted(data: bytes) -> bytes:
        return bytes(byte ^ 0xFF for byte in model(data))

    got = wire.csum_replace(inverted(old), old[:4], new, True)
    assert same(got, inverted(new + old[4:]))


PACKETS = {
    "tcp over ipv4": IP(src="192.0.2.1", dst="198.51.100.7") / TCP(sport=1, dport=80) / b"abc",
    "udp over ipv4": IP(src="192.0.2.1", dst="198.51.100.7") / UDP(sport=1, dport=53) / b"abcd",
    "icmp over ipv4 with options": IP(dst="192.0.2.1", options=b"\x01" * 4) / ICMP() / b"q",
    "tcp over ipv6": IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP() / Raw(b"\xff" * 99),
    "udp over ipv6": IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP() / Raw(b"\xff" * 98),
    "icmpv6": IPv6(src="fe80::1", dst="ff02::1") / ICMPv6EchoRequest(data=b"x" * 5),
}
CHECK_AT = {6: 16, 17: 6, 1: 2, 58: 2}


@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS)
def test_transport_checksum_is_that_of_scapy(wire: Any, packet: Packet) -> None:
    l3 = bytes(packet)
    is_v6 = l3[0] >> 4 == 6
    protocol = l3[6] if is_v6 else l3[9]
    l4 = 40 if is_v6 else (l3[0] & 15) * 4
    at = l4 + CHECK_AT[protocol]
    blank = l3[:at] + b"\0\0" + l3[at + 2 :]
    if protocol == 1:
        assert wire.csum(blank, l4) == l3[at : at + 2]
    else:
        assert wire.l4_csum(blank, is_v6, protocol, l4) == l3[at : at + 2]


def test_udp_checksum_of_zero_is_sent_as_ones(wire: Any) -> None:
    base = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2, chksum=0) / b"\0\0")
    missing = wire.l4_csum(base, False, 17, 20)
    zero = base[:-2] + missing
    assert model(zero[12:20] + b"\0\x11\0\x0a" + zero[20:]) == b"\0\0"
    assert wire.l4_csum(zero, False, 17, 20) == b"\xff\xff"


@given(
    addrs=st.binary(min_size=32, max_size=32),
    rest=st.binary(min_size=8, max_size=64),
    protocol=st.sampled_from([6, 17, 58]),
)
def test_ipv6_pseudo_header_counts_every_carry(
    wire: Any, addrs: bytes, rest: bytes, protocol: int
) -> None:
    for both in (addrs, b"\xff" * 32):
        l3 = struct.pack("!IHBB", 6 << 28, len(rest), protocol, 64) + both + rest
        pseudo = both + struct.pack("!II", len(rest), protocol) + rest
        assert same(wire.l4_csum(l3, True, protocol, 40), model(pseudo))


@given(words=st.integers(5, 15), fill=st.binary(min_size=60, max_size=60))
def test_header_is_sealed_and_found_right(wire: Any, words: int, fill: bytes) -> None:
    header = bytes([0x40 | words]) + fill[1 : words * 4]
    sealed = wire.header_seal(header)
    blank = header[:10] + b"\0\0" + header[12:]
    assert sealed == header[:10] + model(blank) + header[12:]
    assert wire.header_ok(sealed, words * 4)
    assert not wire.header_ok(sealed[:8] + bytes([sealed[8] ^ 1]) + sealed[9:], words * 4)


@given(data=st.binary(max_size=200))
def test_crc32c_in_hardware_and_in_software(wire: Any, data: bytes) -> None:
    assert wire.crc32c(data) == wire.crc32c(data, True) == crc_model(data)


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        pytest.param(b"123456789", 0xE3069283, id="check value"),
        pytest.param(bytes(32), 0x8A9136AA, id="RFC 3720 B.4 zeros"),
        pytest.param(b"\xff" * 32, 0x62A8AB43, id="RFC 3720 B.4 ones"),
        pytest.param(bytes(range(32)), 0x46DD794E, id="RFC 3720 B.4 incrementing"),
    ],
)
def test_crc32c_of_published_vectors(wire: Any, data: bytes, crc: int) -> None:
    assert wire.crc32c(data) == wire.crc32c(data, True) == crc
