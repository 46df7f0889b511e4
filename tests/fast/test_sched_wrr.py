"""wrr: in turn by levels of weight."""

from __future__ import annotations

from math import gcd
from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with


class Rule(Naive):
    """Section 5.2 of the specification, word for word; position -1 is the head of the list."""

    def __init__(self) -> None:
        self.cl = -1
        self.cw = self.mw = 0
        self.di = 1

    def recompute(self, lab: Lab) -> None:
        weights = [s.weight for s in lab.servers if s.weight > 0]
        self.di = gcd(*weights) or 1
        self.mw = max(weights, default=0) - (self.di - 1)

    def changed(self, lab: Lab) -> None:
        self.cl = -1
        self.recompute(lab)
        if self.cw > self.mw or self.cw == 0:
            self.cw = self.mw
        elif self.di > 1:
            self.cw = self.cw // self.di * self.di + 1

    def added(self, lab: Lab, server: Server) -> None:
        self.changed(lab)

    def edited(self, lab: Lab) -> None:
        self.changed(lab)

    def deleted(self, lab: Lab, at: int) -> None:
        self.changed(lab)

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        if self.mw == 0:
            return None
        last = p = self.cl
        stop = None
        restarted = last_pass = False
        while True:
            while p + 1 < len(lab.servers):
                p += 1
                server = lab.servers[p]
                if not server.overloaded and server.weight >= self.cw:
                    self.cl = p
                    return server
                if p == stop:
                    self.cl = p
                    return None
            p = -1
            self.cw -= self.di
            if self.cw <= 0:
                self.cw = self.mw
                if last_pass or last == -1:
                    self.cl = -1
                    return None
                restarted = True
            last_pass = self.cw <= self.di
            if last_pass and restarted and last != -1:
                stop = last


@pytest.mark.covers("C-204", "C-205", "C-206", "C-207", "C-208", "C-209", "C-210", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_wrr_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("wrr"), Rule()).run(steps)


def started(*weights: int) -> Lab:
    """Return a lab whose scheduler begins with all its servers there."""
    lab = lab_with("none", *weights)
    lab.service("wrr", edit=True)
    return lab


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((5, 1, 1), "AAAACBA" * 2, id="5 1 1: the heavy one alone on its levels"),
        pytest.param((6, 4, 2), "ABACBA" * 2, id="6 4 2: levels are divisors apart"),
        pytest.param((3, 3, 3), "CBA" * 3, id="equal weights go round as with rr"),
        pytest.param((3, 0), "AAAA", id="a quiesced server is left out"),
        pytest.param((0, 0), "----", id="nobody when all weights are 0"),
        pytest.param((), "----", id="nobody when there is none"),
        pytest.param((2, 3, 4), "CCBCBACBA", id="4 3 2 in list order"),
        pytest.param((1, 1, 5), "CCCCCBA", id="5 1 1 in list order"),
        pytest.param((5, 5, 10), "CCBA" * 2, id="10 5 5 in list order"),
        pytest.param((2147483647, 1), "AAAA", id="the largest weight there is"),
    ],
)
@pytest.mark.covers("C-204", "C-205", "C-206", "C-207", "C-208")
def test_wrr_interleaves_by_weight(weights: tuple[int, ...], expected: str) -> None:
    assert started(*weights).picks(len(expected)) == expected


@pytest.mark.covers("C-209")
def test_wrr_any_change_starts_the_walk_at_the_head_on_the_same_level() -> None:
    lab = started(6, 4, 2)
    assert lab.picks(2) == "AB"  # on the second of three levels
    lab.edit(lab.servers[2], 6)
    assert lab.picks(5) == "BACBA"
    lab.delete(lab.servers[0])
    assert lab.picks(5) == "BAABA"


@pytest.mark.covers("C-209")
def test_wrr_a_change_of_the_divisor_moves_the_level_to_one_that_there_is() -> None:
    lab = started(6, 4, 2)
    assert lab.picks(2) == "AB"  # levels 5, 3, 1: on the second
    lab.edit(lab.servers[1], 3)
    lab.edit(lab.servers[0], 3)
    assert lab.picks(6) == "ACBAAC"  # levels 4 and 1: from 4 on, which A alone has


@pytest.mark.covers("C-210", "C-243")
def test_wrr_ends_when_all_are_overloaded() -> None:
    lab = started()
    for weight in (1, 1000, 2147483646):
        lab.add(weight, upper=1)
    assert len({*lab.picks(3)}) == 3
    assert lab.picks(3) == "---"
    lab.wait(61)
    assert "-" not in lab.picks(3)
