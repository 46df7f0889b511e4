"""fo: all to the heaviest that is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        return max(filter(lambda s: s.usable, lab.servers), key=lambda s: s.weight, default=None)


@pytest.mark.covers("C-239", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_fo_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("fo"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 3, 2), "BBBB", id="the heaviest gets everything"),
        pytest.param((3, 3, 2), "BBBB", id="the first in the list on ties"),
        pytest.param((0, 1, 0), "BBBB", id="quiesced ones do not count"),
        pytest.param((0, 0, 0), "----", id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-239")
def test_fo_takes_the_heaviest(weights: tuple[int, ...], expected: str) -> None:
    assert lab_with("fo", *weights).picks(4) == expected


@pytest.mark.covers("C-239", "C-243")
def test_fo_fails_over_when_the_heaviest_is_quiesced_or_overloaded_or_gone() -> None:
    lab = lab_with("fo", 3, 2, 1)
    c, b, a = lab.servers
    assert lab.picks(2) == "AA"
    lab.edit(a, 0)
    assert lab.picks(2) == "BB"
    lab.edit(b, 2, upper=3)
    assert lab.picks(2) == "BC"
    lab.delete(c)
    assert lab.picks(1) == "-"
    lab.edit(a, 1)
    assert lab.picks(1) == "A"
