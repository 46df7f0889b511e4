"""Signals that come while a director is not yet running."""

from __future__ import annotations

import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT)
_deferred: list[int] = []


def end_cleanly() -> None:
    """Lets a request to stop end the process with status 0; nothing is there to be taken down."""
    for number in _ENDING:
        signal.signal(number, _end)


def judge_only() -> None:
    """Takes that back where status 0 means something else: a file is right."""
    for number in _ENDING:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def defer(*numbers: int) -> None:
    """Keeps signals for `take`; they would end the process."""
    for number in numbers:
        signal.signal(number, _keep)


def take() -> list[int]:
    """Returns the signals that were kept, each once, in the order in which they came."""
    taken = list(dict.fromkeys(_deferred))
    _deferred.clear()
    return taken


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _keep(number: int, frame: FrameType | None) -> None:
    _deferred.append(number)
