"""When a child is started again, and when it counts as hung; pure (spec/keepalived.md 5)."""

from __future__ import annotations

from dataclasses import dataclass

HELLO_S = 5.0  # between two hellos
PATIENCE_S = 5.0  # for the answer
START_PATIENCE_S = 60.0  # for a child to be ready
LONG_LIFE_S = 60.0  # who lived as long is started again at once
_MAX_DELAY_S = 60.0

FAILED_EXIT = 1  # what worked before does not any more: starting again may help
CONFIG_EXIT, FATAL_EXIT = 2, 3  # starting again is no use


@dataclass(slots=True)
class Watch:
    """The life of one child; times are seconds of one clock."""

    started_s: float = 0.0
    asked_s: float | None = None  # a hello waits for its answer since
    next_hello_s: float = 0.0
    _failures: int = 0

    def start(self, now_s: float) -> None:
        """Notes that the child has been started."""
        self.started_s = now_s
        self.asked_s = None
        self.next_hello_s = now_s + HELLO_S

    def asked(self, now_s: float) -> None:
        """Notes that a hello has been sent."""
        self.asked_s = now_s
        self.next_hello_s = now_s + HELLO_S

    def answered(self) -> None:
        """Notes that the child has answered."""
        self.asked_s = None

    def is_hello_due(self, now_s: float) -> bool:
        return self.asked_s is None and now_s >= self.next_hello_s

    def is_slow(self, now_s: float) -> bool:
        """Returns whether a child that is not ready yet should have been."""
        return now_s >= self.started_s + START_PATIENCE_S

    def is_hung(self, now_s: float) -> bool:
        return self.asked_s is not None and now_s >= self.asked_s + PATIENCE_S

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
