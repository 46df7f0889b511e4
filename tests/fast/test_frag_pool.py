"""Fragments that wait: given back to the host, given up, and noise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fast.fragments import SECOND, is_empty, pieces, v4, v6
from tests.fast.wiretest import load


@pytest.fixture(scope="module")
def wire() -> Any:
    return load()


@pytest.fixture
def pool(wire: Any) -> Any:
    return wire.Reassembly()


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([b"\x08\x00", b"\x86\xdd"]),
            st.sampled_from([0x45, 0x46, 0x4F, 0x60]),
            st.binary(min_size=1, max_size=120),
            st.sampled_from([44, 0, 43, 60, 51, 17]),
        ),
        max_size=12,
    )
)
def test_noise_in_headers_never_breaks_the_pool(
    wire: Any, frames: list[tuple[bytes, int, bytes, int]]
) -> None:
    pool = wire.Reassembly()
    for kind, first, rest, protocol in frames:
        if first == 0x60:
            header = bytes([first, 0, 0, 0]) + len(rest).to_bytes(2, "big")
            l3 = header + bytes([protocol, 1]) + bytes(range(32)) + rest
        else:
            l3 = bytes([first, 0]) + (20 + len(rest)).to_bytes(2, "big") + b"\0\1"
            l3 += rest[:2].ljust(2, b"\0") + b"\x40\x11\0\0" + bytes(range(1, 9)) + rest
            if len(l3) >= (first & 15) * 4:
                l3 = wire.header_seal(l3)
        pool.feed(bytes(12) + kind + l3, give_back=True)
    pool.outs()
    pool.tick(100 * SECOND)
    pool.outs()
    assert is_empty(pool, wire)


def test_fragments_go_back_as_they_came_and_in_that_order(wire: Any, pool: Any) -> None:
    frames = pieces(v4, bytes(range(64)), 16)
    order = [2, 0, 3, 1]
    vnet = bytes([2, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    for number in order:
        verdict, _ = pool.feed(frames[number], vnet, number + 1, (0x8100, number), give_back=True)
    assert verdict == "next"
    expected = [("host", n + 1, vnet, frames[n], 0x8100, n) for n in order]
    assert pool.outs() == expected
    assert is_empty(pool, wire)


@pytest.mark.parametrize(
    ("make", "limit", "icmp"), [(v4, 30, 11), (v6, 60, 3)], ids=["ipv4", "ipv6"]
)
def test_after_its_time_a_packet_is_given_up_and_the_sender_told(
    wire: Any, pool: Any, make: Any, limit: int, icmp: int
) -> None:
    start = 2**32 - 5 * SECOND  # the tick counter wraps meanwhile
    pool.tick(start)
    first = make(0, bytes(range(200)))
    pool.feed(first)
    pool.feed(make(208, bytes(8)))
    pool.tick((start + limit * SECOND - 1) % 2**32)
    assert pool.queues()[0] == 1
    pool.tick((start + (limit + 1) * SECOND) % 2**32)
    assert pool.outs() == [("icmp", icmp, 1, first[14:], False)]
    assert pool.drops() == {"timeout": 1}
    assert is_empty(pool, wire)


def test_without_the_first_fragment_nobody_is_told(wire: Any, pool: Any) -> None:
    pool.feed(v4(8, bytes(8)))
    pool.tick(31 * SECOND)
    assert pool.outs() == []
    assert pool.drops() == {"timeout": 1}


def test_an_icmp_error_in_fragments_is_known_as_one(pool: Any) -> None:
    pool.feed(v4(0, b"\3\4" + bytes(30), proto=1))
    pool.tick(31 * SECOND)
    assert pool.outs()[0][4] is True


def test_oldest_queue_goes_when_there_are_too_many(wire: Any, pool: Any) -> None:
    most = wire.limits()["queues"]
    for number in range(most + 1):
        assert pool.feed(v4(0, bytes(8), id=number))[0] == "held"
    assert pool.drops() == {"memory": 1}
    assert pool.feed(v4(8, bytes(8), False, id=most))[0] == "next"
    assert pool.feed(v4(8, bytes(8), False, id=1))[0] == "next"
    assert pool.feed(v4(8, bytes(8), False, id=0))[0] == "held"


def test_oldest_queues_go_when_the_blocks_run_out(wire: Any, pool: Any) -> None:
    limits = wire.limits()
    each = 40000 // limits["block"] + 1
    packets = limits["blocks"] // each + 20
    for number in range(packets):
        assert pool.feed(v4(0, bytes(40000), id=number))[0] == "held"
    assert pool.drops()["memory"] in range(18, 23)
    assert pool.free_blocks()[0] < each
    pool.tick(31 * SECOND)
    pool.outs()
    assert is_empty(pool, wire)
