"""A check at work: when its next attempt is due, and who hears of what it finds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from lbfast.check.base import Probe, Result
from lbfast.check.inherit import Schedule
from lbfast.check.kinds import Surroundings, make_attempt, make_machine
from lbfast.check.names import check_name
from lbfast.check.state import Change
from lbfast.model import ServerKey, ServiceKey
from lbfast.model.check import Checker, MiscCheck

Owner = ServiceKey | str  # what a virtual service is known by


class Identity(NamedTuple):
    """What makes two checks the same one: they are then run once, for all who want them.

    `owner` is None unless the check can be suspended with one virtual service.
    """

    check: Checker  # resolved
    server: ServerKey
    owner: Owner | None = None


class Key(NamedTuple):
    """A check with its times; a reload keeps the state of the same identity."""

    identity: Identity
    schedule: Schedule


class Subscriber(NamedTuple):
    owner: Owner
    server: ServerKey


class Listener(Protocol):
    """Who hears of a check; it knows the names of servers and services."""

    def heard(self, check: Watch, change: Change, result: Result) -> None:
        """Takes a change of the state, or of the weight."""

    def say(self, check: Watch, level: int, words: str) -> None:
        """Logs words about a check, with the names of all that subscribed to it."""


class Watch:
    """What all checks have in common: subscribers, up or down, and what weight they ask for."""

    def __init__(self, key: Key, listener: Listener) -> None:
        self.key = key
        self.subscribers: list[Subscriber] = []
        self.weight: int | None = None  # of a dynamic MISC_CHECK
        self.share = 0  # of a FILE_CHECK
        self.last = Result(None, "not run yet")
        self.is_started = False
        self._listener = listener

    @property
    def kind(self) -> str:
        return check_name(self.key.identity.check)

    @property
    def is_up(self) -> bool:
        raise NotImplementedError

    def start(self, delay_s: float) -> None:
        """Begins; the first attempt, where there are attempts, is due after `delay_s`."""
        self.is_started = True

    def stop(self) -> None:
        """Ends without a further word to anybody."""

    def adopt(self, old: Watch) -> None:
        """Goes on from what a check of the same identity knew."""
        self.weight, self.share, self.last = old.weight, old.share, old.last

    def set_down(self) -> None:
        """Begins as a check that has failed before."""


class RunningCheck(Watch):
    """Makes attempts one after the other, each when its machine says so."""

    def __init__(
        self,
        key: Key,
        around: Surroundings,
        listener: Listener,
        is_suspended: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(key, listener)
        check = key.identity.check
        self.machine = make_machine(check, key.schedule)
        self._attempt = make_attempt(check, key.schedule, around)
        self._loop = around.loop
        self._is_suspended = is_suspended
        # the period of a program counts from its start, that of the others from their end
        self._from_start = isinstance(check, MiscCheck)
        self._logs_all = bool(check.log_all_failures)
        self._timer: asyncio.TimerHandle | None = None
        self._probe: Probe | None = None
        self._began_s = 0.0

    @property
    def is_up(self) -> bool:
        return self.machine.is_up

    def start(self, delay_s: float) -> None:
        super().start(delay_s)
        self._timer = self._loop.call_later(delay_s, self._due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    def adopt(self, old: Watch) -> None:
        super().adopt(old)
        if isinstance(old, RunningCheck):
            self.machine = old.machine

    def set_down(self) -> None:
        self.machine.is_up, self.machine.has_run, self.machine.retries = False, True, 0

    def _due(self) -> None:
        if self._is_suspended is not None and self._is_suspended():
            self._timer = self._loop.call_later(self.key.schedule.delay_loop_s, self._due)
            return
        self._timer = None
        self._began_s = self._loop.time()
        self._probe = self._attempt(self.machine.url, self._heard)
        self._probe.start()

    def _heard(self, result: Result) -> None:
        self._probe = None
        is_other = result.reason != self.last.reason
        self.last = result
        schedule = self.key.schedule
        if result.ok is None:
            if self._logs_all or is_other:  # said once, not at every try
                self._listener.say(self, logging.WARNING, f": {result.reason}")
            change, delay_s = Change.NONE, schedule.delay_loop_s
        else:
            change, delay_s = self.machine.result(result.ok, schedule)
            if result.ok and result.reason and is_other:
                self._listener.say(self, logging.WARNING, f": {result.reason}")
            if self._logs_all and not result.ok and change is Change.NONE:
                self._listener.say(self, logging.INFO, f" failed: {result.reason}")
        if self._from_start:
            delay_s = max(0.0, self._began_s + delay_s - self._loop.time())
        self._timer = self._loop.call_later(delay_s, self._due)
        is_weighty = self._from_start and result.ok is not None and result.weight != self.weight
        if is_weighty:
            self.weight = result.weight
        if is_weighty or change is not Change.NONE:
            self._listener.heard(self, change, result)


class EventCheck(Watch):
    """A check that makes no attempts: a tracked file or a BFD session says what there is."""

    def __init__(self, key: Key, listener: Listener) -> None:
        super().__init__(key, listener)
        self._is_up = not key.schedule.alpha

    @property
    def is_up(self) -> bool:
        return self._is_up

    def adopt(self, old: Watch) -> None:
        super().adopt(old)
        self._is_up = old.is_up

    def set_down(self) -> None:
        self._is_up = False

    def set(self, result: Result, *, is_silent: bool = False) -> None:
        """Takes what the source says now; silent: before the service begins."""
        self.last = result
        was_up, was_share = self._is_up, self.share
        self._is_up, self.share = bool(result.ok), result.share
        change = Change.NONE
        if was_up is not self._is_up:
            change = Change.UP if self._is_up else Change.DOWN
        if not is_silent and (change is not Change.NONE or was_share != self.share):
            self._listener.heard(self, change, result)
