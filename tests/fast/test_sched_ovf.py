"""ovf: the heaviest that is not full."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        free = [s for s in lab.servers if s.usable and s.active <= s.weight]
        return max(free, key=lambda s: s.weight, default=None)


@pytest.mark.covers("C-240", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_ovf_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("ovf"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 3, 2), "BBBBCCCAA--", id="each takes one more than its weight"),
        pytest.param((2, 2), "BBBAAA-", id="the first in the list on ties"),
        pytest.param((0, 1, 0), "BB-", id="quiesced ones do not count"),
    ],
)
@pytest.mark.covers("C-240")
def test_ovf_flows_over(weights: tuple[int, ...], expected: str) -> None:
    assert lab_with("ovf", *weights).picks(len(expected)) == expected


@pytest.mark.covers("C-240")
def test_ovf_comes_back_when_connections_end() -> None:
    lab = lab_with("ovf", 1, 2)
    assert lab.picks(4) == "BBBA"
    lab.wait(61)
    assert lab.picks(1) == "B"


@pytest.mark.covers("C-240")
def test_ovf_inactive_connections_do_not_fill_a_server() -> None:
    lab = lab_with("ovf", 1, 2)
    for _ in range(5):
        assert lab.picks(1) == "B"
        lab.close()
