"""twos: two at random, the less loaded of both."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with, loaded

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


class Rule(Naive):
    """The rule of section 5.15, with the random numbers of the engine's first worker."""

    def __init__(self, seed: int) -> None:
        self.x = ((seed >> 7) * 2 + 1) & M32

    def random(self, n: int) -> int:
        self.x ^= self.x << 13 & M32
        self.x ^= self.x >> 17
        self.x ^= self.x << 5 & M32
        z = self.x * 0x9E3779B97F4A7C15 & M64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
        return (z ^ z >> 31) % n

    def choose(self, usable: list[Server], r: int) -> Server:
        for server in usable:
            r -= server.weight
            if r <= 0:
                return server
        raise AssertionError

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        usable = [server for server in lab.servers if server.usable]
        total = sum(server.weight for server in usable)
        if not usable:
            return None
        r1, r2 = self.random(total + 1), self.random(total + 1)
        one, two = self.choose(usable, r1), self.choose(usable, r2)
        return two if two.weight * one.overhead > one.weight * two.overhead else one


@pytest.mark.covers("C-241", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_twos_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("twos", seed=5555), Rule(5555)).run(steps)


@pytest.mark.parametrize(
    ("servers", "shares"),
    [
        pytest.param([(1, 0, 0), (1, 9, 0)], {"A": 5 / 9, "B": 4 / 9}, id="the idle one"),
        pytest.param([(1, 9, 0), (1, 0, 0)], {"A": 1 / 9, "B": 8 / 9}, id="the idle one, first"),
        pytest.param([(2, 0, 9), (1, 0, 0)], {"A": 1 / 4, "B": 3 / 4}, id="the idle one, light"),
        pytest.param([(0, 0, 0), (1, 9, 0)], {"B": 1.0}, id="the only one not quiesced"),
        pytest.param([(0, 0, 0), (0, 0, 0)], {"-": 1.0}, id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-241")
def test_twos_prefers_the_lighter_of_two(
    servers: list[tuple[int, int, int]], shares: dict[str, float]
) -> None:
    """The busy one is picked when both draws are its own; of T + 1 values one more than its
    weight stands for the first in the list."""
    n = 600
    picked = Counter(loaded("twos", servers, seed=k << 9 | 1).picks(1) for k in range(n))
    assert sum(picked[name] for name in shares) == n
    for name, share in shares.items():
        assert abs(picked[name] - n * share) <= 4 * sqrt(n * share * (1 - share))


@pytest.mark.covers("C-241")
def test_twos_spreads_more_evenly_than_one_choice_would() -> None:
    lab = lab_with("twos", *[1] * 16)
    loads = Counter(lab.picks(16 * 40))
    assert max(loads.values()) <= 40 + 8
