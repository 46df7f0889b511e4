"""Rows of the benches: medians, intervals, ratios round by round, files."""

from __future__ import annotations

import statistics
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import versions
from bench.rows import (
    Head,
    Interval,
    Rounds,
    Row,
    Sheet,
    interval,
    median_interval,
    read,
    read_all,
    this_machine,
    write,
)

HEAD = Head("frames", "60 bytes", "cpu", "us/frame", 4)


def rounds(*turns: dict[str, float | None]) -> Rounds:
    made = Rounds()
    for turn in turns:
        made.add(turn)
    return made


def sheet(work: str, rows: list[Row]) -> Sheet:
    return Sheet(work=work, quick=True, seconds=1.5, machine=this_machine(), rows=rows)


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(1, (1, 1)), (5, (1, 5)), (25, (8, 18)), (100, (41, 60))],
    ids=["one value", "too few for an interval", "25 pairs", "100 pairs"],
)
def test_interval_of_the_median_is_by_ranks(n: int, ranks: tuple[int, int]) -> None:
    assert median_interval(range(1, n + 1)) == ranks


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_interval_holds_the_median_and_is_of_the_values(values: list[float]) -> None:
    found = interval(values)
    assert found.low <= found.median <= found.high
    assert found.median == statistics.median(values)
    assert {found.low, found.high} <= set(values)


def test_ratio_is_taken_round_by_round_not_of_the_medians() -> None:
    """A machine that slows down by and by leaves the ratio alone."""
    slower = rounds({"a": 2, "b": 1}, {"a": 20, "b": 10}, {"a": 200, "b": 100})
    row = next(iter(slower.rows(HEAD)))
    assert row.ratios == {"b": Interval(2.0, 2.0, 2.0)}
    assert (row.median, row.low, row.high) == (20.0, 2.0, 200.0)


def test_disturbed_turn_leaves_its_round_out_of_the_ratio_and_is_told() -> None:
    made = rounds({"a": 2, "b": 1}, {"a": None, "b": 100}, {"a": 6, "b": 2})
    first, second = made.rows(HEAD, {"a": "dr"})
    assert (first.rounds, second.rounds) == (2, 3)
    assert first.ratios["b"] == Interval(2.5, 2.0, 3.0)
    assert first.remark == "1 of 3 turns disturbed, not counted"
    assert (second.remark, first.method, second.method) == (
        "ratio to a from 2 of 3 rounds",
        "dr",
        "",
    )
    assert second.ratios["a"].rounds == 2


def test_subject_without_an_undisturbed_turn_has_no_row() -> None:
    assert [row.subject for row in rounds({"a": None, "b": 1.0}).rows(HEAD)] == ["b"]


def test_less_takes_the_base_of_the_same_round_off() -> None:
    made = rounds({"none": 1, "a": 3}, {"none": 10, "a": 15}, {"none": None, "a": 7})
    cost = made.less("none")
    assert cost.subjects() == ["a"]
    assert cost.values("a") == [2, 5]


def test_ratio_to_a_difference_that_is_not_above_zero_says_nothing() -> None:
    made = rounds({"a": 3, "b": -1}, {"a": 3, "b": 0}, {"a": 3, "b": 2})
    assert made.ratios("a", "b") == [1.5]


def test_sheet_reads_back_as_it_was_written(tmp_path: Path) -> None:
    rows = list(rounds({"a": 2, "b": 1}, {"a": 3, "b": None}).rows(HEAD, {"a": "nat"}))
    written = sheet("frames", rows)
    assert read(write(written, tmp_path)) == written


def test_files_of_another_shape_are_no_sheets(tmp_path: Path) -> None:
    (tmp_path / "schedulers.json").write_text('{"unit": "x", "instructions": {}}')
    write(sheet("b", []), tmp_path)
    write(sheet("a", []), tmp_path)
    assert [found.work for found in read_all(tmp_path)] == ["a", "b"]


def test_ratio_that_drops_rounds_says_of_how_many_it_is() -> None:
    made = Rounds([{"a": 1.0, "b": b} for b in (-3.0, -2.0, -1.0, 1.0, 2.0)])
    first, second = made.rows(HEAD)
    assert (first.rounds, first.ratios["b"]) == (5, Interval(0.75, 0.5, 1.0, 2))
    assert first.remark == "ratio to b from 2 of 5 rounds"
    assert second.remark == ""


def test_cost_without_a_round_of_the_base_is_told() -> None:
    made = rounds({"none": None, "a": 3.0}, {"none": 1.0, "a": None})
    assert list(made.less("none").rows(HEAD)) == []
    assert list(made.less("none").unmeasured(HEAD)) == [
        "60 bytes, IPv4: a: cpu: no round that none has too"
    ]
    assert list(made.unmeasured(HEAD)) == []


def test_machine_names_what_is_measured() -> None:
    commit = versions.said(["git", "-C", str(versions.ROOT), "rev-parse", "--short", "HEAD"])
    own = versions.lbfast_version()
    assert own.startswith(commit) if commit else own == metadata.version("lbfast")
    assert this_machine().lbfast == own
    assert this_machine().peers == versions.peer_versions()


def test_version_outside_a_repository_is_that_of_the_package(tmp_path: Path) -> None:
    assert versions.lbfast_version(tmp_path) == metadata.version("lbfast")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u1 2023/12/16 - https://haproxy.org/", "2.6.12-1+deb12u1"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
        ("odd", "odd"),
    ],
)
def test_version_is_found_in_what_a_program_says(line: str, version: str) -> None:
    assert versions.version_in(line) == version
