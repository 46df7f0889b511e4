"""TCP_CHECK: the three-way handshake is all that is asked for (spec 3.3)."""

from __future__ import annotations

from lbfast.check.base import SUCCESS, Result, failure


class TcpConversation:
    """Nothing is said: the socket is closed as soon as it is connected."""

    __slots__ = ()

    def connected(self) -> bytes | Result:
        return SUCCESS

    def received(self, data: bytes) -> bytes | Result:
        return SUCCESS

    def closed(self) -> Result:
        return failure("closed before it was connected")
