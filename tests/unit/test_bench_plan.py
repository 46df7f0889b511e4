"""What a work may spend, and that all works together fit into the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import plan as plan_module
from bench.plan import Plan, all_works
from bench.rows import read
from tools import bench as tool

WHOLE_S, WHOLE_QUICK_S = 25 * 60, 120
MARGIN = 0.95  # building, table and plots take time too


class Clock:
    """A clock that stands unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(plan_module, "time", made)
    return made


def plan(seconds: float, clock: Clock, only: tuple[str, ...] = ()) -> Plan:
    return Plan(True, Path("nowhere"), seconds, only, began=clock.now)


def test_shares_of_all_works_fit_into_the_whole() -> None:
    known = all_works().values()
    assert sum(work.seconds for work in known) <= WHOLE_S * MARGIN
    assert sum(work.quick_seconds for work in known) <= WHOLE_QUICK_S * MARGIN


def test_rounds_stop_before_one_that_would_not_fit(clock: Clock) -> None:
    made, seen = plan(10, clock), []
    for number in made.rounds(9):
        seen.append(number)
        clock.now += 3
    assert seen == [0, 1, 2]
    assert made.left_out == ["rounds 4 to 9 of a comparison"]


def test_rounds_take_no_more_than_their_part(clock: Clock) -> None:
    made, seen = plan(10, clock), []
    for number in made.rounds(9, part=0.5):
        seen.append(number)
        clock.now += 2
    assert seen == [0, 1]


def test_one_round_is_run_however_late_it_is(clock: Clock) -> None:
    assert next(iter(plan(-1, clock).rounds(5))) == 0


def test_what_does_not_fit_is_left_out_and_said(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(10, clock)
    assert made.allows(10, "a million flows")
    clock.now += 4
    assert not made.allows(7, "a million flows")
    assert made.left_out == ["a million flows"]
    assert "left out, 6 s left: a million flows" in capsys.readouterr().err


def test_only_names_subjects_by_a_part_of_the_name(clock: Clock) -> None:
    assert plan(1, clock).wants("haproxy")
    made = plan(1, clock, ("lbfast", "nft"))
    assert [made.wants(name) for name in ("lbfast-dr", "nft-dnat", "haproxy")] == [
        True,
        True,
        False,
    ]


def test_unknown_work_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["frobnicate"]) == 2
    assert "no work called frobnicate; known: " in capsys.readouterr().err


def test_a_work_that_fails_is_named_and_the_others_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Plan):  # type: ignore[no-untyped-def]
        raise OSError("no such thing")
        yield

    def fine(made: Plan):  # type: ignore[no-untyped-def]
        made.left_out.append("the rest")
        return iter(())

    works = {
        "broken": plan_module.Work("broken", 1, 1, broken),
        "fine": plan_module.Work("fine", 1, 1, fine),
    }
    monkeypatch.setattr(tool, "all_works", lambda: works)
    assert tool.main(["--quick", "--out", str(tmp_path)]) == 1
    assert "failed: broken" in capsys.readouterr().err
    assert not (tmp_path / "broken.json").exists()
    written = read(tmp_path / "fine.json")
    assert (written.quick, written.left_out) == (True, ["the rest"])
