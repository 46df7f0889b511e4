"""SMTP_CHECK: greeting, HELO, QUIT (spec 3.3)."""

from __future__ import annotations

from lbfast.check.base import SUCCESS, Result, failure

_MAX_LINE = 4096  # bytes; a longer line is no SMTP
_GREETING, _HELO, _QUIT = "greeting", "HELO", "QUIT"
_EXPECTED = {_GREETING: b"220", _HELO: b"250", _QUIT: b""}


class SmtpConversation:
    """Goes through the steps; an answer of several lines (`250-...`) counts as one."""

    __slots__ = ("_helo", "_seen", "_step")

    def __init__(self, helo_name: str) -> None:
        self._helo = f"HELO {helo_name}\r\n".encode()
        self._step = _GREETING
        self._seen = b""

    def connected(self) -> bytes | Result:
        return b""  # the server speaks first

    def received(self, data: bytes) -> bytes | Result:
        self._seen += data
        if len(self._seen) > _MAX_LINE and b"\n" not in self._seen:
            return failure(f"answer to {self._step} is no line")
        while b"\n" in self._seen:
            line, self._seen = self._seen.split(b"\n", 1)
            if line[3:4] == b"-":
                if not line.startswith(_EXPECTED[self._step]):
                    return self._wrong(line)
                continue  # more lines of this answer follow
            return self._answer(line)
        return b""

    def _answer(self, line: bytes) -> bytes | Result:
        if not line.startswith(_EXPECTED[self._step]):
            return self._wrong(line)
        if self._step == _GREETING:
            self._step = _HELO
            return self._helo
        if self._step == _HELO:
            self._step = _QUIT
            return b"QUIT\r\n"
        return SUCCESS

    def _wrong(self, line: bytes) -> Result:
        code = _EXPECTED[self._step].decode()
        return failure(f"answer to {self._step} is {line[:60]!r}, expected code {code}")

    def closed(self) -> Result:
        if self._step == _QUIT:
            return SUCCESS  # some servers hang up without a word
        return failure(f"closed instead of an answer to {self._step}")
