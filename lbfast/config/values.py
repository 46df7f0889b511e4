"""Readers of single values: a statement in, a value out, or what is wrong with it (spec 1.9)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lbfast.config.findings import Place
from lbfast.config.words import split, split_script

INT_MAX, UINT_MAX = (1 << 31) - 1, (1 << 32) - 1
MICRO = 1_000_000
_ON = frozenset(("on", "true", "yes"))
_OFF = frozenset(("off", "false", "no"))
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_TAIL = re.compile("[/-]")
_DECIMAL = re.compile(r"\+?(\d*)(?:\.(\d*))?", re.ASCII)


class Bad(Exception):
    """A value that is none; `value` is what takes its place, None for the default."""

    def __init__(self, found: str, expected: str, value: object = None) -> None:
        super().__init__(found)
        self.found, self.expected, self.value = found, expected, value


class Missing(Exception):
    """An argument that keepalived cannot do without; its number in the statement."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its words as ordinary keywords see them, and its text for the others."""

    words: tuple[str, ...]
    text: str
    place: Place

    @property
    def keyword(self) -> str:
        return self.words[0]

    def word(self, index: int = 1) -> str:
        """Returns a word; Missing if there is none."""
        if index >= len(self.words):
            raise Missing(index + 1)
        return self.words[index]

    def script_words(self) -> list[str]:
        return split_script(self.text)


def statement(text: str, place: Place) -> Statement:
    return Statement(tuple(split(text)), text, place)


Read = Callable[[Statement], object]


def whole(word: str, low: int, high: int, what: str = "a number") -> int:
    """Returns a decimal number within limits."""
    if not _INTEGER.fullmatch(word) or not low <= int(word) <= high:
        raise Bad(f"{word!r}", f"expected {what} from {low} to {high}")
    return int(word)


def integer(low: int = 0, high: int = UINT_MAX, *, strict: bool = False) -> Read:
    """Reads one number; what follows its digits is complained about, or if `strict` not borne."""

    def read(given: Statement) -> int:
        word = given.word()
        try:
            return whole(word, low, high)
        except Bad as bad:
            digits = _INTEGER.match(word)
            if strict or digits is None or not low <= int(digits[0]) <= high:
                raise
            raise Bad(bad.found, bad.expected, int(digits[0])) from None

    return read


def _decimal(value_us: int, unit: int) -> str:
    """Returns a number of units as people write it, without an exponent."""
    return f"{value_us / unit:.6f}".rstrip("0").rstrip(".")


def micros(word: str, low_us: int, high_us: int, unit: int = MICRO) -> int:
    """Returns a decimal number of seconds as microseconds, rounded to what the text says."""
    match = _DECIMAL.fullmatch(word)
    limits = f"expected a number from {_decimal(low_us, unit)} to {_decimal(high_us, unit)}"
    if match is None or not (match[1] or match[2]):
        raise Bad(f"{word!r}", limits)
    digits = (match[2] or "").ljust(7, "0")
    value = int(match[1] or 0) * unit + (int(digits[:7]) * unit + 5_000_000) // 10_000_000
    if not low_us <= value <= high_us:
        raise Bad(f"{word!r}", limits)
    return value


def timer_us(low_us: int = 0, high_us: int = UINT_MAX * MICRO) -> Read:
    """Reads seconds with up to six decimals, as microseconds."""
    return lambda given: micros(given.word(), low_us, high_us)


def timer_s(low_us: int = 0, high_us: int = UINT_MAX) -> Read:
    """Reads seconds with up to six decimals, as seconds."""
    return lambda given: micros(given.word(), low_us, high_us) / MICRO


def boolean(word: str) -> bool:
    if word in _ON:
        return True
    if word in _OFF:
        return False
    raise Bad(f"{word!r}", "expected on, true or yes, or off, false or no")


def optional_boolean(given: Statement) -> bool:
    """Reads a truth; without an argument it is on."""
    return boolean(given.words[1]) if len(given.words) > 1 else True


def string(given: Statement) -> str:
    return given.word()


def optional_string(given: Statement) -> str:
    return given.words[1] if len(given.words) > 1 else ""


def choice(known: Mapping[str, object] | Collection[str]) -> Read:
    """Reads one of some words."""

    def read(given: Statement) -> object:
        word = given.word()
        if word not in known:
            raise Bad(f"{word!r}", f"expected one of {', '.join(known)}")
        return known[word] if isinstance(known, Mapping) else word

    return read


def packed(word: str) -> bytes:
    """Returns an IPv4 or IPv6 address in network byte order."""
    try:
        return ipaddress.ip_address(word).packed
    except ValueError:
        raise Bad(f"{word!r}", "expected an IPv4 or IPv6 address") from None


def lone(word: str) -> bytes:
    """Returns one address; a length or the end of a range behind it means nothing."""
    return packed(_TAIL.split(word, maxsplit=1)[0])


def address(given: Statement) -> bytes:
    return lone(given.word())


def port(word: str) -> int:
    return whole(word, 1, 65535, "a port")


def text_of(addr: bytes) -> str:
    """Returns an address as people write it."""
    return str(ipaddress.ip_address(addr)) if addr else "none"
