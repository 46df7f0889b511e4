"""vrrp_script, track_file, vrrp_track_process, bfd_instance, and the lines that name them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lbfast.config.blocks import Call, Draft, Flag, Ignored, Loader, Table, Value
from lbfast.config.findings import Place
from lbfast.config.foreign import newer
from lbfast.config.keywords.scripts import account, checking_script
from lbfast.config.values import (
    INT_MAX,
    MICRO,
    UINT_MAX,
    Bad,
    Missing,
    Statement,
    address,
    integer,
    micros,
    whole,
)
from lbfast.config.words import split_script
from lbfast.model.vrrp import ParamMatch

MAX_WEIGHT, MAX_FILE_WEIGHT = 253, 254
_MAX_DELAY_US = 3600 * MICRO
_MAX_PERIOD_US = 4294 * MICRO
_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrackLine:
    """One line of a track block; what it does not say is the object's own."""

    name: str
    place: Place
    weight: int | None = None
    reverse: bool | None = None


def weight_words(words: tuple[str, ...], limit: int) -> tuple[int, bool]:
    """Reads `N [reverse | noreverse]`."""
    if not words:
        raise Bad("weight without a number", f"expected one from -{limit} to {limit}")
    weight = whole(words[0], -limit, limit, "a weight")
    if len(words) > 1 and words[1] not in ("reverse", "noreverse"):
        raise Bad(f"{words[1]!r}", "expected reverse or noreverse")
    return weight, words[1:2] == ("reverse",)


def track_line(limit: int) -> Callable[[Statement], TrackLine]:
    """Reads `NAME [weight N [reverse | noreverse]]`."""

    def read(line: Statement) -> TrackLine:
        name, rest = line.words[0], line.words[1:]
        if not rest:
            return TrackLine(name, line.place)
        if rest[0] != "weight":
            raise Bad(f"{rest[0]!r}", "expected weight")
        weight, reverse = weight_words(rest[1:], limit)
        return TrackLine(name, line.place, weight, reverse if rest[2:] else None)

    return read


def weight(limit: int, *, is_fatal: bool) -> Call:
    """The keyword `weight N [reverse | noreverse]`: two fields."""

    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        if len(given.words) < 2 and is_fatal:
            raise Missing(2)
        if "weight" in draft and not is_fatal:
            raise Bad("given again", "the first one holds")
        number, reverse = weight_words(given.words[1:], limit)
        draft.put("weight", number, given.place)
        draft.put("reverse", reverse, given.place)

    return Call(read)


def _init_file(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads `init_file [VALUE] [overwrite]`."""
    value = 0
    for word in given.words[1:]:
        if word == "overwrite":
            draft.put("overwrite", True, given.place)
        elif _NUMBER.fullmatch(word) and -INT_MAX <= int(word) <= INT_MAX:
            value = int(word)
            if abs(value) > MAX_FILE_WEIGHT:
                loader.bad(given, Bad(f"{value}", f"expected up to {MAX_FILE_WEIGHT} or so"))
        else:
            loader.bad(given, Bad(f"{word!r}", "expected a number or overwrite"))
    draft.put("init_value", value, given.place)


def _process(given: Statement) -> tuple[str, ...]:
    if len(given.words) < 2:
        raise Missing(2)
    return tuple(split_script(given.text)[1:])


def _param_match(given: Statement) -> ParamMatch:
    known = {"initial": ParamMatch.INITIAL, "partial": ParamMatch.PARTIAL}
    if len(given.words) < 2:
        return ParamMatch.NONE
    if given.words[1] not in known:
        raise Bad(f"{given.words[1]!r}", "expected initial or partial")
    return known[given.words[1]]


def _process_delay(field: str) -> Call:
    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        value = micros(given.word(), 1, _MAX_DELAY_US)
        for name in ("fork_delay_us", "terminate_delay_us") if field == "delay" else (field,):
            draft.put(name, value, given.place)

    return Call(read)


def _milliseconds(low: int, high: int) -> Callable[[Statement], int]:
    """Reads milliseconds with decimals, as microseconds."""
    return lambda given: micros(given.word(), low * 1000, high * 1000, 1000)


def _script_period(field: str) -> Call:
    """Reads the seconds of a vrrp_script; decimals are newer than keepalived 2.2."""

    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        word = given.word()
        if word.lstrip("+").strip("0") == "" and word:
            loader.bad(given, Bad(f"{word!r}", "expected more than 0; 1 is used"))
            draft.put(field, MICRO, given.place)
            return
        value = micros(word, 1000, _MAX_PERIOD_US)
        if "." in word:
            loader.source.differ(given.place, f"{given.keyword} takes whole seconds only there")
            if loader.source.as_keepalived:
                raise Bad(f"{word!r}", "expected whole seconds")
        draft.put(field, value, given.place)

    return Call(read)


VRRP_SCRIPT: Table = {
    "script": Call(checking_script),
    "interval": _script_period("interval_us"),
    "timeout": _script_period("timeout_us"),
    "weight": weight(MAX_WEIGHT, is_fatal=True),
    "rise": Value("rise", integer(1, INT_MAX)),
    "fall": Value("fall", integer(1, INT_MAX)),
    "user": Value("user", account),
    "init_fail": Flag("init_fail"),
}


def _file(given: Statement) -> str:
    words = given.script_words()
    if len(words) < 2:
        raise Bad("no path", "expected one")
    return words[1]


TRACK_FILE: Table = {
    "file": Value("path", _file, is_once=True),
    "weight": weight(MAX_FILE_WEIGHT, is_fatal=False),
    "init_file": Call(_init_file),
}

TRACK_PROCESS: Table = {
    "process": Value("argv", _process, is_once=True),
    "param_match": Value("param_match", _param_match),
    "weight": weight(MAX_FILE_WEIGHT, is_fatal=False),
    "quorum": Value("quorum", integer(1, 65535)),
    "quorum_max": Value("quorum_max", integer(0, 65535)),
    "delay": _process_delay("delay"),
    "fork_delay": _process_delay("fork_delay_us"),
    "terminate_delay": _process_delay("terminate_delay_us"),
    "full_command": Flag("full_command"),
}

BFD: Table = newer({
    "neighbor_ip": Value("neighbor", address),
    "neighbour_ip": Value("neighbor", address),
    "source_ip": Value("source", address),
    "min_rx": Value("min_rx_us", _milliseconds(1, UINT_MAX // 1000)),
    "min_tx": Value("min_tx_us", _milliseconds(1, UINT_MAX // 1000)),
    "idle_tx": Value("idle_tx_us", _milliseconds(1000, UINT_MAX // 1000)),
    "multiplier": Value("multiplier", integer(1, 255)),
    "passive": Flag("passive"),
    "ttl": Value("ttl", integer(1, 255)),
    "hoplimit": Value("ttl", integer(1, 255)),
    "max_hops": Value("max_hops", integer(-1, 255)),
    "weight": weight(MAX_WEIGHT, is_fatal=True),
    "vrrp": Flag("vrrp"),
    "checker": Flag("checker"),
    "multihop": Ignored("single and multiple hops are told apart by max_hops"),
}, "multihop")  # fmt: skip
