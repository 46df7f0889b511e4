"""Words that describe a rule which gives packets a fwmark, in the manner of iptables'."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lbfast.errors import ConfigError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.marks import ANY_PORT, FwmarkRule

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}


class UsageError(ConfigError):
    """Words that make no sense; the sentence says which."""


@dataclass(slots=True)
class _Draft:
    """What a line has said so far; an option may be given once."""

    given: dict[str, str] = field(default_factory=dict)
    af: int = 0


_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("-p", "--protocol", "--proto"), "-p"),
    **dict.fromkeys(("-s", "--source", "--src"), "-s"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "-d"),
    **dict.fromkeys(("--sport", "--source-port"), "--sport"),
    **dict.fromkeys(("--dport", "--destination-port"), "--dport"),
    **dict.fromkeys(("-i", "--in-interface"), "-i"),
}
_HINTS: Mapping[str, str] = {
    "!": "a match cannot be turned round; except packets by a later rule with mark 0",
    "-j": "the mark is the first word: lbfast mark add MARK ...",
    "-m": "matches beyond those of 'lbfast mark' are not known",
    "-t": "there are no tables and chains: lbfast mark add MARK ...",
    "-A": "there are no tables and chains: lbfast mark add MARK ...",
}


def parse_rule(words: Sequence[str]) -> FwmarkRule:
    """Returns the rule that the words behind `add` or `del` describe; raises UsageError."""
    if not words:
        raise UsageError("no mark given, expected a number")
    mark = _number(words[0], 0xFFFFFFFF)
    if mark is None:
        raise UsageError(f"mark {words[0]!r}: expected a number from 0 to 4294967295")
    draft = _read(words[1:])
    given = draft.given
    src, src_len = _prefix(draft, "-s")
    dst, dst_len = _prefix(draft, "-d")
    interface = given.get("-i", "")
    if "-i" in given and not (0 < len(interface.encode(errors="surrogateescape")) <= 15):
        raise UsageError(f"-i {interface!r}: expected an interface's name of 1 to 15 bytes")
    return FwmarkRule(
        mark,
        draft.af or AF_INET,
        _protocol(given.get("-p")),
        interface,
        src,
        src_len,
        dst,
        dst_len,
        _ports("--sport", given.get("--sport")),
        _ports("--dport", given.get("--dport")),
    )


def _read(words: Sequence[str]) -> _Draft:
    draft = _Draft()
    rest = iter(words)
    for word in rest:
        if word in ("-4", "-6"):
            _family(draft, AF_INET if word == "-4" else AF_INET6, word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = _OPTIONS.get(name)
        if option is None:
            hint = _HINTS.get(name) or f"expected one of -4, -6, {', '.join(_known())}"
            raise UsageError(f"{word}: {hint}")
        if option in draft.given:
            raise UsageError(f"{name} given twice")
        if not equals:
            value = next(rest, "")
        if not value:
            raise UsageError(f"{name}: expected a value behind it")
        if value == "!":
            raise UsageError(f"!: {_HINTS['!']}")
        draft.given[option] = value
    return draft


def _known() -> list[str]:
    return sorted(set(_OPTIONS.values()))


def _family(draft: _Draft, af: int, what: str) -> None:
    if draft.af not in (0, af):
        raise UsageError(f"{what}: the rule is of the other address family already")
    draft.af = af


def _number(text: str, most: int) -> int | None:
    try:
        value = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return None
    return value if 0 <= value <= most and text.isascii() and "_" not in text else None


def _protocol(text: str | None) -> int:
    if text is None:
        return 0
    number = _PROTOCOLS.get(text.lower(), _number(text, 255))
    if number not in PROTOCOL_NAMES:
        raise UsageError(f"-p {text!r}: expected tcp, udp or sctp")
    return int(number or 0)


def _prefix(draft: _Draft, option: str) -> tuple[bytes, int]:
    text = draft.given.get(option)
    if text is None:
        return b"", 0
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected an address, ADDR or ADDR/LEN") from None
    _family(draft, AF_INET if network.version == 4 else AF_INET6, f"{option} {text}")
    if not network.prefixlen:
        return b"", 0
    return network.network_address.packed, network.prefixlen


def _ports(option: str, text: str | None) -> tuple[int, int]:
    if text is None:
        return ANY_PORT
    first, colon, last = text.partition(":")
    low = _port(first) if first or not colon else 0
    high = (_port(last) if last else ANY_PORT[1]) if colon else low
    if low is None or high is None or low > high:
        raise UsageError(f"{option} {text!r}: expected PORT or FIRST:LAST, 0 to 65535")
    return low, high


def _port(text: str) -> int | None:
    number = _number(text, 65535)
    if number is None and text.isascii() and text.isidentifier():
        try:
            return socket.getservbyname(text)
        except OSError:
            return None
    return number
