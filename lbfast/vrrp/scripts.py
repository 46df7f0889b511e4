"""Runs `vrrp_script` programs at their intervals and counts what they say (spec 2.5, 4.9)."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from lbfast.errors import ConfigError
from lbfast.model.vrrp import VrrpScript
from lbfast.notify.program import Program, has_no_room, spawn
from lbfast.vrrp.tracking import Streak

logger = logging.getLogger(__name__)

_US_PER_S = 1e6
_KILL_AFTER_S = 2.0


class ScriptTracker:
    """One script: never two runs at once, a run that is too long is a failure."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: VrrpScript,
        on_change: Callable[[str, bool], None],
        is_up: bool | None = None,
    ) -> None:
        """`is_up` is what an older configuration knew of it."""
        self.config = config
        self.streak = Streak(config.rise, config.fall, False if config.init_fail else is_up)
        self.last_status: int | None = None
        self.runs = self.failures = self.timeouts = 0
        self._loop = loop
        self._on_change = on_change
        self._program: Program | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._next: asyncio.TimerHandle | None = None
        self._timed_out = False
        self._trouble = ""  # what kept the last run from starting

    def start(self) -> None:
        """Run it now, and then at every interval."""
        self._plan(self._loop.time())

    def _plan(self, at_s: float) -> None:
        self._next = self._loop.call_at(at_s, self._tick, at_s)

    def _tick(self, due_s: float) -> None:
        interval_s = self.config.interval_us / _US_PER_S
        self._plan(max(due_s + interval_s, self._loop.time()))
        if self._program is not None:
            logger.info("script %s still runs, its next run is left out", self.config.name)
            return
        self.runs += 1
        self._timed_out = False
        try:
            process = spawn(self.config.script)
        except (OSError, ConfigError) as failed:
            self._not_started(failed)
            return
        self._trouble = ""
        self._program = Program(self._loop, process, self._ended)
        timeout_s = (self.config.timeout_us or self.config.interval_us) / _US_PER_S
        self._timers = [
            self._loop.call_later(timeout_s, self._too_long),
            self._loop.call_later(timeout_s + _KILL_AFTER_S, self._insist),
        ]

    def _not_started(self, failed: OSError | ConfigError) -> None:
        """Takes it for a success, as keepalived does: what it looks at is not at fault."""
        trouble = str(failed)
        if trouble != self._trouble:  # said once, not at every interval
            logger.warning("script %s not started, which is no failure: %s",
                           self.config.name, trouble)  # fmt: skip
        self._trouble = trouble
        if not has_no_room(failed):
            self._result(0)

    def _too_long(self) -> None:
        if self._program is not None:
            self._timed_out = True
            self.timeouts += 1
            self._program.signal(signal.SIGTERM)
            self._count(is_good=False)

    def _insist(self) -> None:
        if self._program is not None:
            self._program.signal(signal.SIGKILL)

    def _ended(self, status: int) -> None:
        self._program = None
        for timer in self._timers:
            timer.cancel()
        self.last_status = status
        if not self._timed_out:
            self._result(status)

    def _result(self, status: int) -> None:
        if status:
            self.failures += 1
        self._count(is_good=status == 0)

    def _count(self, *, is_good: bool) -> None:
        if self.streak.result(is_good):
            word = "succeeded" if is_good else "failed"
            logger.info("script %s %s", self.config.name, word)
            self._on_change(self.config.name, is_good)

    def stop(self) -> None:
        """End it and whatever it has started."""
        if self._next is not None:
            self._next.cancel()
        for timer in self._timers:
            timer.cancel()
        if self._program is not None:
            self._program.signal(signal.SIGTERM)
            self._program.abandon()
            self._program = None
