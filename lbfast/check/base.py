"""What a kind of check consists of: the bytes it says, and its judgement of the answer.

Conversations and exchanges are sans-IO: they take what arrived and return what to send or a
verdict.  `stream.py` and `datagram.py` run them over sockets, `misc.py` runs programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt showed.

    `ok` None means that nothing was learnt: the trouble was ours (no socket, no route), and the
    state stays.  `weight` is what a dynamic MISC_CHECK asks for instead of the configured weight,
    `share` what a FILE_CHECK adds to it.
    """

    ok: bool | None
    reason: str = ""
    weight: int | None = None
    share: int = 0


Report = Callable[[Result], None]

# An event loop that could not run for longer than this (seconds) finds time-outs that are over and
# answers that have come at once, time-outs first: what waits then gets a moment to be read.
STALLED_S = 0.5
GRACE_S = 0.1
SUCCESS = Result(True)


def failure(reason: str) -> Result:
    return Result(False, reason)


class Conversation(Protocol):
    """What is said over a connected stream; one object for one attempt."""

    def connected(self) -> bytes | Result:
        """Returns what to send first, nothing to wait, or a verdict."""

    def received(self, data: bytes) -> bytes | Result:
        """Takes what arrived; returns what to send next, nothing to wait, or a verdict."""

    def closed(self) -> Result:
        """Takes the end of the peer's stream; returns the verdict."""


class Exchange(Protocol):
    """One datagram out, and what may come back; one object for one attempt."""

    @property
    def request(self) -> bytes:
        """What is sent."""

    @property
    def blames_server(self) -> bool:
        """Whether a datagram that cannot even leave counts against the server."""

    def received(self, data: bytes) -> Result | None:
        """Returns a verdict, or None if the datagram is not the answer to this request."""

    def timed_out(self) -> Result:
        """Returns the verdict when nothing came within connect_timeout."""


class Probe(Protocol):
    """A running attempt: reports once, unless it is cancelled before."""

    def start(self) -> None: ...

    def cancel(self) -> None:
        """Ends the attempt without a report; a second call does nothing."""
