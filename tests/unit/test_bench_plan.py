"""What a work may spend, and that all works together fit into the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import alone, plots
from bench import plan as plan_module
from bench.memory import Held
from bench.others import Watch
from bench.plan import Plan, all_works, narrowed
from bench.rows import Row, read
from bench.works import lookup, memory
from tools import bench as tool

WHOLE_S, WHOLE_QUICK_S = 25 * 60, 120
MARGIN = 0.95  # building, table and plots take time too


ROW = Row(
    work="fine", case="all", subject="lbfast-dr", metric="time", unit="ns",
    median=1.0, low=1.0, high=1.0, rounds=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever else the machine does, no turn is taken again, and nobody is waited for."""
    monkeypatch.setattr(Watch, "loud", lambda _: 0.0)
    monkeypatch.setenv(alone.VARIABLE, str(tmp_path / "lock"))


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
        yield ROW

    def empty(_: Plan):  # type: ignore[no-untyped-def]
        return iter(())

    works = {
        "broken": plan_module.Work("broken", 1, 1, broken),
        "empty": plan_module.Work("empty", 1, 1, empty),
        "fine": plan_module.Work("fine", 1, 1, fine),
    }
    monkeypatch.setattr(tool, "all_works", lambda: works)
    assert tool.main(["--quick", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "failed: broken, empty\n" in said
    assert "left out: everything: no subject of empty has a turn in such a run\n" in said
    assert "broken: no such thing\n" in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.glob("*.json")] == ["fine.json"]
    written = read(tmp_path / "fine.json")
    assert (written.quick, written.left_out) == (True, ["the rest"])


def test_word_of_no_subject_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--quick", "--out", str(tmp_path), "--only", "nope", "--only", "haproxy"]
    assert tool.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("bench: --only nope: no such subject; known: forward, haproxy, ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_works_without_a_subject_of_that_word_are_left_out() -> None:
    works = list(all_works().values())
    chosen, without = narrowed(works, ("haproxy",))
    assert [work.name for work in chosen] == ["bulk", "http", "pingpong"]
    assert {"parts", "latency", "instructions", "memory"} <= {work.name for work in without}
    assert narrowed(works, ()) == (works, [])


def test_left_out_works_do_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(made: Plan):  # type: ignore[no-untyped-def]
        ran.append("frames")
        yield ROW

    def not_wanted(_: Plan):  # type: ignore[no-untyped-def]
        ran.append("parts")
        yield ROW

    works = {
        "frames": plan_module.Work("frames", 1, 1, run, ("lbfast-dr",)),
        "parts": plan_module.Work("parts", 1, 1, not_wanted),
    }
    monkeypatch.setattr(tool, "all_works", lambda: works)
    assert tool.main(["--quick", "--out", str(tmp_path), "--only", "dr"]) == 0
    assert ran == ["frames"]
    assert "left out, no such subject to choose: parts" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lookup", "memory"])
def test_rows_over_connections_can_be_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case begins with its number, and a picture takes every row."""
    monkeypatch.setattr(lookup, "measured", lambda size, rounds, huge: [(30.0, 60.0)] * rounds)
    monkeypatch.setattr(memory, "held", table_held)
    found = list(all_works()[name].run(Plan(False, Path("nowhere"), 1000)))
    (picture,) = [each for each in plots.PICTURES if each.name == name]
    assert plots.rows_for(picture, found) == found
    assert {plots.number_of(row.case) for row in found} >= {100_000, 1_000_000, 10_000_000}
    assert {row.subject for row in found} == {"lbfast", "lbfast-4k-pages"}
    assert found[-1].median == {"lookup": 60.0, "memory": 100.0}[name]


@contextmanager
def table_held(size: int, *, huge: bool) -> Iterator[tuple[str, Held]]:
    yield "name", Held(size, size * 100, size * 101, size * 90, size * 80 if huge else 0)
