"""HTTP_GET and SSL_GET: the request as keepalived sends it, the answer as it judges it (spec 3.4).

The answer is read until the peer closes: no keep-alive, no chunks, no redirects.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from typing import Protocol

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.model.check import HttpCheck, Url

_MAX_HEADER = 1 << 16  # bytes; keepalived gives up after 4096
_MAX_MATCHED = 1 << 24  # bytes of a body that a pattern is looked for in
_STATUS_DIGITS = 3

Matcher = Callable[[bytes], str]  # returns what is wrong with a body, nothing if it is right


def request(check: HttpCheck, url: Url) -> bytes:
    """Returns the request for one URL; the endpoint has its address and port filled in."""
    version = "1.1" if check.http_protocol == "1.1" else "1.0"
    lines = [f"GET {url.path} HTTP/{version}", "User-Agent: KeepAliveClient"]
    if check.http_protocol != "1.0":
        lines.append("Connection: close")
    lines += [f"Host: {host_of(check, url)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def host_of(check: HttpCheck, url: Url) -> str:
    """Returns the virtual host as it was written, else address and port of the connection."""
    named = url.virtualhost or check.virtualhost
    if named:
        return named
    address = ipaddress.ip_address(check.endpoint.connect_ip)
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{shown}:{check.endpoint.connect_port}"


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Answer:
    """What has been read of an answer: its header, then digest or text of its body."""

    __slots__ = ("_head", "_kept", "_left", "has_header", "md5", "status")

    def __init__(self, *, wants_digest: bool, wants_body: bool) -> None:
        self._head = b""
        self._kept: bytearray | None = bytearray() if wants_body else None
        self._left: int | None = None  # bytes of the body by Content-Length that are to come
        self.md5: Digest | None = _new_md5() if wants_digest else None
        self.has_header = False
        self.status = 0

    @property
    def body(self) -> bytes:
        return bytes(self._kept or b"")

    def feed(self, data: bytes) -> str:
        """Takes what arrived; returns what is wrong with it, nothing if it can go on."""
        if self.has_header:
            return self._feed_body(data)
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return "" if len(self._head) <= _MAX_HEADER else f"header exceeds {_MAX_HEADER} bytes"
        self.has_header = True
        self.status = status_of(head)
        self._left = content_length(head)
        self._head = b""
        return self._feed_body(body)

    def _feed_body(self, data: bytes) -> str:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if self.md5 is not None:
            self.md5.update(data)
        if self._kept is not None:
            if len(self._kept) + len(data) > _MAX_MATCHED:
                return f"body exceeds {_MAX_MATCHED} bytes, which is too long for a pattern"
            self._kept += data
        return ""


def _new_md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)  # what the configuration's digest is made with


def status_of(head: bytes) -> int:
    """Returns the status code of a header's first line, 0 if it has none."""
    words = head.split(b"\r\n", 1)[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return 0
    code = words[1]
    return int(code) if len(code) == _STATUS_DIGITS and code.isdigit() else 0


def content_length(head: bytes) -> int | None:
    """Returns the length of the body that a header announces, None if it does not."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


class HttpConversation:
    """One GET: judged in the order status code, digest, pattern (spec 3.4)."""

    __slots__ = ("_answer", "_matcher", "_request", "_url")

    def __init__(self, request: bytes, url: Url, matcher: Matcher | None) -> None:
        self._request = request
        self._url = url
        self._matcher = matcher
        self._answer = Answer(wants_digest=bool(url.digest), wants_body=matcher is not None)

    def connected(self) -> bytes | Result:
        return self._request

    def received(self, data: bytes) -> bytes | Result:
        wrong = self._answer.feed(data)
        return failure(f"{self._url.path}: {wrong}") if wrong else b""

    def closed(self) -> Result:
        wrong = self._judge()
        return failure(f"{self._url.path}: {wrong}") if wrong else SUCCESS

    def _judge(self) -> str:
        answer = self._answer
        if not answer.has_header:
            return "closed before the end of the header"
        if not any(low <= answer.status <= high for low, high in self._url.status_codes):
            return f"status code {answer.status}, expected {_ranges(self._url)}"
        if answer.md5 is not None and answer.md5.digest() != self._url.digest:
            found = answer.md5.digest().hex()
            return f"digest {found}, expected {self._url.digest.hex()}"
        return self._matcher(answer.body) if self._matcher is not None else ""


def _ranges(url: Url) -> str:
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in url.status_codes)
