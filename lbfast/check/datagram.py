"""Runs an exchange of datagrams: one out, and what comes back within connect_timeout."""

from __future__ import annotations

import asyncio
import socket

from lbfast.check.base import GRACE_S, STALLED_S, Exchange, Report, Result, failure
from lbfast.check.endpoint import Target, destination, open_socket
from lbfast.model.check import Endpoint

_CHUNK = 1 << 16
_UDP = (int(socket.SOCK_DGRAM), 0)
_RECVERR = {int(socket.AF_INET): (0, 11), int(socket.AF_INET6): (41, 25)}  # level, IP(V6)_RECVERR


class Datagram:
    """One attempt over a connected datagram or raw socket.

    The socket asks for every ICMP error, so that an unreachable host or network, and not only a
    closed port, is seen at once.
    """

    __slots__ = (
        "_deadline",
        "_endpoint",
        "_exchange",
        "_kind",
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
        exchange: Exchange,
        report: Report,
        kind: tuple[int, int] = _UDP,
    ) -> None:
        """`kind` is the socket's type and protocol."""
        self._loop = loop
        self._endpoint, self._target = where
        self._timeout_s = timeout_s
        self._exchange = exchange
        self._report = report
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._kind = kind

    def start(self) -> None:
        try:
            sock = open_socket(self._endpoint, self._target, *self._kind)
            self._sock = sock
            sock.setsockopt(*_RECVERR[self._target.family], 1)
            sock.connect(destination(self._endpoint, self._target))
            self._loop.add_reader(sock, self._readable)
            sock.send(self._exchange.request)
        except ConnectionRefusedError as refused:
            self._finish(self._failed(refused))
        except OSError as trouble:
            self._finish(Result(None, f"nothing sent to {self._target.text}: {trouble}"))
        else:
            self._deadline = self._loop.time() + self._timeout_s
            self._timer = self._loop.call_later(self._timeout_s, self._timed_out)

    def cancel(self) -> None:
        self._close()

    def _timed_out(self) -> None:
        if self._loop.time() - self._deadline > STALLED_S:
            self._deadline = self._loop.time() + GRACE_S
            self._timer = self._loop.call_later(GRACE_S, self._timed_out)
            return
        self._finish(self._exchange.timed_out())

    def _failed(self, error: OSError) -> Result:
        return failure(f"{self._target.text}: {error.strerror}")

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(self._failed(error))
            return
        result = self._exchange.received(data)
        if result is not None:
            self._finish(result)

    def _finish(self, result: Result) -> None:
        self._close()
        self._report(result)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
