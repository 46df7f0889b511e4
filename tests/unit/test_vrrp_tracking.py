"""What tracked objects do to priorities, and when their state counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.model.vrrp import ParamMatch, Track, TrackProcess
from lbfast.vrrp.files import read_value
from lbfast.vrrp.processes import matches
from lbfast.vrrp.tracking import Debounce, Effect, Kind, Streak, effect, judge, process_is_up

S = 1_000_000_000
FAULT = "FAULT"
# weight, reverse -> while up, while down (the table of spec 4.9)
ROWS = {
    "0": (0, False, 0, FAULT),
    "positive": (30, False, 30, 0),
    "negative": (-30, False, 0, -30),
    "positive reverse": (30, True, -30, 0),
    "negative reverse": (-30, True, 0, 30),
    "0 reverse": (0, True, FAULT, 0),
}


def shown(found: Effect) -> int | str:
    return FAULT if found.is_fault else found.delta


@pytest.mark.covers("VRP-27", "VRP-28")
@pytest.mark.parametrize(("weight", "reverse", "up", "down"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("kind", [Kind.INTERFACE, Kind.SCRIPT, Kind.PROCESS, Kind.BFD])
def test_weight_follows_the_table(
    kind: Kind, weight: int, reverse: bool, up: int | str, down: int | str
) -> None:
    track = Track("x", weight, reverse)
    assert (shown(effect(kind, track, 1)), shown(effect(kind, track, 0))) == (up, down)


@pytest.mark.covers("VRP-29")
@pytest.mark.parametrize(
    ("value", "weight", "reverse", "expected"),
    [
        (7, 2, False, 14),
        (7, -2, False, -14),
        (-7, 2, True, 14),
        (-127, 2, False, FAULT),
        (127, -2, False, FAULT),
        (-126, 2, False, -252),
        (0, 0, False, 0),
        (1, 0, False, FAULT),
        (-1, 0, False, FAULT),
        (0, 0, True, FAULT),
        (5, 0, True, 0),
    ],
)
def test_file_counts_value_times_weight(
    value: int, weight: int, reverse: bool, expected: int | str
) -> None:
    assert shown(effect(Kind.FILE, Track("f", weight, reverse), value)) == expected


@pytest.mark.covers("VRP-31")
@pytest.mark.parametrize(
    ("base", "weight", "expected"),
    [(100, 200, 254), (100, -200, 1), (255, -200, 255), (254, 1, 254), (10, -9, 1)],
)
def test_priority_stays_in_its_bounds(base: int, weight: int, expected: int) -> None:
    value = 1 if weight > 0 else 0
    lines = [(Kind.SCRIPT, Track("s", weight))]
    assert judge(base, lines, {(Kind.SCRIPT, "s"): value}).priority == expected


def test_unknown_result_decides_nothing_but_is_waited_for() -> None:
    lines = [(Kind.SCRIPT, Track("a")), (Kind.SCRIPT, Track("b", -20))]
    verdict = judge(100, lines, {})
    assert (verdict.priority, verdict.causes) == (100, frozenset())
    assert verdict.waiting == {"script a"}


def test_effects_add_up() -> None:
    lines = [
        (Kind.SCRIPT, Track("a", -20)),
        (Kind.INTERFACE, Track("eth1", 5)),
        (Kind.FILE, Track("f", 2)),
        (Kind.PROCESS, Track("p")),
    ]
    values: dict[tuple[Kind, str], int | None] = {
        (Kind.SCRIPT, "a"): 0,
        (Kind.INTERFACE, "eth1"): 1,
        (Kind.FILE, "f"): 10,
        (Kind.PROCESS, "p"): 0,
    }
    verdict = judge(100, lines, values)
    assert verdict.priority == 105
    assert verdict.causes == {"process p"}


def test_first_result_decides_whatever_rise_and_fall() -> None:
    assert Streak(5, 5, None).result(True)
    streak = Streak(5, 5, None)
    assert streak.result(False)
    assert streak.is_up is False


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.booleans(), max_size=40))
def test_streak_is_what_counting_back_says(rise: int, fall: int, results: list[bool]) -> None:
    streak, expected = Streak(rise, fall, True), True
    for number, result in enumerate(results, 1):
        changed = streak.result(result)
        need = fall if expected else rise
        run = results[max(0, number - need) : number]
        flips = len(run) == need and all(one is not expected for one in run)
        assert changed == flips
        expected ^= flips
        assert streak.is_up == expected


@pytest.mark.covers("VRP-52")
def test_debounce_counts_only_what_lasts() -> None:
    link = Debounce(2_000_000, 3_000_000, True)
    assert not link.see(False, 0)
    assert not link.see(True, S)  # back in time
    assert link.at is None
    assert not link.see(False, 2 * S)
    assert not link.due(4 * S - 1)
    assert link.due(4 * S)
    assert link.is_up is False
    assert not link.see(True, 5 * S)
    assert not link.see(True, 7 * S)
    assert link.see(True, 8 * S)
    assert link.is_up is True


def test_debounce_without_delay_counts_at_once() -> None:
    link = Debounce(0, 0, True)
    assert link.see(False, 5)
    assert link.is_up is False


@pytest.mark.covers("VRP-30")
@pytest.mark.parametrize(
    ("count", "quorum", "most", "expected"),
    [(0, 1, None, False), (1, 1, None, True), (3, 2, 3, True), (4, 2, 3, False)],
)
def test_process_quorum(count: int, quorum: int, most: int | None, expected: bool) -> None:
    assert process_is_up(count, quorum, most) == expected


COMMAND = ("/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg")
MATCHES = {
    "name": (("haproxy",), {}, True),
    "another name": (("nginx",), {}, False),
    "path of the name": (("/opt/haproxy",), {}, True),
    "all arguments": (("haproxy", *COMMAND[1:]), {}, True),
    "first argument only, exact": (("haproxy", "-f"), {}, False),
    "first argument, initial": (("haproxy", "-f"), {"param_match": ParamMatch.INITIAL}, True),
    "begun argument, initial": (
        ("haproxy", "-f", "/etc"), {"param_match": ParamMatch.INITIAL}, False),
    "begun argument, partial": (
        ("haproxy", "-f", "/etc"), {"param_match": ParamMatch.PARTIAL}, True),
    "full command": (COMMAND, {"full_command": True}, True),
    "full command of another path": (("haproxy", *COMMAND[1:]), {"full_command": True}, False),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "more", "expected"), MATCHES.values(), ids=MATCHES)
def test_process_is_matched(argv: tuple[str, ...], more: dict, expected: bool) -> None:  # type: ignore[type-arg]
    config = TrackProcess("p", argv, **more)
    assert matches(config, "haproxy", COMMAND) == expected


def test_long_process_names_are_compared_as_the_kernel_cuts_them() -> None:
    config = TrackProcess("p", ("a-name-of-more-than-15",))
    assert matches(config, "a-name-of-more-", ("x",))


@pytest.mark.parametrize(
    ("text", "expected"), [("5\n", 5), (" -17 rest", -17), ("", 0), ("x", 0), (None, 0)]
)
def test_file_value(tmp_path, text: str | None, expected: int) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "value"
    if text is not None:
        path.write_text(text)
    assert read_value(str(path)) == expected
