"""Runs an exchange of datagrams: one out, and what comes back within connect_timeout."""

from __future__ import annotations

import asyncio
import socket

from lbfast.check.attempt import Attempt
from lbfast.check.base import Exchange, Report, Result, failure
from lbfast.check.endpoint import (
    UNREACHED,
    NoSocketError,
    Target,
    destination,
    open_socket,
)
from lbfast.model.check import Endpoint

_UDP = (int(socket.SOCK_DGRAM), 0)
_RECVERR = {int(socket.AF_INET): (0, 11), int(socket.AF_INET6): (41, 25)}  # level, IP(V6)_RECVERR


class Datagram(Attempt):
    """One attempt over a connected datagram or raw socket.

    The socket asks for every ICMP error, so that an unreachable host or network, and not only a
    closed port, is seen at once.
    """

    __slots__ = ("_exchange", "_kind")

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
        super().__init__(loop, where, timeout_s, report)
        self._exchange = exchange
        self._kind = kind

    def start(self) -> None:
        try:
            sock = open_socket(self._endpoint, self._target, *self._kind)
            self._sock = sock
            sock.setsockopt(*_RECVERR[self._target.family], 1)
            sock.connect(destination(self._endpoint, self._target))
            self._loop.add_reader(sock, self._readable)
            sock.send(self._exchange.request)
        except OSError as trouble:
            is_ours = isinstance(trouble, NoSocketError) or not self._exchange.blames_server
            if is_ours and trouble.errno not in UNREACHED:
                reason = f"nothing sent to {self._target.text}: {trouble.strerror}"
                self._finish(Result(None, reason))
            else:
                self._finish(self._broken(trouble))
        else:
            self._wait()

    def _expired(self) -> Result:
        return self._exchange.timed_out()

    def _unwatch(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)

    def _broken(self, error: OSError) -> Result:
        return failure(f"{self._target.text}: {error.strerror}")

    def _received(self, data: bytes) -> None:
        result = self._exchange.received(data)
        if result is not None:
            self._finish(result)
