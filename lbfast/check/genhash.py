"""`lbfast genhash`: the digest of a page, for `digest` in an HTTP_GET or SSL_GET block.

It asks with the request that the check will send, so that the digest is the one it will see.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from lbfast.check.base import SUCCESS, Conversation, Result, failure
from lbfast.check.endpoint import target_of
from lbfast.check.http import Answer, request
from lbfast.check.stream import Stream
from lbfast.check.tls import TlsConversation, make_context
from lbfast.errors import ConfigError, WireError
from lbfast.model.check import Endpoint, HttpCheck, TlsFiles, Url

FAILED = 1
_TIMEOUT_S = 5.0
_MOST_S, _MOST_MARK = 86400, 0xFFFFFFFF
_PROTOCOLS = {"1.0": "1.0", "1.0c": "1.0C", "1.0C": "1.0C", "1.1": "1.1"}
_ROW = 16  # bytes
_RULE = 23  # dashes on each side of a title


class _Parser(argparse.ArgumentParser):
    """Ends with 1 for wrong words, as genhash does."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"genhash: {message}\n")


def parser() -> argparse.ArgumentParser:
    made = _Parser(prog="genhash", description="Print the MD5 digest of a page.")
    made.add_argument("-s", "--server", required=True, metavar="IP", type=_address)
    made.add_argument("-p", "--port", required=True, metavar="PORT", type=_port)
    made.add_argument("-u", "--url", required=True, metavar="PATH")
    made.add_argument("-S", "--use-ssl", action="store_true", help="connect with TLS")
    made.add_argument(
        "-I", "--use-sni", action="store_true", help="name the virtual host in the TLS handshake"
    )
    made.add_argument(
        "-V", "--use-virtualhost", default="", metavar="HOST", help="Host to ask for"
    )
    made.add_argument("-v", "--verbose", action="store_true", help="show header and body too")
    made.add_argument("-m", "--fwmark", type=_mark, default=0, metavar="MARK")
    made.add_argument(
        "-P", "--protocol", choices=_PROTOCOLS, default="1.0",
        help="1.0c is 1.0 with Connection: close",
    )  # fmt: skip
    made.add_argument("-t", "--timeout", type=_seconds, default=_TIMEOUT_S, metavar="SECONDS")
    return made


def _address(text: str) -> bytes:
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from None


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return port


def _mark(text: str) -> int:
    mark = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= mark <= _MOST_MARK:
        raise argparse.ArgumentTypeError(f"{text!r} is no mark from 0 to {_MOST_MARK}")
    return mark


def _seconds(text: str) -> float:
    """Reads how long to wait; "nan" is no number here."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MOST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 up to {_MOST_S}")
    return seconds


class Page:
    """A conversation that reads one page to its end and judges nothing."""

    def __init__(self, asked: bytes, *, is_verbose: bool) -> None:
        self._asked = asked
        self._head = b""
        self.answer = Answer(wants_digest=True, wants_body=is_verbose)

    @property
    def header(self) -> bytes:
        return self._head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    @property
    def digest(self) -> bytes:
        assert self.answer.md5 is not None
        return self.answer.md5.digest()

    def connected(self) -> bytes | Result:
        return self._asked

    def received(self, data: bytes) -> bytes | Result:
        if not self.answer.has_header:
            self._head += data
        wrong = self.answer.feed(data)
        return failure(wrong) if wrong else b""

    def closed(self) -> Result:
        return SUCCESS if self.answer.has_header else failure("no header in the answer")


async def fetch(check: HttpCheck, page: Page, timeout_s: float) -> None:
    """Reads a page; WireError if that fails."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    talk: Conversation = page
    if check.is_ssl:
        name = check.virtualhost if check.enable_sni else ""
        talk = TlsConversation(make_context(TlsFiles()), name, page, is_compliant=False)
    where = (check.endpoint, target_of(check.endpoint))
    Stream(loop, where, timeout_s, talk, done.set_result).start()
    result = await done
    if not result.ok:
        raise WireError(f"{check.urls[0].path}: {result.reason}")


def main(words: Sequence[str]) -> int:
    """Prints the digest of one page; 1 if there is none."""
    args = parser().parse_args(words)
    if args.use_sni and not args.use_virtualhost:
        raise ConfigError("genhash: -I without -V: there is no name to send")
    check = HttpCheck(
        urls=(Url(args.url),),
        is_ssl=args.use_ssl,
        virtualhost=args.use_virtualhost,
        http_protocol=_PROTOCOLS[args.protocol],
        enable_sni=args.use_sni,
        endpoint=Endpoint(args.server, args.port, fwmark=args.fwmark),
    )
    page = Page(request(check, check.urls[0]), is_verbose=args.verbose)
    begun = time.monotonic()
    asyncio.run(fetch(check, page, args.timeout))
    took_us = round((time.monotonic() - begun) * 1e6)
    print(verbose(page, args.url, took_us) if args.verbose else page.digest.hex())
    return 0


def verbose(page: Page, url: str, took_us: int) -> str:
    """Returns header, body, digest and time in genhash's layout."""
    return "".join(
        (
            _rule("   HTTP Header Buffer   "),
            dump(page.header),
            _rule("HTTP Header Ascii Buffer"),
            page.header.decode("latin-1"),
            "\n",
            _rule("       HTML Buffer       "),
            dump(page.answer.body),
            "\n",
            _rule("   HTML hash resulting   "),
            dump(page.digest),
            _rule("HTML hash final resulting"),
            f"{page.digest.hex()}\n\n",
            f"Global response time for [{url}] = {took_us} usecs",
        )
    )


def _rule(title: str) -> str:
    line = "-" * _RULE
    return f"{line}[ {title} ]{line}\n"


def dump(data: bytes) -> str:
    """Returns bytes as rows of offset, hexadecimal digits and text."""
    rows = []
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        digits = [f"{byte:02x}" for byte in row] + ["  "] * (_ROW - len(row))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row).ljust(_ROW)
        rows.append(f"{at:04d}  {' '.join(digits[:8])} - {' '.join(digits[8:])}   {text}\n")
    return "".join(rows)
