"""The `~SEQ` and `~LST` prefixes: what their names stand for in each round."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_LOOP = re.compile(r"~(SEQx|SEQ|LST)\s*\(([^)]*)\)\s*(.*)$", re.DOTALL)
_ITEM = r"\s*(?:\{[^{}]*\}|[^,{}]*)\s*"
_TUPLES = re.compile(rf"{_ITEM}(?:,{_ITEM})*")
_TUPLE = re.compile(rf"(?:^|,)({_ITEM})")
_MAX_ROUNDS = 1 << 16


class LoopError(Exception):
    """A prefix that is none; its text says what was found."""


def expand_loop(text: str) -> tuple[Iterator[dict[str, str]], str]:
    """Returns the names and values of each round, and the text that is to be repeated."""
    match = _LOOP.match(text)
    if match is None:
        raise LoopError(f"{text!r} is no loop")
    kind, inside, rest = match.groups()
    if kind == "LST":
        return _rounds_of_list(inside), rest
    values = [f"{value:x}" if kind == "SEQx" else str(value) for value in _sequence(inside)]
    name = inside.split(",")[0].strip()
    return ({name: value} for value in values), rest


def _sequence(inside: str) -> range:
    """Returns the numbers of (name, start, step, end), (name, start, end) or (name, end)."""
    if not inside.split(",")[0].strip():
        raise LoopError(f"sequence ({inside}) has no name")
    try:
        numbers = [int(word.strip() or "0", 0) for word in inside.split(",")[1:]]
    except ValueError:
        raise LoopError(f"sequence ({inside}) has a word that is no number") from None
    if len(numbers) == 1:
        start, end = (-1 if numbers[0] < 0 else 1), numbers[0]
        step = -1 if end < start else 1
    elif len(numbers) == 2:
        start, end = numbers
        step = -1 if end < start else 1
    elif len(numbers) == 3:
        start, step, end = numbers
    else:
        raise LoopError(f"sequence ({inside}) has {len(numbers)} numbers")
    if step == 0 or (end - start) * step < 0:
        raise LoopError(f"sequence ({inside}) never reaches its end")
    rounds = range(start, end + (1 if step > 0 else -1), step)
    if len(rounds) > _MAX_ROUNDS:
        raise LoopError(f"sequence ({inside}) is longer than {_MAX_ROUNDS}")
    return rounds


def _rounds_of_list(inside: str) -> Iterator[dict[str, str]]:
    if not _TUPLES.fullmatch(inside):
        raise LoopError(f"list ({inside}) has braces that do not match")
    items = [[word.strip() for word in item.strip(" \t{}").split(",")]
             for item in _TUPLE.findall(inside)]  # fmt: skip
    if len(items) < 2:
        raise LoopError(f"list ({inside}) has no values")
    if any(len(word.split()) > 1 for item in items for word in item):
        raise LoopError(f"list ({inside}) has a word with a blank inside")
    names, rounds = items[0], items[1:]
    if any(len(item) > len(names) for item in rounds):
        raise LoopError(f"list ({inside}) has tuples that are longer than {len(names)}")
    return (dict(itertools.zip_longest(names, item, fillvalue="")) for item in rounds)
