"""lblcr: an address has a set of servers, which grows when they are too busy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fast.schedlab import STEP, STEPS, Lab, Naive, Play, Server, lab_with
from tests.fast.test_sched_lblc import MINUTE, too_busy, wlc

EXPIRATION = 150  # seconds: within reach of the random steps


class Rule(Naive):
    def __init__(self) -> None:
        self.sets: dict[str, list[Server]] = {}
        self.lastmod: dict[str, float] = {}

    def least(self, members: list[Server]) -> Server | None:
        least = None
        for s in members:
            if (
                s.usable
                and s.here
                and (least is None or least.overhead * s.weight > s.overhead * least.weight)
            ):
                least = s
        return least

    def shrink(self, vip: str, now: float) -> None:
        members = self.sets[vip]
        if len(members) <= 1 or now <= self.lastmod[vip] + EXPIRATION:
            return
        most = None
        for s in members:
            if s.weight > 0 and (
                most is None or most.overhead * s.weight < s.overhead * most.weight
            ):
                most = s
        if most:
            members.remove(most)
            self.lastmod[vip] = now

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        now = lab.now_ns / 10**9
        if vip in self.sets:
            server = self.least(self.sets[vip])
            self.shrink(vip, now)
            if server and not too_busy(lab, server):
                return server
        server = wlc(lab)
        members = self.sets.setdefault(vip, []) if server else []
        if server and server not in members:
            members.insert(0, server)
            self.lastmod[vip] = now
        return server


@pytest.mark.covers("C-222", "C-223", "C-224")
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@settings(deadline=None)
@given(steps=STEPS)
def test_lblcr_picks_what_the_naive_rule_picks(v6: bool, steps: list[tuple[Any, ...]]) -> None:
    lab = Lab("lblcr", marked=True, v6=v6)
    lab.engine.set_setting("lblcr_expiration", EXPIRATION)
    Play(lab, Rule()).run(steps)


class Bursts(Play):
    def burst(self, connections: int) -> None:
        for _ in range(connections):
            self.connect(0, 0)


BURST = st.tuples(st.just("burst"), st.integers(20, 90))


@pytest.mark.covers("C-222", "C-223", "C-224")
@settings(deadline=None)
@given(st.lists(st.one_of(STEP, BURST), min_size=8, max_size=40))
def test_lblcr_large_sets_pick_what_the_naive_rule_picks(steps: list[tuple[Any, ...]]) -> None:
    lab = Lab("lblcr", marked=True)
    lab.engine.set_setting("lblcr_expiration", EXPIRATION)
    Bursts(lab, Rule(), start=[1, 2, 1, 1] * 10, most=60).run([("burst", 90), *steps])


@pytest.mark.covers("C-223")
def test_lblcr_the_set_grows_while_its_servers_are_too_busy() -> None:
    lab = lab_with("lblcr", 2, 2, 2, marked=True)
    assert lab.picks(9) == "CCCBBBAAA"
    assert lab.picks(3) == "ABC"  # nobody is idle any more: the least loaded


@pytest.mark.covers("C-222")
def test_lblcr_the_least_loaded_of_the_set_is_picked() -> None:
    lab = lab_with("lblcr", 4, marked=True)
    assert lab.picks(5) == "AAAAA"
    lab.add(4)
    assert lab.picks(1) == "B"  # A is too busy, B joins
    lab.add(4)
    assert lab.picks(3) == "BBB"  # C is idle, but not a member
    assert lab.connect(vip="10.9.0.2") is lab.servers[0]


@pytest.mark.covers("C-224")
def test_lblcr_the_most_loaded_leaves_a_set_that_did_not_change_for_long() -> None:
    lab = lab_with("lblcr", 1, marked=True)
    lab.engine.set_setting("lblcr_expiration", 600)
    lab.picks(2)
    b = lab.add(1)
    a = lab.servers[-1]
    assert lab.picks(1) == "B"
    lab.wait(10 * MINUTE)  # not longer than that: both stay
    lab.load(a, inactive=5)
    assert lab.picks(1) == "B"
    lab.close()
    lab.wait(1)
    assert lab.picks(1) == "B"  # and A leaves
    lab.close()
    lab.load(b, inactive=9)
    assert lab.picks(1) == "B"
