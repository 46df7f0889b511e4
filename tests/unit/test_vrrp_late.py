"""A machine whose timers are served late, reloads, and any order of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lbfast.vrrp.actions import (
    AddAddresses,
    Announce,
    Enter,
    RemoveAddresses,
    SendAdvert,
    State,
)
from lbfast.vrrp.machine import Machine
from tests.vrrp_lab import (
    ABOVE,
    BELOW,
    MS,
    SAME,
    V2,
    V3,
    S,
    deeds,
    hear,
    machine,
    master,
    said,
)


def test_adverts_do_not_drift() -> None:
    made = master(V3)
    for _ in range(50):
        assert made.advert_at is not None
        made.on_timer(made.advert_at + 3 * MS)  # always 3 ms late
    assert made.advert_at == 51 * 100 * MS


def test_late_backup_listens_once_more_before_it_leads() -> None:
    made = machine(V3)
    due = made.down_ns()
    late = due + 250 * MS  # two and a half intervals
    actions = made.on_timer(late)
    assert deeds(actions) == []
    assert "250.0 ms late" in said(actions)
    assert made.deadline == late + 100 * MS + made.skew_ns()
    assert (made.counters.late, made.counters.worst_late_ns) == (1, 250 * MS)
    assert AddAddresses() in made.on_timer(made.deadline + 250 * MS)


def test_advert_that_waited_for_us_counts_from_when_it_came() -> None:
    made = machine(V3)
    hear(made, 150, 400 * MS, interval_us=100_000, version=3)
    assert made.deadline == 400 * MS + made.down_ns()


def test_a_little_late_is_not_late() -> None:
    made = machine(V3)
    assert AddAddresses() in made.on_timer(made.down_ns() + 90 * MS)
    assert made.counters.late == 0


def test_late_master_says_so_and_goes_on() -> None:
    made = master(V3)
    actions = made.on_timer(900 * MS)
    assert deeds(actions) == [SendAdvert(100)]
    assert "800.0 ms late" in said(actions)
    assert made.advert_at == 1000 * MS


def test_late_master_may_be_told_to_step_back() -> None:
    made = master(replace(V3, timer_expired_backup=True))
    assert deeds(made.on_timer(300 * MS)) == [SendAdvert(100)]
    assert deeds(made.on_timer(900 * MS)) == [RemoveAddresses(), Enter(State.BACKUP)]


def test_reload_keeps_the_master_and_announces_again() -> None:
    made = master()
    assert deeds(made.change(replace(V2, advert_us=2_000_000), S)) == [
        SendAdvert(100), Announce(5)
    ]  # fmt: skip
    assert made.advert_at == 3 * S


EVENTS = st.one_of(
    st.tuples(st.just("advert"), st.integers(0, 255), st.sampled_from((ABOVE, SAME, BELOW))),
    st.tuples(st.just("timer")),
    st.tuples(st.just("cause"), st.sampled_from(("a", "b")), st.booleans()),
    st.tuples(st.just("lost")),
    st.tuples(st.just("priority"), st.integers(1, 254)),
)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 5 * S)), max_size=60), st.booleans())
def test_addresses_are_there_exactly_while_master(
    events: list[tuple[tuple[Any, ...], int]], is_v3: bool
) -> None:
    made = Machine(V3 if is_v3 else V2)
    actions, now, present = made.start(0), 0, False
    for (kind, *rest), wait in events:
        for action in actions:
            if isinstance(action, AddAddresses):
                assert not present
                present = True
            elif isinstance(action, RemoveAddresses):
                assert present
                present = False
        assert present == (made.state is State.MASTER)
        assert (made.advert_at is not None) == (made.state is State.MASTER)
        assert (made.down_at is not None) == (made.state is State.BACKUP)
        assert (made.state is State.FAULT) == bool(made.causes)
        now += wait
        if kind == "advert":
            actions = hear(made, rest[0], now, rest[1])
        elif kind == "timer":
            actions = made.on_timer(now)
        elif kind == "cause":
            actions = made.set_cause(rest[0], rest[1], now)
        elif kind == "lost":
            actions = made.lost_address(now)
        else:
            actions = made.set_priority(rest[0])
