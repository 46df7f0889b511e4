"""When a child is started again, and when it counts as hung; pure (spec/keepalived.md 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lbfast.model.vrrp import VrrpConfig
from lbfast.vrrp.missed import unnoticed_s

HELLO_S = 5.0  # between two hellos
PATIENCE_S = 5.0  # for the answer
KERNEL_PATIENCE_S = 30.0  # for it, of one that waits within the kernel: no signal reaches that
START_PATIENCE_S = 60.0  # for a sign of life of a child that is not ready
LONG_LIFE_S = 60.0  # who lived as long is started again at once
_MAX_DELAY_S = 60.0
_LOWEST_HELLO_S, _LOWEST_PATIENCE_S = 0.05, 0.2

ORPHAN_S = 10.0  # for another parent to come, after one was killed

FAILED_EXIT = 1  # what worked before does not any more: starting again may help
CONFIG_EXIT, FATAL_EXIT = 2, 3  # starting again is no use


_RUNS, _SLEEPS, _WITHIN_KERNEL = "R", "S", "D"  # states as the kernel shows them


class Pace(NamedTuple):
    """How often to say hello, and how long to wait for the answer of one that does no work."""

    hello_s: float = HELLO_S
    stopped_s: float = PATIENCE_S  # by a signal: it will not go on by itself
    asleep_s: float = PATIENCE_S  # it waits for something, and may go on


@dataclass(slots=True)
class Watch:
    """The life of one child; times are seconds of one clock."""

    pace: Pace = field(default_factory=Pace)
    alive_s: float = 0.0  # it was alive then: that question it has answered
    started_s: float = 0.0
    asked_s: float | None = None  # a hello waits for its answer since
    next_hello_s: float = 0.0
    _excused_s: float = 0.0  # of the wait for the answer: nobody could have read it then
    _failures: int = 0

    def start(self, now_s: float) -> None:
        """Notes that the child has been started."""
        self.started_s = self.alive_s = now_s
        self.asked_s = None
        self.next_hello_s = now_s + self.pace.hello_s

    def asked(self, now_s: float) -> None:
        """Notes that a hello has been sent."""
        self.asked_s, self._excused_s = now_s, 0.0
        self.next_hello_s = now_s + self.pace.hello_s

    def answered(self) -> None:
        """Notes that the child has answered."""
        if self.asked_s is not None:
            self.alive_s, self.asked_s = self.asked_s, None

    def still_starts(self) -> None:
        """Notes that a child that is not ready yet has answered."""
        if self.asked_s is not None:
            self.started_s, self.asked_s = self.asked_s, None

    def excuse(self, late_s: float) -> None:
        """Takes time off the wait for an answer: the one who waits was late himself."""
        self._excused_s += late_s

    def given_up(self) -> None:
        """Notes that the answer is waited for no more."""
        self.asked_s = None

    def is_hello_due(self, now_s: float) -> bool:
        return self.asked_s is None and now_s >= self.next_hello_s

    def is_slow(self, now_s: float) -> bool:
        """Returns whether a child that is not ready yet should have been."""
        return now_s >= self.started_s + START_PATIENCE_S

    def silent_s(self, now_s: float) -> float:
        """Returns for how long an answer has been waited for."""
        return 0.0 if self.asked_s is None else now_s - self.asked_s - self._excused_s

    def patience_s(self, state: str, *, has_run: bool) -> float:
        """Returns how long to wait for the answer of a child in a state.

        `has_run`: it has used CPU time since it was asked.
        """
        if state == _WITHIN_KERNEL:
            return KERNEL_PATIENCE_S
        if state == _RUNS or (state == _SLEEPS and has_run):
            return PATIENCE_S
        return self.pace.asleep_s if state == _SLEEPS else self.pace.stopped_s

    def ended(self, now_s: float) -> float:
        """Notes that the child died; returns after how many seconds to start it again.

        At once the first time, and after a long life; else after 1, 2, 4 … 60 seconds.
        """
        if now_s - self.started_s >= LONG_LIFE_S:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        return min(2.0 ** (self._failures - 2), _MAX_DELAY_S)


def pace(config: VrrpConfig) -> Pace:
    """Returns how often to say hello to the VRRP process, and the patience with its answer.

    Another router leads when adverts are missing, so a stopped process must be found before.  One
    that only sleeps may wake up in time: it is lost when the other router leads.
    """
    bound_s = min((unnoticed_s(config, one.name) for one in config.instances), default=None)
    if bound_s is None:
        return Pace()
    hello_s = min(HELLO_S, max(bound_s / 20, _LOWEST_HELLO_S))
    stopped_s = min(PATIENCE_S, max(bound_s / 5, _LOWEST_PATIENCE_S))
    return Pace(hello_s, stopped_s, min(PATIENCE_S, max(bound_s, stopped_s)))
