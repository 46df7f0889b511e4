"""VRRP messages byte for byte, and what is dropped for which reason."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.errors import WireError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Address
from lbfast.model.vrrp import AuthType, Peer, VrrpInstance
from lbfast.vrrp.checks import Context, Reject, judge, list_differs
from lbfast.vrrp.packet import (
    Advert,
    Envelope,
    Received,
    checksum_holds,
    decode,
    encode,
    ipv4_packet,
    length_of,
    received_ipv6,
    split_ipv4,
)

SRC, GROUP = bytes((10, 9, 0, 1)), bytes((224, 0, 0, 18))
VIP1, VIP2 = bytes((10, 9, 0, 100)), bytes((10, 9, 0, 101))
SRC6 = bytes.fromhex("fe80000000000000000000fffe000001")
GROUP6 = bytes.fromhex("ff020000000000000000000000000012")
VIPS6 = (
    bytes.fromhex("fe800000000000000000000000000100"),
    bytes.fromhex("20010db8000900000000000000000100"),
)
PASSWORD = b"secret12"
PASS = Advert(2, 51, 150, 1_000_000, (VIP1, VIP2), AuthType.PASS, PASSWORD)
PASS_PACKET = bytes.fromhex(
    "45c0002c00010000ff70d0840a090001e000001221339602 0101c56f 0a090064 0a090065 7365637265743132"
)
AH_PACKET = bytes.fromhex(
    "45c0004000010000ff33d0ad0a090001e0000012"
    "70040000 0a090001 00000001 1afdf33b5fce7182d4d64aae"
    "21339601 02013c5d 0a090064 0000000000000000"
)
PASS_INSTANCE = VrrpInstance(
    "VI_1", 51, "eth0", auth_type=AuthType.PASS, auth_pass=PASSWORD,
    addresses=(Address(VIP1, 24), Address(VIP2, 24)),
)  # fmt: skip
AH_INSTANCE = replace(PASS_INSTANCE, auth_type=AuthType.AH)
V3_INSTANCE = VrrpInstance("V3", 52, "eth0", version=3, advert_us=100_000)


@pytest.mark.covers("VRP-01")
def test_v2_with_password_equals_the_capture() -> None:
    assert ipv4_packet(encode(PASS), Envelope(SRC, GROUP, ident=1)) == PASS_PACKET


@pytest.mark.covers("VRP-02")
def test_v3_over_ipv4_equals_the_capture() -> None:
    advert = Advert(3, 52, 150, 100_000, (VIP1,))
    assert encode(advert, SRC, GROUP).hex() == "31349601000a43ba0a090064"


@pytest.mark.covers("VRP-03")
def test_v3_over_ipv6_equals_the_capture() -> None:
    message = encode(Advert(3, 52, 150, 100_000, VIPS6), SRC6, GROUP6)
    assert message == bytes.fromhex("31349602000a0d4d") + b"".join(VIPS6)


@pytest.mark.covers("VRP-04")
def test_v2_with_ah_equals_the_capture() -> None:
    message = encode(Advert(2, 51, 150, 1_000_000, (VIP1,), AuthType.AH))
    envelope = Envelope(SRC, GROUP, ident=1, key=PASSWORD, sequence=1)
    assert ipv4_packet(message, envelope) == AH_PACKET


@given(
    version=st.sampled_from((2, 3)),
    vrid=st.integers(1, 255),
    priority=st.integers(0, 255),
    units=st.integers(1, 255),
    family=st.sampled_from((AF_INET, AF_INET6)),
    data=st.data(),
)
def test_decode_returns_what_encode_took(
    version: int, vrid: int, priority: int, units: int, family: int, data: st.DataObject
) -> None:
    size = 4 if family == AF_INET else 16
    if family == AF_INET6:
        version = 3
    vips = data.draw(st.lists(st.binary(min_size=size, max_size=size), max_size=255))
    interval = units * (1_000_000 if version == 2 else 10_000)
    secret = data.draw(st.binary(min_size=8, max_size=8)) if version == 2 else b""
    advert = Advert(version, vrid, priority, interval, tuple(vips), int(bool(secret)), secret)
    ends = (b"", b"") if version == 2 else (bytes(range(size)), bytes(size))
    message = encode(advert, *ends)
    assert decode(message, family) == advert
    assert checksum_holds(message, *ends)


@given(st.binary(max_size=80), st.sampled_from((AF_INET, AF_INET6)))
def test_decode_of_anything_returns_an_advert_or_names_the_fault(
    message: bytes, family: int
) -> None:
    whole = len(message) >= 8 and len(message) >= length_of(message, family)
    if whole:
        assert decode(message, family).vrid == message[1]
    else:
        with pytest.raises(WireError, match="fewer"):
            decode(message, family)


@given(st.binary(max_size=80))
def test_split_of_anything_returns_a_packet_or_names_the_fault(packet: bytes) -> None:
    with contextlib.suppress(WireError):
        assert judge(split_ipv4(packet), Context(PASS_INSTANCE)) in tuple(Reject)


def checked(packet: bytes, instance: VrrpInstance = PASS_INSTANCE) -> Advert | Reject:
    return judge(split_ipv4(packet), Context(instance))


def made(advert: Advert, **envelope: int) -> bytes:
    return ipv4_packet(encode(advert), Envelope(SRC, GROUP, **envelope))  # type: ignore[arg-type]


def flipped(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes((packet[at] ^ 1,)) + packet[at + 1 :]


def test_good_packets_are_accepted() -> None:
    assert checked(PASS_PACKET) == PASS
    assert isinstance(checked(AH_PACKET, AH_INSTANCE), Advert)


BAD = {
    "AH where a password is wanted": (AH_PACKET, Reject.PROTOCOL),
    "one address fewer than counted": (
        ipv4_packet(encode(PASS)[:-4], Envelope(SRC, GROUP)), Reject.LENGTH),
    "longer than it announces": (
        ipv4_packet(encode(PASS) + bytes(4), Envelope(SRC, GROUP)), Reject.LENGTH),
    "nothing but the IP header": (ipv4_packet(b"", Envelope(SRC, GROUP)), Reject.LENGTH),
    "came through a router": (made(PASS, ttl=254), Reject.TTL),
    "version 3": (
        ipv4_packet(encode(Advert(3, 51, 1, 10_000), SRC, GROUP), Envelope(SRC, GROUP)),
        Reject.VERSION),
    "another router": (made(replace(PASS, vrid=52)), Reject.VRID),
    "type 2": (made(replace(PASS, kind=2)), Reject.TYPE),
    "unknown authentication": (made(replace(PASS, auth_type=7)), Reject.AUTH_TYPE),
    "no authentication": (made(replace(PASS, auth_type=0)), Reject.AUTH_MISMATCH),
    "wrong password": (made(replace(PASS, auth_data=b"secret13")), Reject.AUTH_FAILURE),
    "two seconds": (made(replace(PASS, interval_us=2_000_000)), Reject.INTERVAL),
    "wrong checksum": (flipped(PASS_PACKET, 22), Reject.CHECKSUM),
    "unicast": (ipv4_packet(encode(PASS), Envelope(SRC, VIP1)), Reject.CAST),
}  # fmt: skip


@pytest.mark.covers("VRP-13")
@pytest.mark.parametrize(("packet", "reason"), BAD.values(), ids=BAD)
def test_bad_packet_is_dropped_for_its_reason(packet: bytes, reason: Reject) -> None:
    assert checked(packet) is reason


@pytest.mark.covers("VRP-12")
def test_v2_with_another_interval_is_rejected() -> None:
    assert checked(made(replace(PASS, interval_us=3_000_000))) is Reject.INTERVAL


def test_our_own_packet_is_dropped() -> None:
    assert judge(split_ipv4(PASS_PACKET), Context(PASS_INSTANCE, SRC)) is Reject.OWN


def test_ah_of_another_password_or_an_old_sequence_is_dropped() -> None:
    other = replace(AH_INSTANCE, auth_pass=b"secret13")
    assert checked(AH_PACKET, other) is Reject.AUTH_FAILURE
    packet = split_ipv4(AH_PACKET)
    assert isinstance(judge(packet, Context(AH_INSTANCE, ah_sequence=1)), Advert)
    assert judge(packet, Context(AH_INSTANCE, ah_sequence=2)) is Reject.SEQUENCE


def test_ah_of_unicast_does_not_count_the_ttl() -> None:
    message = encode(Advert(2, 51, 150, 1_000_000, (VIP1,), AuthType.AH))
    instance = replace(AH_INSTANCE, peers=(Peer(SRC),))
    envelope = Envelope(SRC, VIP1, ttl=64, unicast=True, key=PASSWORD, sequence=1)
    packet = bytearray(ipv4_packet(message, envelope))
    packet[8] = 63
    assert isinstance(checked(bytes(packet), instance), Advert)
    group = bytearray(AH_PACKET)
    group[8] = 254
    assert checked(bytes(group), AH_INSTANCE) is Reject.TTL


@pytest.mark.parametrize("at", range(len(AH_PACKET)))
def test_ah_protects_every_byte_but_the_mutable_ones(at: int) -> None:
    packet = flipped(AH_PACKET, at)
    mutable = (1, 6, 7, 10, 11)  # TOS, fragment field, header checksum
    try:
        verdict = checked(packet, AH_INSTANCE)
    except WireError:
        return
    assert isinstance(verdict, Advert) == (at in mutable)


def unicast(ttl: int, src: bytes = SRC) -> bytes:
    return ipv4_packet(encode(PASS), Envelope(src, VIP1, ttl=ttl, unicast=True))


@pytest.mark.covers("VRP-43")
def test_unicast_checks_source_and_ttl_only_where_told() -> None:
    plain = replace(PASS_INSTANCE, peers=(Peer(SRC),))
    stranger = bytes((10, 9, 0, 77))
    assert checked(unicast(3, stranger), plain) == PASS
    assert checked(unicast(3), replace(plain, check_unicast_src=True)) == PASS
    assert checked(unicast(3, stranger), replace(plain, check_unicast_src=True)) is Reject.SOURCE
    limited = replace(plain, peers=(Peer(SRC, min_ttl=60, max_ttl=64),))
    assert [checked(unicast(ttl), limited) for ttl in (59, 65)] == [Reject.TTL] * 2
    assert checked(unicast(60), limited) == PASS
    assert checked(unicast(60, stranger), limited) is Reject.SOURCE
    assert checked(PASS_PACKET, plain) is Reject.CAST


def test_v3_checksum_without_pseudo_header_is_an_option_for_ipv4() -> None:
    bare = ipv4_packet(encode(Advert(3, 52, 9, 100_000, (VIP1,))), Envelope(SRC, GROUP))
    assert checked(bare, V3_INSTANCE) is Reject.CHECKSUM
    assert isinstance(checked(bare, replace(V3_INSTANCE, v3_checksum_as_v2=True)), Advert)


def test_v3_of_another_interval_is_accepted() -> None:
    message = encode(Advert(3, 52, 9, 2_000_000, (VIP1,)), SRC, GROUP)
    found = checked(ipv4_packet(message, Envelope(SRC, GROUP)), V3_INSTANCE)
    assert isinstance(found, Advert)
    assert found.interval_us == 2_000_000


def test_v3_over_ipv6_needs_hop_limit_and_checksum() -> None:
    instance = replace(V3_INSTANCE, family=AF_INET6)
    message = encode(Advert(3, 52, 150, 100_000, VIPS6), SRC6, GROUP6)

    def verdict(hop_limit: int, message: bytes, dst: bytes = GROUP6) -> Advert | Reject:
        packet: Received = received_ipv6(SRC6, dst, hop_limit, message)
        return judge(packet, Context(instance))

    assert isinstance(verdict(255, message), Advert)
    instance = replace(instance, v3_checksum_as_v2=True)  # of IPv4 only
    assert isinstance(verdict(255, message), Advert)
    assert verdict(254, message) is Reject.TTL
    assert verdict(255, flipped(message, 3 + 8)) is Reject.CHECKSUM
    assert verdict(255, encode(Advert(3, 52, 150, 100_000, VIPS6), SRC6, SRC6), SRC6) is (
        Reject.CAST
    )


@pytest.mark.covers("VRP-14")
def test_other_address_lists_differ_whatever_their_order() -> None:
    assert not list_differs(PASS, PASS_INSTANCE)
    assert not list_differs(replace(PASS, addresses=(VIP2, VIP1)), PASS_INSTANCE)
    assert list_differs(replace(PASS, addresses=(VIP1,)), PASS_INSTANCE)
    assert checked(made(replace(PASS, addresses=(VIP1,)))) == replace(PASS, addresses=(VIP1,))


@pytest.mark.covers("VRP-47")
def test_255_addresses_fit_into_one_advert() -> None:
    vips = tuple(bytes((10, 9, 1, n)) for n in range(255))
    assert checked(made(replace(PASS, addresses=vips))) == replace(PASS, addresses=vips)
