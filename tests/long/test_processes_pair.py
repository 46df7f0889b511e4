"""Every process of a director that leads dies or hangs, while a transfer goes through it."""

from __future__ import annotations

import signal

import pytest

from netns import pair
from tests.e2e.conftest import Networks
from tests.e2e.pair import Observer, Pair


@pytest.mark.covers("SIG-12")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("kind", ["parent", "forwarder", "vrrp", "checker"])
def test_transfer_goes_on_and_addresses_stay(network: Networks, kind: str, number: int) -> None:
    lab = Pair(network(pair.topology()), interval_s=3)
    transferred = lab.transfer()
    with Observer(lab) as observer:
        lab.strike(kind, number)
        lab.assert_whole(transferred)
    assert {tuple(found) for _, found in observer.seen} == {("one", "one")}
    assert "Entering MASTER" not in lab.managers["two"].process.stderr()
    lab.stop()
