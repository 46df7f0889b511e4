"""Fragments out: what is too long is cut as Linux cuts it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption, IPOption_Router_Alert, IPOption_RR
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.fast.wiretest import load

V4 = {"src": "192.0.2.1", "dst": "198.51.100.1"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}


@pytest.fixture(scope="module")
def wire() -> Any:
    return load()


def framed(packet: Packet) -> bytes:
    return bytes(Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / packet)


def joined_v4(pieces: list[bytes]) -> bytes:
    """Put IPv4 fragments together, each checked; return the payload."""
    payload = b""
    for number, piece in enumerate(pieces):
        header = IP(piece)
        assert header.len == len(piece)
        fresh = header.copy()
        del fresh.chksum
        assert IP(bytes(fresh)).chksum == header.chksum
        assert header.frag * 8 == len(payload)
        assert bool(header.flags.MF) == (number < len(pieces) - 1)
        payload += piece[header.ihl * 4 :]
    return payload


def joined_v6(pieces: list[bytes], head: int) -> tuple[bytes, set[int]]:
    """Put IPv6 fragments together; return the payload and the identifications."""
    payload, ids = b"", set()
    for number, piece in enumerate(pieces):
        assert int.from_bytes(piece[4:6], "big") == len(piece) - 40
        fragment = IPv6ExtHdrFragment(piece[head : head + 8])
        assert fragment.offset * 8 == len(payload)
        assert bool(fragment.m) == (number < len(pieces) - 1)
        ids.add(fragment.id)
        payload += piece[head + 8 :]
    return payload, ids


@pytest.mark.covers("C-143")
@given(size=st.integers(100, 5000), mtu=st.integers(68, 3000))
def test_ipv4_pieces_fit_and_make_the_packet(wire: Any, size: int, mtu: int) -> None:
    payload = (bytes(range(256)) * 20)[:size]
    packet = IP(**V4, id=4711, ttl=9, tos=4, proto=17) / Raw(payload)
    pieces, reasons = wire.cut(framed(packet), mtu)
    assert reasons == {}
    assert joined_v4(pieces) == payload
    most = (mtu - 20) // 8 * 8 + 20
    assert all(len(piece) == most for piece in pieces[:-1])
    assert len(pieces[-1]) <= mtu
    assert {(IP(p).id, IP(p).ttl, IP(p).tos) for p in pieces} == {(4711, 9, 4)}


def test_only_the_first_piece_has_options_without_the_copy_bit(wire: Any) -> None:
    options = [IPOption_Router_Alert(), IPOption_RR(length=11, routers=["0.0.0.0"] * 2)]
    packet = IP(**V4, options=options) / UDP(sport=1, dport=2) / Raw(bytes(200))
    pieces, _ = wire.cut(framed(packet), 100)
    assert joined_v4(pieces) == bytes(packet)[36:]
    assert pieces[0][20:36] == bytes(packet)[20:36]
    for piece in pieces[1:]:
        assert piece[20:24] == bytes(IPOption_Router_Alert())
        assert piece[24:36] == b"\x01" * 11 + b"\0"


@given(options=st.binary(min_size=4, max_size=40))
def test_options_of_any_kind_are_cut_without_harm(wire: Any, options: bytes) -> None:
    options = options[: len(options) & ~3]
    header = IP(**V4, ihl=5 + len(options) // 4, len=20 + len(options) + 300, proto=17)
    l3 = bytearray(bytes(header)[:20] + options + bytes(300))
    l3 = bytearray(wire.header_seal(bytes(l3)))
    pieces, _ = wire.cut(framed(IP(**V4))[:14] + bytes(l3), 200)
    assert b"".join(piece[20 + len(options) :] for piece in pieces) == bytes(300)
    assert all(wire.header_ok(piece, 20 + len(options)) for piece in pieces)


@pytest.mark.parametrize(("df_seen", "df"), [(True, True), (False, False)])
def test_pieces_of_a_packet_that_came_in_df_fragments_have_df(
    wire: Any, df_seen: bool, df: bool
) -> None:
    packet = IP(**V4, flags="DF" if df_seen else 0) / UDP() / Raw(bytes(900))
    pieces, _ = wire.cut(framed(packet), 500, 500, df_seen)
    assert [bool(IP(piece).flags.DF) for piece in pieces] == [df] * len(pieces)


def test_df_of_a_packet_that_came_whole_is_not_in_its_pieces(wire: Any) -> None:
    pieces, _ = wire.cut(framed(IP(**V4, flags="DF") / UDP() / Raw(bytes(900))), 500)
    assert not any(IP(piece).flags.DF for piece in pieces)


def test_unfinished_checksum_is_finished_before_cutting(wire: Any) -> None:
    done = IP(**V4) / UDP(sport=5, dport=6) / Raw(b"\xa5" * 2000)
    l3 = bytes(done)
    pseudo = l3[12:20] + b"\0\x11" + l3[24:26]
    partial = bytes(byte ^ 0xFF for byte in wire.csum(pseudo))
    frame = framed(IP(**V4))[:14] + l3[:26] + partial + l3[28:]
    vnet = bytes([1, 0, 0, 0, 0, 0, 34, 0, 6, 0])
    pieces, _ = wire.cut(frame, 1500, vnet=vnet)
    assert joined_v4(pieces) == l3[20:]


ROUTING = IPv6ExtHdrRouting(addresses=["2001:db8::5"])
# headers; where the fragment header goes, which byte names it, what it names
HEADS = {
    "nothing": (IPv6(**V6), 40, 6, 17),
    "hop-by-hop": (IPv6(**V6) / IPv6ExtHdrHopByHop(), 48, 40, 17),
    "options before routing": (IPv6(**V6) / IPv6ExtHdrDestOpt() / ROUTING, 72, 48, 17),
    "options after routing": (IPv6(**V6) / ROUTING / IPv6ExtHdrDestOpt(), 64, 40, 60),
}


@pytest.mark.parametrize(("head", "at", "named_at", "following"), HEADS.values(), ids=HEADS)
def test_ipv6_fragment_header_follows_what_every_hop_may_read(
    wire: Any, head: Packet, at: int, named_at: int, following: int
) -> None:
    packet = head / UDP(sport=1, dport=2) / Raw(bytes(range(256)) * 12)
    l3 = bytes(packet)
    pieces, reasons = wire.cut(framed(packet), 1400, 1400)
    assert reasons == {}
    payload, ids = joined_v6(pieces, at)
    assert payload == l3[at:]
    assert len(ids) == 1
    expected = bytearray(l3[:at])
    expected[named_at] = 44
    for piece in pieces:
        assert len(piece) <= 1400
        assert piece[:4] + piece[6:at] == expected[:4] + expected[6:]
        assert piece[at] == following


@given(size=st.integers(200, 4000), longest=st.integers(56, 1500))
def test_ipv6_pieces_are_no_longer_than_they_came(wire: Any, size: int, longest: int) -> None:
    packet = IPv6(**V6) / UDP(sport=1, dport=2) / Raw(bytes(size))
    limit = min(longest, len(packet) - 1)
    pieces, reasons = wire.cut(framed(packet), limit, longest)
    assert reasons == {}
    assert joined_v6(pieces, 40)[0] == bytes(packet)[40:]
    assert all(len(piece) == (limit - 48) // 8 * 8 + 48 for piece in pieces[:-1])
    assert len(pieces[-1]) <= limit


def test_mtu_without_room_for_payload_is_a_drop(wire: Any) -> None:
    packet = IP(**V4, options=[IPOption(b"\x01" * 40)]) / UDP() / Raw(bytes(100))
    assert wire.cut(framed(packet), 67) == ([], {"tiny": 1})


def test_without_memory_what_could_be_cut_is_sent(wire: Any) -> None:
    pieces, reasons = wire.cut(framed(IP(**V4) / TCP() / Raw(bytes(900))), 300, room=2)
    assert len(pieces) == 2
    assert reasons == {"full": 1}
