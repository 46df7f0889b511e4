"""rr: in turn, newest first, past those that may not be picked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, lab_with


class Rule(Naive):
    """The position last picked; -1 is the head of the list."""

    def __init__(self) -> None:
        self.at = -1

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        n = len(lab.servers)
        for step in range(1, n + 1):
            at = (self.at + step) % n
            if lab.servers[at].usable:
                self.at = at
                return lab.servers[at]
        return None

    def added(self, lab: Lab, server: Server) -> None:
        if self.at >= 0:
            self.at += 1

    def deleted(self, lab: Lab, at: int) -> None:
        if self.at >= at:
            self.at -= 1


@pytest.mark.covers("C-200", "C-201", "C-202", "C-203", "C-243")
@settings(deadline=None)
@given(STEPS)
def test_rr_picks_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("rr"), Rule()).run(steps)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 1, 1), "CBACBA", id="the newest comes first, then in turn"),
        pytest.param((5, 1, 9), "CBACBA", id="how heavy a server is does not matter"),
        pytest.param((1, 0, 1), "CACACA", id="a quiesced server is passed over"),
        pytest.param((0, 1, 0), "BBBBBB", id="the only one that may be picked is picked again"),
        pytest.param((0, 0, 0), "------", id="nobody when all are quiesced"),
        pytest.param((), "------", id="nobody when there is none"),
    ],
)
@pytest.mark.covers("C-200", "C-201", "C-202")
def test_rr_goes_round(weights: tuple[int, ...], expected: str) -> None:
    assert lab_with("rr", *weights).picks(6) == expected


@pytest.mark.covers("C-203")
def test_rr_a_new_server_waits_for_its_turn() -> None:
    lab = lab_with("rr", 1, 1, 1)
    assert lab.picks(2) == "CB"
    lab.add()
    assert lab.picks(5) == "ADCBA"


@pytest.mark.parametrize(
    ("deleted", "expected"),
    [
        pytest.param(1, "ACA", id="the one after the picked one's predecessor is next"),
        pytest.param(0, "CBC", id="one that is still to come is left out"),
        pytest.param(2, "ABA", id="one that was before moves nothing"),
    ],
)
@pytest.mark.covers("C-203")
def test_rr_a_removal_keeps_the_place(deleted: int, expected: str) -> None:
    lab = lab_with("rr", 1, 1, 1)
    assert lab.picks(2) == "CB"
    lab.delete(next(s for s in lab.servers if s.number == deleted))
    assert lab.picks(3) == expected


@pytest.mark.covers("C-203")
def test_rr_without_the_first_one_it_picked_starts_at_the_head() -> None:
    lab = lab_with("rr", 1, 1, 1)
    assert lab.picks(1) == "C"
    lab.delete(lab.servers[0])
    assert lab.picks(3) == "BAB"


@pytest.mark.covers("C-201", "C-243")
def test_rr_passes_over_an_overloaded_server_until_it_is_not() -> None:
    lab = Lab("rr")
    lab.add()
    lab.add(1, upper=2)
    assert lab.picks(6) == "BABAAA"
    lab.wait(61)  # their time is over
    assert lab.picks(2) == "BA"


def test_rr_edits_do_not_move_the_place() -> None:
    lab = lab_with("rr", 1, 1, 1)
    assert lab.picks(1) == "C"
    lab.edit(lab.servers[0], 7)
    assert lab.picks(2) == "BA"
