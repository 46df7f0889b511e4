"""wlc: the least connections for the weight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with, loaded


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        least = None
        for s in lab.servers:
            if s.usable and (
                least is None or least.overhead * s.weight > s.overhead * least.weight
            ):
                least = s
        return least


@pytest.mark.covers("C-211", "C-212", "C-213", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_wlc_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("wlc"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param([(1, 0, 0), (1, 0, 0)], "B", id="the first in the list on ties"),
        pytest.param([(4, 0, 0), (1, 0, 0)], "B", id="also when the other is heavier"),
        pytest.param([(3, 0, 6), (1, 0, 2)], "B", id="2 for 1 is 6 for 3"),
        pytest.param([(3, 0, 5), (1, 0, 2)], "A", id="5 for 3 is less than 2 for 1"),
        pytest.param([(3, 0, 7), (1, 0, 2)], "B", id="7 for 3 is more than 2 for 1"),
        pytest.param([(1, 1, 0), (1, 0, 256)], "B", id="an active one is more than 256 others"),
        pytest.param([(1, 1, 0), (1, 0, 257)], "B", id="an active one is 257 others"),
        pytest.param([(1, 1, 0), (1, 0, 258)], "A", id="an active one is less than 258 others"),
        pytest.param([(1, 9, 0), (0, 0, 0)], "A", id="a quiesced server never wins"),
        pytest.param([(0, 0, 0), (0, 0, 0)], "-", id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-211", "C-212", "C-213", "C-214")
def test_wlc_compares_loads_for_weights(
    servers: list[tuple[int, int, int]], expected: str
) -> None:
    assert loaded("wlc", servers).picks(1) == expected


@pytest.mark.covers("C-211")
def test_wlc_weights_share_out_the_connections() -> None:
    lab = lab_with("wlc", 1, 2, 3)
    assert sorted(lab.picks(12)) == list("AABBBBCCCCCC")


@pytest.mark.covers("C-243", "C-035")
def test_wlc_passes_over_an_overloaded_server() -> None:
    lab = Lab("wlc")
    lab.add()
    lab.add(100, upper=3, lower=2)
    assert lab.picks(5) == "BABBA"
    lab.wait(61)
    assert lab.picks(1) == "B"
