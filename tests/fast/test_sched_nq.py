"""nq: an idle server, or else the shortest expected delay."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, loaded


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        usable = [s for s in lab.servers if s.usable]
        idle = [s for s in usable if s.active == 0]
        if idle:
            return idle[0]
        return min(usable, key=lambda s: Fraction(s.active + 1, s.weight), default=None)


@pytest.mark.covers("C-215", "C-217", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_nq_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("nq"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param([(9, 0, 0), (1, 0, 0)], "B", id="the first idle one, however light"),
        pytest.param([(1, 0, 0), (9, 1, 0)], "A", id="an idle one before a heavier busy one"),
        pytest.param([(1, 0, 50), (9, 1, 0)], "A", id="inactive connections leave it idle"),
        pytest.param([(1, 1, 0), (9, 2, 0)], "B", id="all busy: the shortest delay"),
        pytest.param([(2, 3, 0), (1, 1, 0)], "B", id="all busy: the first in the list on ties"),
        pytest.param([(0, 0, 0), (1, 5, 0)], "B", id="a quiesced one is not idle"),
        pytest.param([(0, 0, 0), (0, 0, 0)], "-", id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-215", "C-217")
def test_nq_prefers_the_idle(servers: list[tuple[int, int, int]], expected: str) -> None:
    assert loaded("nq", servers).picks(1) == expected
