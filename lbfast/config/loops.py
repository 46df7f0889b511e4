"""The `~SEQ` and `~LST` prefixes: what their names stand for in each round."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LOOP = re.compile(r"~(SEQx|SEQ|LST)\s*\(([^)]*)\)\s*(.*)$", re.DOTALL)
_TUPLE = re.compile(r"\s*\{([^}]*)\}|([^,]+)")
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
    try:
        numbers = [int(word.strip(), 0) for word in inside.split(",")[1:]]
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
    items = [(m[1].split(",") if m[1] is not None else [m[2]]) for m in _TUPLE.finditer(inside)]
    items = [[word.strip() for word in item] for item in items]
    items = [item for item in items if item != [""]]
    if not items:
        raise LoopError(f"list ({inside}) has no name")
    names, rounds = items[0], items[1:]
    if any(len(item) != len(names) for item in rounds):
        raise LoopError(f"list ({inside}) has tuples that are not {len(names)} long")
    return (dict(zip(names, item, strict=True)) for item in rounds)
