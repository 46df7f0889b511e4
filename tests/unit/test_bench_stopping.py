"""Signals that end a bench, and the one that nohup(1) has ignored."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bench.stopping import Stopped, stoppable


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_signal_is_raised_once(number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # while things are removed

    with pytest.raises(Stopped, match=f"stopped by {number.name}"), stoppable():
        work()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


@pytest.mark.usefixtures("hangup")
def test_hangup_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        signal.raise_signal(signal.SIGHUP)
