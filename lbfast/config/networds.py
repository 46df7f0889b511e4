"""What the words of address, route and rule lines share: cursors, prefixes, named numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from lbfast.config.values import Bad, Missing, Statement, packed, whole
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Prefix

SCOPES = {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
TABLES = {"unspec": 0, "default": 253, "main": 254, "local": 255}
PROTOCOLS = {
    "unspec": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9,
    "mrt": 10, "zebra": 11, "bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15,
    "dhcp": 16, "keepalived": 18,
    "babel": 42, "bgp": 186, "isis": 187, "ospf": 188, "rip": 189, "eigrp": 192,
}  # fmt: skip
IP_PROTOCOLS = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "sctp": 132,
}
UINT_MAX = (1 << 32) - 1
_OCTAL = re.compile(r"[+-]?0[0-7]+")

Fields = dict[str, Any]


class Cursor:
    """The words of a line, taken one after the other."""

    def __init__(self, line: Statement) -> None:
        self._words = line.words
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    def take(self) -> str:
        """Returns the next word; Missing if there is none."""
        if not self:
            raise Missing(len(self._words) + 1)
        word = self._words[self._at]
        self._at += 1
        return word

    def peek(self) -> str:
        return self._words[self._at] if self else ""

    def back(self) -> None:
        self._at -= 1


Step = Callable[[Fields, Cursor], None]


def apply_words(steps: Mapping[str, Step], fields: Fields, words: Cursor, what: str) -> None:
    """Lets each word's step take what follows it; Bad for a word without one."""
    while words:
        word = words.take()
        step = steps.get(word)
        if step is None:
            raise Bad(f"{word!r} in {what}", f"expected one of {', '.join(steps)}")
        step(fields, words)


def put(name: str, value: object) -> Step:
    """A word that sets a field by itself."""

    def step(fields: Fields, words: Cursor) -> None:
        fields[name] = value

    return step


def take(name: str, read: Callable[[str], object]) -> Step:
    """A word with one argument."""

    def step(fields: Fields, words: Cursor) -> None:
        fields[name] = read(words.take())

    return step


def number(
    low: int = 0, high: int = UINT_MAX, *, wraps: bool = False, is_decimal: bool = False
) -> Callable[[str], int]:
    """Reads a number as C does: 0x16 and 016 too, unless `is_decimal`; `wraps`: of 32 bits."""

    def read(word: str) -> int:
        octal = _OCTAL.fullmatch(word)
        try:
            value = int(word, 8 if octal and not is_decimal else 10 if is_decimal else 0)
        except ValueError:
            raise Bad(f"{word!r}", f"expected a number from {low} to {high}") from None
        value = value & UINT_MAX if wraps else value
        if not low <= value <= high:
            raise Bad(f"{word!r}", f"expected a number from {low} to {high}")
        return value

    return read


def named_number(
    names: Mapping[str, int], high: int, *, wraps: bool = False
) -> Callable[[str], int]:
    """Reads a name or a number."""
    read = number(0, high, wraps=wraps)
    return lambda word: names[word] if word in names else read(word)


def prefix(word: str) -> Prefix:
    """Returns ADDRESS[/LENGTH], `default`, `all` or `any`."""
    if word in ("default", "all", "any"):
        return Prefix()
    addr_text, slash, length = word.partition("/")
    addr = packed(addr_text)
    bits = 8 * len(addr)
    return Prefix(addr, whole(length, 0, bits, "a prefix length") if slash else bits)


def family_of(*addrs: bytes) -> int:
    """Returns the family of the first address that is one, AF_INET without any."""
    size = next((len(addr) for addr in addrs if addr), 4)
    return AF_INET if size == 4 else AF_INET6


def host_bits(addr: bytes, length: int, ones: bool) -> bytes:
    """Returns the IPv4 address with its host bits all 1, or all 0."""
    network = ipaddress.ip_network((addr, length), strict=False)
    return (network.broadcast_address if ones else network.network_address).packed


def word_range(high: int) -> Callable[[str], tuple[int, int]]:
    """Reads A or A-B."""

    def read(word: str) -> tuple[int, int]:
        first, dash, last = word.partition("-")
        low = number(0, high)(first)
        return (low, number(low, high)(last)) if dash else (low, low)

    return read
