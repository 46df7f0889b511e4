"""Ctrl-C, SIGTERM and SIGHUP as an exception: what was made is removed on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from netns.build import STOPPING


class Stopped(BaseException):
    """The run is to end now; not an Exception, for no work may go on after it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number  # as a shell tells it


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first of these signals raise Stopped; later ones must not disturb the removal.

    A SIGHUP that is ignored stays so: that is what nohup(1) is for.
    """
    is_deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [n for n in STOPPING if n != signal.SIGHUP or not is_deaf]

    def stop(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
