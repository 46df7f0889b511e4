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
    """The interval is too short for a new process to take the old one's place."""
    lab = Pair(network(pair.topology()), interval_s=0.2)
    two = lab.managers["two"].process
    with Observer(lab) as observer:
        lab.strike("vrrp", number)
        two.wait_for_line("Entering MASTER STATE")
        wait_for(lambda: lab.holders() == ["one", "one"], what="both addresses on one again")
    assert len(observer.seen) > 10
    assert observer.twice() == []
    lab.stop()
