"""Super-frames cut in software, checksums finished, virtio-net headers judged."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.fast.path import Vnet
from tests.fast.wiretest import load

V4 = {"src": "192.0.2.1", "dst": "198.51.100.1"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}
NEEDS_CSUM, DATA_VALID = 1, 2
TCPV4, TCPV6, UDP_L4, ECN = 1, 4, 5, 0x80


@pytest.fixture(scope="module")
def wire() -> Any:
    return load()


def framed(packet: Packet) -> bytes:
    return bytes(Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / packet)


def fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def unfinished(frame: bytes, l4: int, protocol: int) -> bytes:
    """Replace the checksum by the pseudo-header's sum, as a sender with offloads does."""
    addrs = frame[22:54] if frame[14] >> 4 == 6 else frame[26:34]
    pseudo = addrs + struct.pack("!II", len(frame) - l4, protocol)
    total = fold(sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo)))
    at = l4 + {6: 16, 17: 6, 132: 8}[protocol]
    return frame[:at] + struct.pack("!H", total) + frame[at + 2 :]


def checksums_right(frame: bytes) -> bool:
    """Whether scapy would have computed the same checksums."""
    packet = Ether(frame)
    fresh = packet.copy()
    for layer in (IP, TCP, UDP):
        if layer in fresh:
            del fresh[layer].chksum
    return bytes(fresh) == frame


class Case(NamedTuple):
    head: Packet  # up to the transport header
    gso: int
    l4: int

    @property
    def protocol(self) -> int:
        return 6 if TCP in self.head else 17

    @property
    def start(self) -> int:
        return self.l4 + (self.head[TCP].dataofs * 4 if TCP in self.head else 8)

    def vnet(self, size: int, flags: int = NEEDS_CSUM, gso: int | None = None) -> bytes:
        offset = 16 if self.protocol == 6 else 6
        gso = self.gso if gso is None else gso
        return Vnet(flags, gso, self.start, size, self.l4, offset).pack()


SEQ = 2**32 - 100
TCP_HEAD = TCP(sport=1, dport=80, seq=SEQ, ack=7, flags="FPAC", dataofs=8)
TCP_HEAD = TCP_HEAD / Raw(b"\x01\x01\x08\x0a" + bytes(8))
CASES = {
    "tcp over ipv4": Case(IP(**V4, id=65534, ttl=8) / TCP_HEAD, TCPV4, 34),
    "tcp over ipv4 with options": Case(IP(**V4, options=b"\x01" * 8) / TCP_HEAD, TCPV4, 42),
    "tcp over ipv6": Case(IPv6(**V6) / TCP_HEAD, TCPV6, 54),
    "tcp over ipv6 with extension": Case(IPv6(**V6) / IPv6ExtHdrHopByHop() / TCP_HEAD, TCPV6, 62),
    "udp over ipv4": Case(IP(**V4, id=9) / UDP(sport=1, dport=443), UDP_L4, 34),
    "udp over ipv6": Case(IPv6(**V6) / UDP(sport=1, dport=443), UDP_L4, 54),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def super_frame(case: Case, payload: bytes) -> bytes:
    return unfinished(framed(case.head / Raw(payload)), case.l4, case.protocol)


# ---------------------------------------------------------------- cutting


@every
@given(size=st.integers(1, 1448), length=st.integers(1, 9000), partial=st.booleans())
def test_segments_carry_the_payload_in_order(
    wire: Any, case: Case, size: int, length: int, partial: bool
) -> None:
    size = max(size, length // 40)
    payload = (bytes(range(251)) * 40)[:length]
    frame = super_frame(case, payload)
    count, cut, reasons = wire.segments(frame, case.vnet(size), partial)
    assert reasons == {}
    assert count == len(cut) == -(-length // size)
    assert b"".join(out[1][case.start :] for out in cut) == payload
    assert all(len(out[1]) == case.start + size for out in cut[:-1])
    for vnet, segment, l3, l4, ip_len in cut:
        assert (l3, l4, ip_len) == (14, case.l4, len(segment) - 14)
        header = Vnet(*struct.unpack("=BBHHHH", vnet))
        assert header.gso_type == header.gso_size == 0
        if partial:
            assert header.flags == NEEDS_CSUM
            assert (header.csum_start, header.csum_offset) == (
                case.l4,
                16 if case.protocol == 6 else 6,
            )
            assert segment == unfinished(segment, case.l4, case.protocol)
            segment, flags = wire.complete(segment, vnet)
            assert flags == 0
        else:
            assert header.flags == 0
        assert checksums_right(segment)


@pytest.mark.parametrize("name", ["tcp over ipv4", "tcp over ipv6"])
def test_tcp_segments_have_their_sequence_numbers_and_flags(wire: Any, name: str) -> None:
    case = CASES[name]
    _, cut, _ = wire.segments(super_frame(case, bytes(250)), case.vnet(100, gso=case.gso | ECN))
    segments = [Ether(out[1])[TCP] for out in cut]
    assert [tcp.seq for tcp in segments] == [SEQ, SEQ + 100 - 2**32, SEQ + 200 - 2**32]
    assert [str(tcp.flags) for tcp in segments] == ["AC", "A", "FPA"]
    assert {tcp.ack for tcp in segments} == {7}
    assert {bytes(tcp)[20:32] for tcp in segments} == {bytes(TCP_HEAD)[20:32]}


def test_identification_counts_up_over_its_end(wire: Any) -> None:
    case = CASES["tcp over ipv4"]
    _, cut, _ = wire.segments(super_frame(case, bytes(250)), case.vnet(100))
    assert [Ether(out[1])[IP].id for out in cut] == [65534, 65535, 0]


def test_udp_segments_have_their_own_length(wire: Any) -> None:
    case = CASES["udp over ipv4"]
    _, cut, _ = wire.segments(super_frame(case, bytes(250)), case.vnet(100))
    assert [Ether(out[1])[UDP].len for out in cut] == [108, 108, 58]


@every
def test_merged_frame_with_verified_checksum_is_cut_as_well(wire: Any, case: Case) -> None:
    """Devices that merge say DATA_VALID; the checksum in the frame is then of no use."""
    frame = framed(case.head / Raw(bytes(2000)))
    _, cut, _ = wire.segments(frame, Vnet(DATA_VALID, case.gso, 0, 900, 0, 0).pack())
    assert [len(out[1]) - case.start for out in cut] == [900, 900, 200]
    assert all(checksums_right(out[1]) for out in cut)


def test_headers_alone_are_one_segment(wire: Any) -> None:
    case = CASES["tcp over ipv4"]
    frame = super_frame(case, b"")
    count, cut, _ = wire.segments(frame, case.vnet(100))
    assert count == 1
    assert Ether(cut[0][1])[TCP].flags == TCP_HEAD.flags


def test_longest_super_frame_in_smallest_usual_segments(wire: Any) -> None:
    case = CASES["tcp over ipv4"]
    payload = bytes(range(256)) * 255
    count, cut, _ = wire.segments(super_frame(case, payload), case.vnet(536))
    assert count == -(-len(payload) // 536)
    assert b"".join(out[1][case.start :] for out in cut) == payload


def test_without_memory_the_rest_is_counted(wire: Any) -> None:
    case = CASES["tcp over ipv4"]
    count, cut, reasons = wire.segments(super_frame(case, bytes(900)), case.vnet(100), room=3)
    assert count == len(cut) == 3
    assert reasons == {"full": 1}


# ---------------------------------------------------------------- finishing


@pytest.mark.covers("C-461")
@every
@given(payload=st.binary(max_size=99))
def test_unfinished_checksum_becomes_the_right_one(wire: Any, case: Case, payload: bytes) -> None:
    frame = framed(case.head / Raw(payload))
    vnet = case.vnet(0, gso=0)
    done, flags = wire.complete(unfinished(frame, case.l4, case.protocol), vnet)
    assert done == frame
    assert flags == 0


def test_udp_sum_of_zero_is_finished_as_ones(wire: Any) -> None:
    frame = framed(IP(**V4) / UDP(sport=1, dport=2, chksum=0) / Raw(b"\0\0"))
    fill = bytes.fromhex(f"{fold(0xFFFF ^ fold(0)):04x}")
    base = unfinished(frame, 34, 17)
    words = struct.unpack("!5H", base[34:44])
    zero = base[:-2] + struct.pack("!H", 0xFFFF - fold(sum(words[:4])))
    assert fill == b"\xff\xff"
    done, _ = wire.complete(zero, Vnet(NEEDS_CSUM, 0, 0, 0, 34, 6).pack())
    assert done[40:42] == fill


def sctp_frame() -> bytes:
    return framed(IP(**V4) / SCTP(sport=1, dport=2, tag=3) / SCTPChunkData(data=b"hello"))


def test_sctp_is_finished_on_entry(wire: Any) -> None:
    frame = sctp_frame()
    partial = frame[:42] + bytes(4) + frame[46:]
    ok, done, vnet = wire.check(partial, Vnet(NEEDS_CSUM, 0, 0, 0, 34, 8).pack())
    assert ok
    crc = wire.crc32c(partial[34:])
    assert done == frame[:42] + crc.to_bytes(4, "little") + frame[46:]
    assert vnet[0] == 0


def test_checksum_of_a_packet_within_is_finished_on_entry(wire: Any) -> None:
    inner = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04") / IP(**V4) / TCP() / b"inner"
    frame = framed(IP(**V4) / UDP(sport=9, dport=4789, chksum=0) / VXLAN() / inner)
    at = len(frame) - len(inner) + 34
    partial = unfinished(frame[at - 34 :], 34, 6)
    ok, done, vnet = wire.check(frame[: at - 34] + partial, Vnet(1, 0, 0, 0, at, 16).pack())
    assert ok
    assert done == frame
    assert vnet[0] == 0


# ---------------------------------------------------------------- judging


TCP4 = framed(IP(**V4) / TCP() / Raw(bytes(100)))
UDP4 = framed(IP(**V4) / UDP() / Raw(bytes(100)))
TCP6 = framed(IPv6(**V6) / TCP() / Raw(bytes(100)))
LONG_TCP = framed(IP(**V4) / TCP(dataofs=15) / Raw(bytes(10)))
SHORT_TCP = framed(IP(**V4) / TCP(dataofs=4) / Raw(bytes(10)))
FRAGMENT = framed(IP(**V4, flags="MF", proto=6) / TCP() / Raw(bytes(100)))


@pytest.mark.parametrize(
    ("frame", "vnet", "fits"),
    [
        pytest.param(TCP4, Vnet(1, 0, 0, 0, 34, 16), True, id="partial tcp"),
        pytest.param(UDP4, Vnet(1, 0, 0, 0, 34, 6), True, id="partial udp"),
        pytest.param(TCP6, Vnet(1, 0, 0, 0, 54, 16), True, id="partial tcp over ipv6"),
        pytest.param(TCP4, Vnet(1, 0, 0, 0, 34, 6), False, id="tcp checksum at the wrong place"),
        pytest.param(UDP4, Vnet(1, 0, 0, 0, 34, 16), False, id="udp checksum at the wrong place"),
        pytest.param(TCP4, Vnet(1, 0, 0, 0, 14, 16), False, id="starts in the ip header"),
        pytest.param(TCP4, Vnet(1, 0, 0, 0, 153, 0), False, id="field over the end"),
        pytest.param(TCP4, Vnet(1, 0, 0, 0, 0xFFFF, 0xFFFF), False, id="far over the end"),
        pytest.param(TCP4, Vnet(1, TCPV4, 54, 50, 34, 16), True, id="tcp super-frame"),
        pytest.param(TCP4, Vnet(1, TCPV4 | ECN, 54, 50, 34, 16), True, id="with ecn"),
        pytest.param(TCP4, Vnet(2, TCPV4, 54, 50, 0, 0), True, id="merged by the device"),
        pytest.param(TCP4, Vnet(1, TCPV4, 54, 0, 34, 16), False, id="segments of nothing"),
        pytest.param(TCP4, Vnet(1, TCPV6, 54, 50, 34, 16), False, id="kind of the other family"),
        pytest.param(TCP6, Vnet(1, TCPV4, 74, 50, 54, 16), False, id="and the other way round"),
        pytest.param(UDP4, Vnet(1, UDP_L4, 42, 50, 34, 6), True, id="udp super-frame"),
        pytest.param(TCP4, Vnet(1, UDP_L4, 42, 50, 34, 16), False, id="udp kind with tcp"),
        pytest.param(UDP4, Vnet(1, TCPV4, 42, 50, 34, 6), False, id="tcp kind with udp"),
        pytest.param(UDP4, Vnet(1, 3, 42, 50, 34, 6), False, id="udp fragmentation"),
        pytest.param(TCP4, Vnet(0, ECN, 0, 0, 0, 0), False, id="ecn of nothing"),
        pytest.param(
            LONG_TCP, Vnet(1, TCPV4, 54, 50, 34, 16), False, id="tcp header over the end"
        ),
        pytest.param(SHORT_TCP, Vnet(1, TCPV4, 54, 50, 34, 16), False, id="tcp header too short"),
        pytest.param(FRAGMENT, Vnet(1, TCPV4, 54, 50, 34, 16), False, id="super-frame fragment"),
        pytest.param(
            TCP4, Vnet(1, TCPV4, 54, 50, 60, 16), False, id="super-frame of what is inside"
        ),
    ],
)
def test_header_is_judged(wire: Any, frame: bytes, vnet: Vnet, fits: bool) -> None:
    assert wire.check(frame, vnet.pack())[0] == fits


@given(
    frame=st.sampled_from([TCP4, UDP4, TCP6, LONG_TCP, SHORT_TCP, FRAGMENT, sctp_frame()]),
    vnet=st.builds(
        Vnet,
        st.integers(0, 3),
        st.sampled_from([0, 1, 3, 4, 5, 0x81, 0x84, 0x85, 0x80, 255]),
        st.integers(0, 0xFFFF),
        st.integers(0, 70) | st.integers(0, 0xFFFF),
        st.integers(0, 200) | st.integers(0, 0xFFFF),
        st.integers(0, 200) | st.integers(0, 0xFFFF),
    ),
    cut=st.integers(0, 120),
)
def test_no_header_makes_cutting_step_over_the_frame(
    wire: Any, frame: bytes, vnet: Vnet, cut: int
) -> None:
    frame = frame[: len(frame) - cut]
    result = wire.segments(frame, vnet.pack()) if vnet.gso_type else wire.check(frame, vnet.pack())
    if result is not None and vnet.gso_type:
        assert result[0] == len(result[1]) >= 1
