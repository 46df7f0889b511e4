"""The works beside the peers: what is read from wrk and iperf3, who has a turn, what it costs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import table, turns
from bench.costs import Case
from bench.others import Watch
from bench.plan import Plan
from bench.rows import Head, Rounds
from bench.subjects import SUBJECTS
from bench.turns import Disturbed, by_turns, present, rows_of
from bench.works import frames, http

REPORT = """Running 2s test @ http://10.0.0.2/
  2 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.26ms    2.11ms  30.02ms   83.10%
  8000 requests in 2.00s, 5.90MB read
Requests/sec:   4000.00
"""


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the machine does, no turn is taken again."""
    monkeypatch.setattr(Watch, "loud", lambda _: 0.0)


def plan(quick: bool = False, only: tuple[str, ...] = (), seed: int = 1) -> Plan:
    return Plan(quick, Path(), 60, only, began=time.monotonic(), seed=seed)


def test_wrk_report_gives_rate_and_cost() -> None:
    assert http.judge(REPORT, 2.0) == {"rate": 4000.0, "CPU": 250.0}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("  Socket errors: connect 0, read 5, write 3, timeout 1", id="socket errors"),
        pytest.param("  Non-2xx or 3xx responses: 9", id="other answers"),
    ],
)
def test_wrk_report_with_failures_is_not_counted(line: str) -> None:
    with pytest.raises(Disturbed, match="9 of 8000 requests failed"):
        http.judge(REPORT + line, 2.0)


def test_wrk_report_without_answers_is_not_counted() -> None:
    with pytest.raises(Disturbed, match="no request was answered"):
        http.judge("unable to connect to 10.0.0.2:80 Connection refused", 2.0)


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        pytest.param((), {"ipvs-nat", "ipvs-dr"}, id="by itself"),
        pytest.param(("ipvs-tun",), {"ipvs-tun"}, id="asked for"),
    ],
)
def test_quick_run_has_ipvs_where_the_kernel_has_it(
    monkeypatch: pytest.MonkeyPatch, only: tuple[str, ...], wanted: set[str]
) -> None:
    monkeypatch.setattr(turns, "available", lambda names: (list(names), []))
    found = present(plan(quick=True, only=only))
    assert {name for name in found if name.startswith("ipvs-")} == wanted


def test_quick_frames_are_of_every_subject_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def wanted(made: Plan, cases: Sequence[Case]) -> list[str]:
        names = {name for case in cases for name in case.subjects}
        raise LookupError(*sorted(name for name in names if made.wants(name)))

    monkeypatch.setattr(frames, "present", wanted)
    with pytest.raises(LookupError) as found:
        next(frames.run(plan(quick=True, only=("ipvs", "lbfast-tun"))))
    assert found.value.args == ("ipvs-dr", "ipvs-nat", "lbfast-tun")


def test_turns_every_subject_has_one_a_round_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def turn(name: str) -> dict[str, float]:
        calls.append(name)
        return {"rate": float(len(calls))}

    found = by_turns(plan(), ("none", "haproxy"), turn, 3)
    rounds = [set(calls[n : n + 2]) for n in range(0, 8, 2)]
    assert rounds == [{"none", "haproxy"}] * 4
    assert len({tuple(calls[n : n + 2]) for n in range(0, 8, 2)}) == 2  # left to chance
    values = found["rate"].values("none") + found["rate"].values("haproxy")
    assert sorted(values) == [3, 4, 5, 6, 7, 8]


def test_turns_a_disturbed_one_is_told_and_not_counted() -> None:
    def turn(name: str) -> dict[str, float]:
        if name == "haproxy":
            raise Disturbed("it failed")
        return {"rate": 1.0, "CPU": 2.0}

    made, names = plan(quick=True), ("none", "haproxy")
    found = by_turns(made, names, turn, 1)
    assert found["rate"].rounds == [{"none": 1.0, "haproxy": None}]
    units = {"rate": "requests/s", "CPU": "us"}
    rows = list(rows_of(made, names, found, units, Head("http", "x", "", "")))
    assert [(row.subject, row.metric, row.median) for row in rows] == [
        ("none", "rate", 1.0),
        ("none", "CPU", 2.0),
    ]


def test_present_leaves_out_whom_the_plan_does_not_want() -> None:
    assert present(plan(only=("lbfast-n", "none"))) == ["none", "lbfast-nat"]


def test_turns_all_disturbed_are_left_out_by_name() -> None:
    """In one case one subject never comes through, in the other nobody does."""

    def turn(name: str) -> dict[str, float]:
        if name in silent:
            raise Disturbed("it failed")
        return {"rate": 1.0, "CPU": 2.0}

    made, names, units = plan(), ("none", "haproxy"), {"rate": "1/s", "CPU": "us"}
    silent: tuple[str, ...] = ("haproxy",)
    some = rows_of(made, names, by_turns(made, names, turn, 2), units, Head("http", "x", "", ""))
    assert {row.subject for row in some} == {"none"}
    assert made.left_out == ["x: haproxy: every turn disturbed"]
    silent = names
    nobody = by_turns(made, names, turn, 2)
    assert list(rows_of(made, names, nobody, units, Head("http", "y", "", "", 4))) == []
    assert made.left_out[1:] == [f"y, IPv4: {name}: every turn disturbed" for name in names]


def test_turns_a_round_in_which_nobody_came_through_is_told_too() -> None:
    calls: list[str] = []

    def turn(name: str) -> dict[str, float]:
        calls.append(name)
        if len(calls) < 5:
            raise Disturbed("it failed")
        return {"rate": 1.0}

    made, names = plan(), ("none", "haproxy")
    found = by_turns(made, names, turn, 3)
    rows = list(rows_of(made, names, found, {"rate": "1/s"}, Head("http", "x", "", "")))
    assert {row.remark for row in rows} == {"1 of 3 turns disturbed, not counted"}


def test_order_of_turns_is_another_in_each_run_and_the_same_by_its_seed() -> None:
    names = [f"s{n}" for n in range(12)]

    def order(made: Plan) -> list[str]:
        seen: list[str] = []

        def turn(name: str) -> dict[str, float]:
            seen.append(name)
            return {"rate": 1.0}

        by_turns(made, names, turn, 1)
        return seen

    first = Plan(True, Path(), 60)
    assert order(first) != order(Plan(True, Path(), 60))
    assert order(plan(quick=True, seed=7)) == order(plan(quick=True, seed=7))
    assert order(Plan(True, Path(), 60, seed=first.seed)) == order(
        Plan(True, Path(), 60, seed=first.seed)
    )


def test_first_round_counts_where_no_other_fits() -> None:
    late = Plan(False, Path(), -1, began=time.monotonic())
    found = by_turns(late, ("none", "haproxy"), lambda name: {"rate": 2.0}, 3)
    assert found["rate"].values("haproxy") == [2.0]
    assert late.left_out == [
        "rounds 2 to 4 of a comparison",
        "none, haproxy: only the first round, meant to warm up, is counted",
    ]


def test_table_has_a_column_for_every_peer_and_a_line_for_every_subject() -> None:
    rounds = Rounds()
    for number in range(10):
        rounds.add({name: 12345.678 + number for name in SUBJECTS})
    text = table.render(
        list(rounds.rows(Head("http", "new connections", "rate", "requests/s", 4)))
    )
    heading, *lines = text.splitlines()[1:]
    peers = re.findall(r"/ (\S+)", heading)
    kernel = {name for name in SUBJECTS if name.startswith(("ipvs-", "nft-"))}
    assert kernel < set(peers)
    for line in lines[: len(SUBJECTS)]:
        subject = line.split()[0]
        assert subject in SUBJECTS
        assert line.count("1.00 (1.00-1.00)") == len(peers) - (subject in peers)
