"""When a check counts as up or down, and when the next attempt is due."""

from __future__ import annotations

import pytest

from lbfast.check.inherit import Schedule
from lbfast.check.state import Change, Machine, RiseFall, UrlRound

LOOP, BEFORE_RETRY = 4.0, 1.0


def schedule(retry: int = 2, *, alpha: bool = False, before: float = BEFORE_RETRY) -> Schedule:
    return Schedule(LOOP, 5.0, retry, before, LOOP, alpha)


def feed(machine: Machine, outcomes: str, times: Schedule) -> list[tuple[str, float]]:
    """Outcomes as + and -; returns what each changes and the wait after it."""
    steps = [machine.result(outcome == "+", times) for outcome in outcomes]
    return [(step.change.value, step.delay_s) for step in steps]


def changes(machine: Machine, outcomes: str, times: Schedule) -> str:
    marks = {Change.NONE: ".", Change.UP: "U", Change.DOWN: "D", Change.STILL_DOWN: "d"}
    return "".join(marks[machine.result(one == "+", times).change] for one in outcomes)


@pytest.mark.covers("CHK-04", "CHK-05", "CHK-06")
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("-", "D", id="one failure at the first run is final"),
        pytest.param("+", ".", id="a success at the first run says nothing new"),
        pytest.param("+---", "...D", id="later two retries are used before it is down"),
        pytest.param("+--+--+", ".......", id="a success gives the retries back"),
        pytest.param("--+", "D.U", id="one success is enough to be up again"),
        pytest.param("-+---", "DU..D", id="up again it has its retries"),
        pytest.param("----", "D...", id="down is said once"),
    ],
)
def test_rise_fall_changes(outcomes: str, expected: str) -> None:
    assert changes(RiseFall(schedule()), outcomes, schedule()) == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("-", "d", id="scripts hear once that an alpha server is down"),
        pytest.param("---", "d..", id="but only once"),
        pytest.param("+", "U", id="the first success brings it up"),
        pytest.param("-+", "dU", id="also after a failure"),
    ],
)
def test_rise_fall_of_alpha_begins_down(outcomes: str, expected: str) -> None:
    times = schedule(alpha=True)
    machine = RiseFall(times)
    assert not machine.is_up
    assert changes(machine, outcomes, times) == expected


@pytest.mark.covers("CHK-05", "CHK-06")
def test_rise_fall_waits_between_retries_and_periods() -> None:
    steps = feed(RiseFall(schedule()), "+----+", schedule())
    assert [delay for _, delay in steps] == [LOOP, BEFORE_RETRY, BEFORE_RETRY, LOOP, LOOP, LOOP]


def test_rise_fall_with_unused_retries_survives_the_first_failure() -> None:
    machine = RiseFall(schedule(1), retries_used=False)
    assert changes(machine, "--", schedule(1)) == ".D"


def test_lower_retry_counts_at_once() -> None:
    machine = RiseFall(schedule(5))
    assert changes(machine, "+--", schedule(5)) == "..."
    assert changes(machine, "-", schedule(1)) == "D"


@pytest.mark.covers("CHK-15")
def test_url_round_asks_one_url_after_the_other() -> None:
    machine = UrlRound(schedule(), 3)
    asked = []
    for _ in range(5):
        asked.append(machine.url)
        assert machine.result(True, schedule()) == (Change.NONE, LOOP)
    assert asked == [0, 1, 2, 0, 1]


@pytest.mark.covers("CHK-16")
def test_url_round_as_measured_with_two_urls() -> None:
    """Digest failures at t, t+1, t+2; then a success at u, again the first, the second, up."""
    times = schedule()
    machine = UrlRound(times, 2)
    machine.result(True, times)
    machine.result(True, times)
    seen = []
    for outcome in "----" + "+++":
        url = machine.url
        step = machine.result(outcome == "+", times)
        seen.append((url, step.change.value, step.delay_s))
    assert seen == [
        (0, "none", BEFORE_RETRY),
        (0, "none", BEFORE_RETRY),
        (0, "down", LOOP),
        (0, "none", LOOP),
        (0, "none", LOOP),
        (0, "none", LOOP),
        (1, "up", LOOP),
    ]


def test_url_round_recovers_a_single_url_with_two_successes() -> None:
    machine = UrlRound(schedule(), 1)
    assert changes(machine, "-++", schedule()) == "D.U"


@pytest.mark.covers("CHK-16")
def test_url_round_fast_recovery_does_not_wait_between_urls() -> None:
    machine = UrlRound(schedule(), 2, fast_recovery=True)
    steps = feed(machine, "-+++", schedule())
    assert steps == [("down", LOOP), ("none", 0.0), ("none", 0.0), ("up", LOOP)]


def test_url_round_alpha_needs_all_urls_once() -> None:
    times = schedule(alpha=True)
    machine = UrlRound(times, 2)
    assert changes(machine, "++", times) == ".U"


def test_url_round_alpha_failure_is_silent() -> None:
    times = schedule(alpha=True)
    assert changes(UrlRound(times, 1), "-", times) == "."


def test_url_round_failure_within_a_round_begins_the_round_again() -> None:
    machine = UrlRound(schedule(), 2)
    machine.result(False, schedule())
    urls = []
    for outcome in "++-+++":
        urls.append(machine.url)
        change = machine.result(outcome == "+", schedule()).change
    assert urls == [0, 0, 1, 1, 0, 1]
    assert change is Change.UP


def test_url_round_down_waits_for_the_longer_of_both_times() -> None:
    times = schedule(before=9.0)
    assert feed(UrlRound(times, 1), "--", times) == [("down", 9.0), ("none", 9.0)]
