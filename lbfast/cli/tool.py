"""ipvsadm and its two scripts as processes: standard streams, and the director's socket."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TextIO, cast

from lbfast.cli import ipvsadm
from lbfast.control.client import connect

RULES_VARIABLE = "LBFAST_RULES"  # set by lbfast-rules; ipvsadm itself names no lines
_SAVE_USAGE = """\
ipvsadm-save: Script to save the IPVS table to stdout.
   With the -n option, prints out the table in numeric format.
"""


def main(argv: Sequence[str]) -> int:
    """Runs `lbfast ipvsadm` with the words behind it; returns the exit status."""
    return run_as("ipvsadm", ["ipvsadm", *argv])


def run_as(tool: str, argv: Sequence[str]) -> int:
    """Runs one of TOOLS, which was called as `argv[0]`; returns the exit status."""
    # nothing a user types or the table holds may fail for its bytes; \r is a blank in a rule
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, errors="surrogateescape")
    _reconfigure(sys.stdin, errors="surrogateescape", newline="\n")
    return TOOLS[tool](argv)


def _reconfigure(stream: TextIO, **settings: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(**settings)  # type: ignore[arg-type]


class _Located:
    """Standard input and error of a run that reads rules: what is wrong is said of a line."""

    def __init__(self, name: str, lines: Iterable[str], errors: TextIO) -> None:
        self._name, self._lines, self._errors = name, lines, errors
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            yield line

    def write(self, text: str) -> int:
        return self._errors.write(f"{self._name}:{self._number}: {text}" if self._number else text)


def _ipvsadm(argv: Sequence[str]) -> int:
    """Runs ipvsadm; where RULES_VARIABLE names the file of the input, errors name the line."""
    name = os.environ.get(RULES_VARIABLE)
    if not name:
        return ipvsadm.main(argv, connect)
    located = cast(TextIO, _Located(name, sys.stdin, sys.stderr))
    return ipvsadm.main(argv, connect, stdin=located, stderr=located)


def _save(argv: Sequence[str]) -> int:
    """Saves the table; takes -n, forgives any word that is no option."""
    words = argv[1:]
    if any(word.startswith("-") and word != "-n" for word in words):
        sys.stderr.write(_SAVE_USAGE)
        return 1
    return ipvsadm.main(["ipvsadm", "-S", *(["-n"] if "-n" in words else [])], connect)


def _restore(argv: Sequence[str]) -> int:
    """Replaces the table by what standard input says, without the lines that begin with #."""
    rules = "".join(line for line in sys.stdin if not line.startswith("#"))
    status = ipvsadm.main(["ipvsadm", "-C"], connect)
    if status:
        return status
    return ipvsadm.main(["ipvsadm", "-R"], connect, stdin=io.StringIO(rules))


TOOLS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "ipvsadm": _ipvsadm,
    "ipvsadm-save": _save,
    "ipvsadm-restore": _restore,
}
