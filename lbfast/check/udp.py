"""UDP_CHECK: a datagram, and silence or an answer that fits (spec 3.3)."""

from __future__ import annotations

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.model.check import Reply

_WORDS = b"keepalived check - "


def filler(length: int) -> bytes:
    """Returns the text that keepalived fills its datagrams with."""
    return (_WORDS * (length // len(_WORDS) + 1))[:length]


DEFAULT_PAYLOAD = filler(32)


def fits(data: bytes, reply: Reply) -> str:
    """Returns what is wrong with an answer, nothing if it fits."""
    if not reply.min_length <= len(data) <= reply.max_length:
        return (
            f"answer of {len(data)} bytes, expected {reply.min_length} to {reply.max_length} bytes"
        )
    for at, (byte, value, mask) in enumerate(zip(data, reply.value, reply.mask, strict=False)):
        if (byte ^ value) & mask:
            return f"answer differs at byte {at}: 0x{byte:02x}, expected 0x{value:02x}"
    return ""


class UdpExchange:
    __slots__ = ("_reply", "request")
    blames_server = True

    def __init__(self, payload: bytes | None, reply: Reply | None) -> None:
        self.request = DEFAULT_PAYLOAD if payload is None else payload
        self._reply = reply

    def received(self, data: bytes) -> Result | None:
        if self._reply is None:
            return SUCCESS
        wrong = fits(data, self._reply)
        return failure(wrong) if wrong else SUCCESS

    def timed_out(self) -> Result:
        return SUCCESS if self._reply is None else failure("no answer in time")
