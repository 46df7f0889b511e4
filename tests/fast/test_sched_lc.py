"""lc: the least connections, active ones counting 257."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, loaded


class Rule(Naive):
    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        return min(filter(lambda s: s.usable, lab.servers), key=lambda s: s.overhead, default=None)


@pytest.mark.covers("C-242", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_lc_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("lc"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param([(1, 0, 0), (1, 0, 0)], "B", id="the first in the list on ties"),
        pytest.param([(1, 0, 1), (1, 0, 2)], "A", id="one connection less"),
        pytest.param([(1, 1, 0), (1, 0, 256)], "B", id="an active one is more than 256 others"),
        pytest.param([(1, 1, 0), (1, 0, 258)], "A", id="an active one is less than 258 others"),
        pytest.param([(1, 0, 1), (100, 0, 2)], "A", id="a weight counts for nothing"),
        pytest.param([(0, 0, 0), (1, 0, 9)], "B", id="but that it is 0"),
        pytest.param([(0, 0, 0), (0, 0, 0)], "-", id="nobody when all are quiesced"),
    ],
)
@pytest.mark.covers("C-242", "C-212", "C-214")
def test_lc_compares_loads(servers: list[tuple[int, int, int]], expected: str) -> None:
    assert loaded("lc", servers).picks(1) == expected
