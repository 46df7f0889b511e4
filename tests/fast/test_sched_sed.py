"""sed: the least active connections, the new one counted, for the weight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, loaded


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        least = None
        for s in lab.servers:
            if s.usable and (
                least is None or (least.active + 1) * s.weight > (s.active + 1) * least.weight
            ):
                least = s
        return least


@pytest.mark.covers("C-216", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_sed_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("sed"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param([(1, 0, 0), (1, 0, 0)], "B", id="the first in the list on ties"),
        pytest.param([(2, 0, 0), (1, 0, 0)], "A", id="of idle ones the heaviest"),
        pytest.param([(2, 1, 0), (1, 0, 0)], "B", id="2 for 2 is 1 for 1: the first in the list"),
        pytest.param([(3, 1, 0), (1, 0, 0)], "A", id="2 for 3 is less than 1 for 1"),
        pytest.param([(1, 0, 99), (1, 1, 0)], "A", id="inactive ones do not count"),
        pytest.param([(0, 0, 0), (1, 5, 0)], "B", id="a quiesced server never wins"),
        pytest.param([(0, 0, 0), (0, 0, 0)], "-", id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-216")
def test_sed_compares_delays(servers: list[tuple[int, int, int]], expected: str) -> None:
    assert loaded("sed", servers).picks(1) == expected
