"""Fragments in: put together by the rules of Linux."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.fast.fragments import MAKE, V6, is_empty, payload_of, pieces, v4, v6
from tests.fast.wiretest import load

both = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@pytest.fixture(scope="module")
def wire() -> Any:
    return load()


@pytest.fixture
def pool(wire: Any) -> Any:
    return wire.Reassembly()


# ---------------------------------------------------------------- whole packets


@pytest.mark.covers("C-042", "C-043")
@both
@given(
    payload=st.binary(min_size=9, max_size=400),
    size=st.integers(1, 20),
    order=st.randoms(use_true_random=False),
    twice=st.booleans(),
)
def test_any_order_and_duplicates_give_the_packet_once(
    wire: Any, make: Any, payload: bytes, size: int, order: random.Random, twice: bool
) -> None:
    pool = wire.Reassembly()
    frames = pieces(make, payload, size * 8)
    if len(frames) < 2:
        frames = pieces(make, payload, 8)
    order.shuffle(frames)
    early, last = frames[:-1], frames[-1]
    for frame in early:
        assert pool.feed(frame) == ("held", None)
        if twice:
            assert pool.feed(frame) == ("drop", None)
    verdict, whole = pool.feed(last)
    assert verdict == "next"
    assert payload_of(whole[0]) == payload
    assert whole[1] == max(len(frame) for frame in frames) - 14
    assert pool.outs() == []
    assert is_empty(pool, wire)


@both
def test_the_longest_packet_possible_is_put_together(wire: Any, pool: Any, make: Any) -> None:
    payload = random.Random(1).randbytes(65535 - (20 if make is v4 else 0))
    frames = pieces(make, payload, 1440)
    for frame in frames[:0:-1]:
        assert pool.feed(frame)[0] == "held"
    verdict, whole = pool.feed(frames[0])
    assert verdict == "next"
    assert payload_of(whole[0]) == payload
    assert is_empty(pool, wire)


@both
def test_one_byte_too_many_is_refused(wire: Any, pool: Any, make: Any) -> None:
    payload = bytes(65536 - (20 if make is v4 else 0))
    frames = pieces(make, payload, 1440)
    assert [pool.feed(frame)[0] for frame in frames][-1] == "drop"
    assert pool.drops() == {"bad": 1}


def test_frames_longer_than_a_block_are_kept(wire: Any, pool: Any) -> None:
    payload = random.Random(2).randbytes(60000)
    frames = pieces(v4, payload, 8968)
    random.Random(3).shuffle(frames)
    results = [pool.feed(frame, give_back=True) for frame in frames]
    assert payload_of(results[-1][1][0]) == payload
    assert [out[3] for out in pool.outs()] == frames
    assert is_empty(pool, wire)


def test_packets_with_other_keys_are_kept_apart(wire: Any, pool: Any) -> None:
    base = {"id": 5}
    for other in ({}, {"id": 6}, {"proto": 6}, {"src": "192.0.2.9"}, {"dst": "192.0.2.8"}):
        assert pool.feed(v4(0, bytes(8), **(base | other)))[0] == "held"
    assert pool.queues()[0] == 5
    verdict, whole = pool.feed(v4(8, b"end", False, **base))
    assert verdict == "next"
    assert payload_of(whole[0]) == bytes(8) + b"end"


def test_ipv4_header_and_options_are_those_of_the_first_fragment(pool: Any) -> None:
    options = [IPOption_Router_Alert()]
    pool.feed(v4(8, b"tail", False, ttl=9))
    verdict, whole = pool.feed(v4(0, bytes(8), ttl=33, tos=0x20, options=options))
    assert verdict == "next"
    header = IP(whole[0][14:])
    assert (header.ttl, header.tos, header.ihl) == (33, 0x20, 6)
    assert payload_of(whole[0]) == bytes(8) + b"tail"


HEADS = {
    "nothing": IPv6(**V6),
    "hop-by-hop": IPv6(**V6) / IPv6ExtHdrHopByHop(),
    "hop-by-hop, options and routing": IPv6(**V6)
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrDestOpt()
    / IPv6ExtHdrRouting(addresses=["2001:db8::5"]),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_ipv6_headers_before_the_fragment_header_stay(pool: Any, head: Packet) -> None:
    udp = bytes(UDP(sport=1, dport=2) / Raw(bytes(24)))
    pool.feed(v6(0, udp[:16], head=head))
    verdict, whole = pool.feed(v6(16, udp[16:], False, head=head))
    assert verdict == "next"
    packet = head.copy()
    packet.lastlayer().nh = 17
    packet = packet / Raw(udp)
    assert whole[0][14:] == bytes(packet)


def test_ipv6_packet_with_a_needless_fragment_header_stands_alone(wire: Any, pool: Any) -> None:
    pool.feed(v6(0, bytes(8), id=3))
    verdict, whole = pool.feed(v6(0, b"\0\1\0\2\0\x08\0\0", False, id=3))
    assert verdict == "next"
    assert payload_of(whole[0]) == b"\0\1\0\2\0\x08\0\0"
    assert pool.queues()[0] == 1


@pytest.mark.parametrize(
    ("with_df", "longest_has_df"),
    [([True, True], True), ([False, True], False), ([True, False], True), ([False, False], False)],
    ids=["both", "short one", "long one", "none"],
)
def test_df_stays_if_the_longest_fragment_had_it(
    pool: Any, with_df: list[bool], longest_has_df: bool
) -> None:
    pool.feed(v4(0, bytes(16), flags=2 * with_df[0]))
    _, whole = pool.feed(v4(16, bytes(4), False, flags=2 * with_df[1]))
    assert whole[2] == longest_has_df
    assert bool(IP(whole[0][14:]).flags.DF) == longest_has_df


@pytest.mark.parametrize(
    ("marks", "result"),
    [
        pytest.param((2, 2), 2, id="both capable"),
        pytest.param((2, 3), 3, id="congestion in the second"),
        pytest.param((1, 3), 3, id="congestion in the second, the other way to be capable"),
        pytest.param((3, 1), 3, id="congestion in the first"),
        pytest.param((0, 0), 0, id="not capable"),
        pytest.param((0, 3), None, id="a mix that cannot be"),
        pytest.param((0, 2), None, id="another"),
    ],
)
@both
def test_congestion_is_not_forgotten(
    pool: Any, make: Any, marks: tuple[int, int], result: int | None
) -> None:
    def field(mark: int) -> dict[str, Any]:
        return {"tos": mark} if make is v4 else {"head": IPv6(**V6, tc=mark)}

    pool.feed(make(0, bytes(8), **field(marks[0])))
    verdict, whole = pool.feed(make(8, bytes(8), False, **field(marks[1])))
    if result is None:
        assert verdict == "drop"
        assert pool.drops() == {"bad": 1}
    else:
        packet = Ether(whole[0])[1]
        assert (packet.tos if make is v4 else packet.tc) == result


# ---------------------------------------------------------------- what does not fit


class Model:
    """The rules, over a map from offset to byte; one packet at a time."""

    def __init__(self) -> None:
        self.have: dict[int, int] = {}
        self.total = -1

    def feed(self, start: int, data: bytes, more: bool) -> str:
        end = start + len(data)
        span = range(start, end)
        known = [at in self.have for at in span]
        longest = max(self.have, default=-1) + 1
        if (0 <= self.total < end) or (not more and end < longest):
            self.__init__()  # type: ignore[misc]
            return "drop"
        if all(known):
            return "drop"
        if any(known):
            self.__init__()  # type: ignore[misc]
            return "drop"
        self.have.update(zip(span, data, strict=True))
        if not more:
            self.total = end
        return "next" if len(self.have) == self.total else "held"


fragments = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(1, 8), st.booleans()),
    max_size=25,
)


@both
@given(script=fragments)
def test_overlaps_duplicates_and_contradictions_follow_the_model(
    wire: Any, make: Any, script: list[tuple[int, int, int, bool]]
) -> None:
    pool, model = wire.Reassembly(), Model()
    for number, (start, units, odd, more) in enumerate(script):
        data = bytes([number]) * (units * 8 if more else units * 8 - 8 + odd)
        if start == 0 and not more:
            continue  # not a fragment
        expected = model.feed(start * 8, data, more)
        verdict, whole = pool.feed(make(start * 8, data, more))
        assert verdict == expected
        if verdict == "next":
            assert payload_of(whole[0]) == bytes(model.have[at] for at in range(model.total))
            model = Model()
    assert pool.queues()[0] == (1 if model.have else 0)
    assert pool.free_blocks()[0] == pool.free_blocks()[1]


@both
def test_overlap_gives_up_the_whole_packet(wire: Any, pool: Any, make: Any) -> None:
    pool.feed(make(0, bytes(16)))
    assert pool.feed(make(8, bytes(16), False)) == ("drop", None)
    assert pool.drops() == {"bad": 1}
    assert is_empty(pool, wire)


def test_ipv4_fragment_of_odd_length_is_cut_and_ipv6_is_refused(wire: Any, pool: Any) -> None:
    assert pool.feed(v4(0, b"12345678abc"))[0] == "held"
    _, whole = pool.feed(v4(8, b"end", False))
    assert payload_of(whole[0]) == b"12345678end"
    assert pool.feed(v4(0, b"short")) == ("drop", None)
    assert pool.feed(v6(0, b"12345678abc")) == ("drop", None)
    assert is_empty(pool, wire)


def test_too_many_fragments_are_refused(wire: Any, pool: Any) -> None:
    most = wire.limits()["fragments"]
    verdicts = [pool.feed(v4(at * 8, bytes(8)))[0] for at in range(most + 1)]
    assert verdicts == ["held"] * most + ["drop"]
    assert pool.drops() == {"bad": 1}
    assert is_empty(pool, wire)


def test_fragment_with_an_unfinished_checksum_is_refused(pool: Any) -> None:
    vnet = bytes([1, 0, 0, 0, 0, 0, 34, 0, 6, 0])
    assert pool.feed(v4(0, bytes(16)), vnet) == ("drop", None)
