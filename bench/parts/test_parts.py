"""Times of the parts of the data path, by pytest-benchmark; each runs FLOWS frames a round.

Collected by `make bench` alone (the work `parts`); every part asserts that it did what is timed.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bench.bench_instructions import CASES, FLOWS, Case, engine, measured, opening, requests
from bench.schedulers import BUILT_IN, KEY
from bench.schedulers import engine as many_servers
from bench.schedulers import frames as syns
from lbfast._fastpath import Prepared
from lbfast.replay.network import D0_MAC

NOW_NS = 1_000_000_000_000
EXPIRED_NS = 2_000 * 1_000_000_000  # later than any timer of a connection
ROUNDS = 200
SERVERS = 100
METHODS = [name for name in CASES if not name.endswith("-many")]


@pytest.fixture
def prepared() -> Prepared:
    """Return the requests of FLOWS flows whose connections are there."""
    case = CASES["dr-v4"]
    made = Prepared(engine(case), requests(case), FLOWS)
    assert made.run(NOW_NS) == FLOWS
    made.fill()
    return made


@pytest.mark.parametrize("name", METHODS)
def test_transmit(benchmark: Any, name: str) -> None:
    """A packet of an established connection, from a frame in memory to one ready to be sent."""
    case: Case = CASES[name]
    made = engine(case)
    for lot in opening(case):
        assert Prepared(made, lot, FLOWS).run(NOW_NS) == FLOWS
    timed = Prepared(made, measured(case, made), FLOWS)
    sent = benchmark.pedantic(timed.run, (NOW_NS,), setup=timed.fill, rounds=ROUNDS)
    assert sent == FLOWS


@pytest.mark.parametrize("name", BUILT_IN)
def test_schedule(benchmark: Any, name: str) -> None:
    """A SYN: looking in vain, choosing among SERVERS servers, making the connection."""
    made = many_servers(SERVERS)
    made.service_put(KEY, name.encode(), 0, 0, 0xFFFFFFFF, b"", edit=True)
    ready = iter([Prepared(made, syns(FLOWS * k, FLOWS), FLOWS) for k in range(20)])
    benchmark.pedantic(lambda: next(ready).run(NOW_NS), rounds=20)
    assert len(made.connections()[0]) == FLOWS * 20


def test_parse(benchmark: Any, prepared: Prepared) -> None:
    """Ethernet, IPv4 with its checksum, UDP."""
    assert benchmark.pedantic(prepared.parse, (D0_MAC,), rounds=ROUNDS) == FLOWS


def test_checksum(benchmark: Any, prepared: Prepared) -> None:
    """The sum over 46 bytes."""
    assert benchmark.pedantic(prepared.checksum, rounds=ROUNDS) > 0


def test_expire(benchmark: Any) -> None:
    """A connection whose time is up: found in its wheel, taken out of the table."""
    case = CASES["dr-v4"]
    frames = requests(case)
    made = [engine(case) for _ in range(10)]
    for each in made:
        assert Prepared(each, frames, FLOWS).run(NOW_NS) == FLOWS
    turn = itertools.cycle(made)
    benchmark.pedantic(lambda: next(turn).process([], EXPIRED_NS), rounds=len(made))
    assert all(not each.connections()[0] for each in made)
