"""When a check counts as up or down, and when the next attempt is due (spec 3.3, 3.4).

Pure: a machine takes whether an attempt succeeded and the times in force, and returns what to
report and how long to wait.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from lbfast.check.inherit import Schedule


class Change(enum.Enum):
    """What an attempt means for the real server."""

    NONE = "none"
    UP = "up"
    DOWN = "down"
    STILL_DOWN = "still down"  # an alpha server's first attempt failed: down scripts run once


class Step(NamedTuple):
    change: Change
    delay_s: float


class RiseFall:
    """The machine of all kinds but HTTP: down after `retry` more failures, up after one success.

    The retries count as used up at start, so that the very first failure is final.
    """

    __slots__ = ("has_run", "is_up", "retries")

    def __init__(self, schedule: Schedule, *, retries_used: bool = True) -> None:
        self.is_up = not schedule.alpha
        self.has_run = False
        self.retries = schedule.retry if retries_used else 0

    @property
    def url(self) -> int:
        """The index of the URL that the next attempt asks for."""
        return 0

    def result(self, ok: bool, schedule: Schedule) -> Step:
        """Takes one attempt's outcome; returns what it changes and the time to the next one."""
        return self._success(schedule) if ok else self._failure(schedule)

    def _success(self, schedule: Schedule) -> Step:
        change = Change.NONE if self.is_up else Change.UP
        self.is_up = self.has_run = True
        self.retries = 0
        return Step(change, schedule.delay_loop_s)

    def _failure(self, schedule: Schedule) -> Step:
        if self.is_up and self.retries < schedule.retry:
            self.retries += 1
            return Step(Change.NONE, schedule.delay_before_retry_s)
        change = Change.NONE
        if self.is_up:
            change = Change.DOWN
        elif not self.has_run:
            change = Change.STILL_DOWN
        self.is_up, self.has_run, self.retries = False, True, 0
        return Step(change, schedule.delay_loop_s)


class UrlRound:
    """The machine of HTTP_GET and SSL_GET: one URL an attempt, all of them to come up."""

    __slots__ = ("fast_recovery", "has_run", "in_round", "is_up", "retries", "url", "urls")

    def __init__(self, schedule: Schedule, urls: int, *, fast_recovery: bool = False) -> None:
        self.is_up = not schedule.alpha
        self.has_run = False
        self.retries = schedule.retry
        self.urls = urls
        self.fast_recovery = fast_recovery
        self.url = 0
        # while down: whether the attempts since the last failure began with the first URL
        self.in_round = True

    def result(self, ok: bool, schedule: Schedule) -> Step:
        """Takes one attempt's outcome; returns what it changes and the time to the next one."""
        if not ok:
            return self._failure(schedule)
        self.retries = 0
        if self.is_up:
            self.has_run = True
            self.url = (self.url + 1) % self.urls
            return Step(Change.NONE, schedule.delay_loop_s)
        return self._rise(schedule)

    def _rise(self, schedule: Schedule) -> Step:
        if not self.in_round:  # the URL that failed answers again: now all, from the first
            self.in_round = True
            self.url = 0
        else:
            self.url += 1
        if self.url < self.urls:
            return Step(Change.NONE, 0.0 if self.fast_recovery else schedule.delay_loop_s)
        self.url = 0
        self.is_up = self.has_run = True
        return Step(Change.UP, schedule.delay_loop_s)

    def _failure(self, schedule: Schedule) -> Step:
        self.in_round = False
        if self.is_up and self.retries < schedule.retry:
            self.retries += 1
            return Step(Change.NONE, schedule.delay_before_retry_s)
        change = Change.DOWN if self.is_up else Change.NONE
        self.is_up, self.has_run, self.retries = False, True, 0
        return Step(change, max(schedule.delay_before_retry_s, schedule.delay_loop_s))


Machine = RiseFall | UrlRound
