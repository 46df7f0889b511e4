"""What every attempt over a socket shares: its time-out, and that it reports once and is gone."""

from __future__ import annotations

import asyncio
import socket

from lbfast.check.base import GRACE_S, STALLED_S, Report, Result
from lbfast.check.endpoint import Target
from lbfast.model.check import Endpoint

_CHUNK = 1 << 16


class Attempt:
    """One attempt on a target; what is sent and what an answer means is the subclass's.

    A loop that was stalled has not read what came meanwhile, so it gets some grace.
    """

    __slots__ = (
        "_deadline",
        "_endpoint",
        "_loop",
        "_report",
        "_sock",
        "_target",
        "_timeout_s",
        "_timer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        where: tuple[Endpoint, Target],
        timeout_s: float,
        report: Report,
    ) -> None:
        self._loop = loop
        self._endpoint, self._target = where
        self._timeout_s = timeout_s
        self._report = report
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    def cancel(self) -> None:
        self._close()

    def _wait(self) -> None:
        """Starts the time-out."""
        self._deadline = self._loop.time() + self._timeout_s
        self._timer = self._loop.call_later(self._timeout_s, self._timed_out)

    def _timed_out(self) -> None:
        """The deadline may have moved since the timer was set."""
        left_s = self._deadline - self._loop.time()
        if left_s < -STALLED_S:
            left_s = GRACE_S
            self._deadline = self._loop.time() + left_s
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._timed_out)
        else:
            self._finish(self._expired())

    def _expired(self) -> Result:
        """Returns what the time-out means."""
        raise NotImplementedError

    def _received(self, data: bytes) -> None:
        """Takes what came; nothing, on a stream, is its end."""
        raise NotImplementedError

    def _broken(self, error: OSError) -> Result:
        """Returns what an error of the socket means."""
        raise NotImplementedError

    def _unwatch(self, sock: socket.socket) -> None:
        """Takes the socket out of the loop."""
        raise NotImplementedError

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(self._broken(error))
            return
        self._received(data)

    def _finish(self, result: Result) -> None:
        self._close()
        self._report(result)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sock, self._sock = self._sock, None
        if sock is not None:
            self._unwatch(sock)
            sock.close()
