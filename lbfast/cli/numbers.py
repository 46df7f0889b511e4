"""Numbers as strtol reads them."""

from __future__ import annotations

import re

LONG_MAX = (1 << 63) - 1
_STRTOL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")


def number(text: str, low: int, high: int) -> int | None:
    """Returns the decimal number `text`, None unless it is one and within low..high.

    Leading white space and a sign are taken, anything behind the digits is not.
    """
    match = _STRTOL.fullmatch(text)
    if match is None:
        return None
    value = int(match[1]) if len(match[1]) < 4000 else LONG_MAX + 1
    return value if low <= value <= high else None


def leading_number(text: str) -> int:
    """Returns the number that `text` begins with, 0 if none (C's atoi)."""
    match = _STRTOL.match(text)
    if match is None or len(match[1]) > 20:
        return 0
    return int(match[1])
