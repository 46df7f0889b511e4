"""A VRRP process that dies or hangs, beside another director: no address is on both."""

from __future__ import annotations

import signal

import pytest

from netns import pair
from netns.wait import wait_for
from tests.e2e.conftest import Networks
from tests.e2e.pair import Observer, Pair

SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])


@SIGNALS
@pytest.mark.covers("SIG-12")
def test_addresses_are_gone_before_another_director_leads(network: Networks, number: int) -> None:
    """A new process that is there in time goes on leading; the next one is a second late."""
    lab = Pair(network(pair.topology()), interval_s=0.2)
    one, two = (lab.managers[name].process for name in pair.DIRECTORS)

    def other_leads() -> bool:
        return "Entering MASTER STATE" in two.stderr()

    before = one.stderr().count("Entering MASTER STATE")
    with Observer(lab) as observer:
        lab.strike("vrrp", number)
        wait_for(
            lambda: other_leads() or one.stderr().count("Entering MASTER STATE") > before,
            what="somebody who leads",
        )
        if not other_leads():
            lab.strike("vrrp", number)
            wait_for(other_leads, what="the other director to lead")
        wait_for(lambda: lab.holders() == ["one", "one"], what="both addresses on one again")
    assert len(observer.seen) > 10
    assert observer.twice() == []
    lab.stop()
