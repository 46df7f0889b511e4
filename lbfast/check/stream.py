"""Runs a conversation over a TCP socket.

Bare non-blocking sockets, as the errno of each step decides whether it is a verdict on the server
or trouble of our own; they are also a little cheaper than asyncio's streams.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from lbfast.check.attempt import Attempt
from lbfast.check.base import Conversation, Report, Result, failure
from lbfast.check.endpoint import UNREACHED, Target, destination, open_socket
from lbfast.model.check import Endpoint


class Stream(Attempt):
    """One attempt: connects, then lets the conversation say when it knows enough.

    Every step, the connection as well as each wait for an answer, may last `timeout_s`.
    """

    __slots__ = ("_conversation", "_is_connected", "_is_writing", "_out")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        where: tuple[Endpoint, Target],
        timeout_s: float,
        conversation: Conversation,
        report: Report,
    ) -> None:
        super().__init__(loop, where, timeout_s, report)
        self._conversation = conversation
        self._out = b""
        self._is_connected = self._is_writing = False

    def start(self) -> None:
        try:
            self._sock = open_socket(self._endpoint, self._target, socket.SOCK_STREAM)
            code = self._sock.connect_ex(destination(self._endpoint, self._target))
        except OSError as trouble:
            self._finish(Result(None, f"no connection to {self._target.text} begun: {trouble}"))
            return
        if code in UNREACHED:
            self._finish(self._failed(code))
        elif code not in (0, errno.EINPROGRESS):
            text = os.strerror(code)
            self._finish(Result(None, f"no connection to {self._target.text} begun: {text}"))
        else:
            self._wait()
            self._want_write()

    def _failed(self, code: int) -> Result:
        return failure(f"connection to {self._target.text} failed: {os.strerror(code)}")

    def _expired(self) -> Result:
        if self._is_connected:
            return failure(f"no answer from {self._target.text} within {self._timeout_s}s")
        return failure(f"connection to {self._target.text} timed out after {self._timeout_s}s")

    def _unwatch(self, sock: socket.socket) -> None:
        if self._is_writing:
            self._loop.remove_writer(sock)
        if self._is_connected:
            self._loop.remove_reader(sock)

    def _writable(self) -> None:
        sock = self._sock
        assert sock is not None
        if not self._is_connected:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._finish(self._failed(code))
                return
            self._is_connected = True
            self._take(self._conversation.connected())
        else:
            self._flush()

    def _take(self, step: bytes | Result) -> None:
        """Does what the conversation wants: ends, sends, or goes on waiting."""
        if isinstance(step, Result):
            self._finish(step)
            return
        self._deadline = self._loop.time() + self._timeout_s
        if step:
            self._out += step
        self._flush()

    def _flush(self) -> None:
        sock = self._sock
        assert sock is not None
        if self._out:
            try:
                self._out = self._out[sock.send(self._out) :]
            except BlockingIOError:
                pass
            except OSError as broken:
                self._finish(self._broken(broken))
                return
        if self._out:
            self._want_write()
        elif self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(sock)
            self._loop.add_reader(sock, self._readable)

    def _want_write(self) -> None:
        if not self._is_writing:
            assert self._sock is not None
            self._is_writing = True
            self._loop.add_writer(self._sock, self._writable)

    def _broken(self, error: OSError) -> Result:
        return failure(f"connection to {self._target.text} broke: {error.strerror}")

    def _received(self, data: bytes) -> None:
        if data:
            self._take(self._conversation.received(data))
        else:
            self._finish(self._conversation.closed())
