"""Work that follows edits: done at once while it is little, and together when it is much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

CHEAP_S = 0.005  # what may be spent at once
SHARE = 10.0  # of the time that work may take in the long run: one part in so many
MOST_S = 1.0  # nobody waits longer


class Paced:
    """Calls `work` for each call, or once for several that come while it would cost too much.

    `failed` hears of an exception in work that was put off; in other work it is the caller's.
    """

    def __init__(
        self,
        work: Callable[[], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._failed, self._clock = work, failed, clock
        self._paid_at_s = 0.0  # when the work so far has taken no more than its share
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Works now, or soon."""
        if self._timer is not None:
            return
        wait_s = self._paid_at_s - CHEAP_S * SHARE - self._clock()
        if wait_s <= 0:
            self.now()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._later)

    def now(self) -> None:
        """Works now, whatever it costs."""
        self.cancel()
        began_s = self._clock()
        self._work()
        ended_s = self._clock()
        paid_at_s = max(self._paid_at_s, began_s) + (ended_s - began_s) * SHARE
        self._paid_at_s = min(paid_at_s, ended_s + CHEAP_S * SHARE + MOST_S)

    def settle(self) -> None:
        """Does now what was put off, if anything was."""
        if self._timer is not None:
            self.now()

    def cancel(self) -> None:
        """Forgets what was put off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self) -> None:
        try:
            self.now()
        except Exception as wrong:
            self._failed(wrong)
