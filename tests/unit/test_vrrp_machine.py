"""The state table of one instance, row by row, and its timers; time is passed in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbfast.model.vrrp import Garp, VrrpInstance
from lbfast.vrrp.actions import (
    AddAddresses,
    Announce,
    Enter,
    LowerHeard,
    PriorityChanged,
    RemoveAddresses,
    SendAdvert,
    State,
)
from lbfast.vrrp.machine import Machine
from tests.vrrp_lab import (
    ABOVE,
    BELOW,
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


@pytest.mark.covers("VRP-09")
@pytest.mark.parametrize("priority", [1, 100, 150, 254])
def test_start_waits_a_whole_master_down_even_with_state_master(priority: int) -> None:
    made = Machine(replace(V2, priority=priority, wants_master=True))
    assert deeds(made.start(0)) == [Enter(State.BACKUP)]
    assert made.deadline == 3 * S + (256 - priority) * S // 256
    assert made.on_timer(made.deadline - 1) == []
    assert deeds(made.on_timer(made.deadline))[0] == SendAdvert(priority)


@pytest.mark.covers("VRP-10")
def test_owner_with_state_master_leads_at_once() -> None:
    made = Machine(replace(V2, priority=255, wants_master=True))
    assert deeds(made.start(0))[0] == SendAdvert(255)
    assert made.state is State.MASTER


def test_owner_with_state_backup_waits_three_intervals() -> None:
    assert machine(replace(V2, priority=255)).deadline == 3 * S + S // 256


@pytest.mark.covers("VRP-24")
def test_becoming_master_sends_advert_then_adds_then_announces() -> None:
    made = machine()
    actions = made.on_timer(made.down_ns())
    assert deeds(actions) == [
        SendAdvert(100), AddAddresses(), Announce(5), Enter(State.MASTER)
    ]  # fmt: skip
    assert said(actions).split("\n") == ["Receive advertisement timeout", "Entering MASTER STATE"]


# state, priority heard, order of addresses -> what is done, state afterwards, down timer
TABLE = {
    "backup, 0: short timer": (machine, 0, ABOVE, [], State.BACKUP, 156 * S // 256),
    "backup, higher: long timer": (
        machine, 101, BELOW, [], State.BACKUP, 3 * S + 156 * S // 256),
    "backup, equal: long timer": (
        machine, 100, BELOW, [], State.BACKUP, 3 * S + 156 * S // 256),
    "backup, lower: ignored": (machine, 99, ABOVE, [], State.BACKUP, None),
    "master, 0: answer": (master, 0, ABOVE, [SendAdvert(100)], State.MASTER, None),
    "master, higher: yield": (
        master, 101, BELOW, [RemoveAddresses(), Enter(State.BACKUP)], State.BACKUP,
        3 * S + 156 * S // 256),
    "master, equal from above: yield": (
        master, 100, ABOVE, [RemoveAddresses(), Enter(State.BACKUP)], State.BACKUP,
        3 * S + 156 * S // 256),
    "master, equal from the same address: warn": (master, 100, SAME, [], State.MASTER, None),
    "master, equal from below: insist": (
        master, 100, BELOW, [SendAdvert(100), Announce(5), LowerHeard()], State.MASTER, None),
    "master, lower: insist": (
        master, 99, ABOVE, [SendAdvert(100), Announce(5), LowerHeard()], State.MASTER, None),
}  # fmt: skip


@pytest.mark.covers("VRP-15", "VRP-16", "VRP-17", "VRP-18")
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_advert_follows_the_table(row: tuple) -> None:  # type: ignore[type-arg]
    make, priority, order, expected, state, wait = row
    made = make()
    before, at = made.down_at, S // 2
    assert deeds(hear(made, priority, at, order)) == expected
    assert made.state is state
    assert made.down_at == (before if wait is None else at + wait)


@pytest.mark.parametrize("state", [State.INIT, State.FAULT])
@pytest.mark.parametrize("priority", [0, 1, 100, 255])
def test_adverts_are_ignored_without_a_part_to_play(state: State, priority: int) -> None:
    made = Machine(V2)
    if state is State.FAULT:
        made.set_cause("interface eth0", True, 0)
        made.start(0)
    assert hear(made, priority, S) == []
    assert (made.state, made.deadline) == (state, None)


def test_answering_a_lower_advert_moves_our_own_timer() -> None:
    made = master()
    hear(made, 99, S // 2)
    assert made.advert_at == S // 2 + S


@pytest.mark.covers("VRP-49")
def test_only_own_adverts_move_the_masters_timer() -> None:
    made = master()
    hear(made, 100, S // 2, SAME)
    assert made.advert_at == S


def test_lower_prio_no_advert_discards_but_refreshes_neighbours() -> None:
    made = master(replace(V2, lower_prio_no_advert=True))
    assert deeds(hear(made, 99, 5)) == [Announce(5), LowerHeard()]


def test_higher_prio_send_advert_sends_one_before_yielding() -> None:
    made = master(replace(V2, higher_prio_send_advert=True))
    assert deeds(hear(made, 200, 5))[:2] == [SendAdvert(100), RemoveAddresses()]


@pytest.mark.covers("VRP-50")
def test_two_owners_the_lower_address_yields() -> None:
    owner = replace(V2, priority=255, wants_master=True)
    low, high = machine(owner), machine(owner)
    hear(low, 255, S, ABOVE)
    hear(high, 255, S, BELOW)
    assert (low.state, high.state) == (State.BACKUP, State.MASTER)


def test_owner_may_ignore_others() -> None:
    made = machine(replace(V2, priority=255, wants_master=True, owner_ignore_adverts=True))
    assert hear(made, 255, S, ABOVE) == []


@pytest.mark.covers("VRP-06", "VRP-07", "VRP-45")
@pytest.mark.parametrize(
    ("instance", "silence", "stopped"),
    [
        (V2, 3_609_375_000, 609_375_000),
        (V3, 360_937_500, 60_937_500),
        (replace(V3, advert_us=10_000), 36_093_750, 6_093_750),
        (replace(V2, down_timer_adverts=5), 5_609_375_000, 609_375_000),
        (replace(V3, advert_us=40_950_000), 147_803_906_250, 24_953_906_250),
    ],
    ids=["v2 1 s", "v3 100 ms", "v3 10 ms", "five adverts", "v3 40.95 s"],
)
def test_backup_waits_so_long(instance: VrrpInstance, silence: int, stopped: int) -> None:
    made = machine(instance)
    hear(made, 150, 7, interval_us=instance.advert_us, version=instance.version)
    assert made.deadline == 7 + silence
    hear(made, 0, 9, interval_us=instance.advert_us, version=instance.version)
    assert made.deadline == 9 + stopped


@pytest.mark.covers("VRP-11")
def test_v3_backup_learns_the_masters_interval_and_leads_with_its_own() -> None:
    made = machine(replace(V3, advert_us=1_000_000))
    hear(made, 150, 0, interval_us=2_000_000, version=3)
    assert made.deadline == 6 * S + 156 * 2 * S // 256  # 7.219 s
    made.on_timer(made.deadline)
    assert made.advert_at == 7_218_750_000 + S


def test_v3_master_that_yields_learns_from_the_advert_that_beat_it() -> None:
    made = master(V3)
    hear(made, 200, 0, interval_us=500_000, version=3)
    assert made.down_at == 1_500_000_000 + 156 * 500_000_000 // 256


@pytest.mark.covers("VRP-19")
def test_nopreempt_accepts_a_lower_master_until_it_stops() -> None:
    made = machine(replace(V2, nopreempt=True))
    hear(made, 1, S)
    assert made.deadline == S + made.down_ns()
    hear(made, 0, 2 * S)
    assert made.deadline == 2 * S + made.skew_ns()


@pytest.mark.covers("VRP-20")
def test_preempt_delay_counts_from_the_first_lower_advert() -> None:
    made = machine(replace(V2, priority=150, preempt_delay_us=3_000_000))
    hear(made, 200, 10 * S)
    for second in range(11, 18):
        hear(made, 100, second * S)
    # accepted at 11, 12 and 13 s, ignored from 14 s on
    assert made.deadline == 13 * S + 3 * S + 106 * S // 256


def test_preempt_delay_counts_from_the_start_too() -> None:
    made = machine(replace(V2, preempt_delay_us=3_000_000))
    for second in range(1, 6):
        hear(made, 50, second * S)
    assert made.deadline == 2 * S + made.down_ns()


@pytest.mark.covers("VRP-21")
def test_second_burst_comes_after_the_delay_and_once() -> None:
    made = master()
    assert Announce(5) not in made.on_timer(5 * S - 1)
    assert Announce(5) in made.on_timer(5 * S)
    assert Announce(5) not in made.on_timer(6 * S)


@pytest.mark.covers("VRP-22")
def test_announcements_follow_their_settings() -> None:
    garp = Garp(
        master_delay_us=0, master_repeat=2, refresh_us=4_000_000, refresh_repeat=3,
        lower_prio_delay_us=1_500_000, lower_prio_repeat=1, extra_if_us=9_000_000,
    )  # fmt: skip
    made = machine(replace(V2, garp=garp))
    seen = [
        (0, action.repeat, action.elsewhere)
        for action in made.lead(0)
        if isinstance(action, Announce)
    ]
    hear(made, 1, S // 2)
    while made.deadline is not None and made.deadline <= 10 * S:
        now = made.deadline
        for action in made.on_timer(now):
            if isinstance(action, Announce):
                seen.append((now, action.repeat, action.elsewhere))
    assert seen == [
        (0, 2, False), (2 * S, 1, False), (4 * S, 3, False), (8 * S, 3, False), (9 * S, 1, True)
    ]  # fmt: skip


def test_announcements_end_with_the_mastership() -> None:
    made = master()
    hear(made, 200, S)
    assert made.garp.deadline is None


@pytest.mark.covers("VRP-25")
def test_cause_makes_a_master_hand_over_and_its_end_makes_it_a_backup() -> None:
    made = master()
    assert deeds(made.set_cause("interface eth0", True, S)) == [
        SendAdvert(0), RemoveAddresses(), Enter(State.FAULT)
    ]  # fmt: skip
    assert made.set_cause("script web", True, S) == []
    assert made.set_cause("interface eth0", False, S) == []
    assert deeds(made.set_cause("script web", False, 2 * S)) == [Enter(State.BACKUP)]
    assert made.deadline == 2 * S + made.down_ns()


def test_start_waits_for_the_first_result_of_a_deciding_tracker() -> None:
    made = Machine(V2)
    made.set_waiting({"script web"}, 0)
    assert made.start(0) == []
    assert deeds(made.set_waiting(set(), S)) == [Enter(State.BACKUP)]


@pytest.mark.covers("VRP-26")
def test_stolen_address_hands_over_and_competes_after_one_skew() -> None:
    made = master(replace(V2, priority=200))
    assert deeds(made.lost_address(S)) == [
        SendAdvert(0), RemoveAddresses(), Enter(State.BACKUP)
    ]  # fmt: skip
    assert made.deadline == S + 56 * S // 256  # 0.22 s


@pytest.mark.covers("VRP-38")
@pytest.mark.parametrize("make", [machine, master, lambda: Machine(V2)])
def test_stop_is_told_from_every_state(make) -> None:  # type: ignore[no-untyped-def]
    made = make()
    was_master = made.state is State.MASTER
    expected = [SendAdvert(0), RemoveAddresses()] if was_master else []
    assert made.stop() == [*expected, Enter(State.STOP)]
    assert made.deadline is None


@pytest.mark.covers("VRP-32")
def test_running_down_timer_moves_by_the_change_of_skew() -> None:
    made = machine()
    before = made.deadline
    actions = made.set_priority(160)
    assert deeds(actions) == [PriorityChanged(160)]
    assert said(actions) == "Changing effective priority from 100 to 160"
    assert before is not None
    assert made.deadline == before - 60 * S // 256
    assert made.set_priority(160) == []


def test_master_sends_its_new_priority_with_the_next_advert() -> None:
    made = master()
    made.set_priority(120)
    assert SendAdvert(120) in made.on_timer(S)
