"""What is wrong with a configuration, or has no effect: collected, never raised one by one."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field


class Severity(enum.IntEnum):
    """How much a finding matters; what keepalived runs, we run."""

    NOTE = 0  # accepted; keepalived's check says nothing about it
    ERROR = 1  # something is ignored or mended, the rest runs
    SECURITY = 2  # scripts run in a way that others could misuse
    REFUSED = 3  # reported like an error by a check; such a configuration does not start
    ABSENT = 4  # the same; keepalived's check of VRRP ends there, before it looks at scripts
    ELSEWHERE = 5  # the same, for a network namespace: keepalived's check says nothing at all
    FATAL = 6  # reading ends here
    UNREAD = 7  # a file that an include insists on: keepalived does not even begin


# an escape that repr() wrote: its backslash is not one of a pair
_SURROGATE = re.compile(r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])")


def with_bytes(text: str) -> str:
    """Shows bytes that are no UTF-8 as \\xf6: those that stand in the text as lone surrogates, and
    those that a quoted word has as escapes of these."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _SURROGATE.sub(r"\1\\x\2", shown)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; line 0 stands for the file as a whole."""

    file: str
    line: int = 0
    is_ours: bool = field(default=False, compare=False)  # keepalived passes over it

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    place: Place
    found: str
    expected: str

    def __str__(self) -> str:
        return with_bytes(f"{self.place}: {self.found}, {self.expected}")


class Fatal(Exception):
    """Reading cannot go on; what led here is among the findings."""


@dataclass(slots=True)
class Findings:
    """The findings so far, each once."""

    _list: list[Finding] = field(default_factory=list)
    _known: set[Finding] = field(default_factory=set)
    _unseen: int = 0  # as many of the list a check of keepalived's has no status 6 for
    _status: int | None = None  # of keepalived's check, where it reads otherwise than we do

    def add(self, severity: Severity, place: Place, found: str, expected: str) -> None:
        finding = Finding(severity, place, found, expected)
        if finding not in self._known:
            self._known.add(finding)
            self._list.append(finding)

    def note(self, place: Place, found: str, expected: str) -> None:
        self.add(Severity.NOTE, place, found, expected)

    def error(self, place: Place, found: str, expected: str) -> None:
        self.add(Severity.ERROR, place, found, expected)

    def refuse(self, place: Place, found: str, expected: str) -> None:
        self.add(Severity.REFUSED, place, found, expected)

    def fatal(self, place: Place, found: str, expected: str) -> Fatal:
        """Notes what ends the reading; the result is to be raised."""
        self.add(Severity.FATAL, place, found, expected)
        return Fatal(found)

    def end_of_vrrp(self) -> None:
        """What VRRP needs has been judged: with an interface absent its scripts were not."""
        if any(finding.severity is Severity.ABSENT for finding in self._list):
            self._unseen = len(self._list)

    def end_with(self, status: int, place: Place, why: str) -> None:
        """What keepalived's check says where it reads `place` otherwise than we do."""
        if status != self.exit_status():
            self.note(place, why, f"so the status of keepalived's check is {status}")
            self._status = status

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._list)

    def __len__(self) -> int:
        return len(self._list)

    @property
    def worst(self) -> Severity:
        return max((finding.severity for finding in self._list), default=Severity.NOTE)

    @property
    def is_refused(self) -> bool:
        """Whether such a configuration may not start, or replace a running one."""
        return self.worst >= Severity.REFUSED

    def exit_status(self) -> int:
        """Returns the exit status of `keepalived -t`: 0, 5, 2 for a fatal end, 6 for security.

        6 is also that of a file that an include insists on, whatever else there is.
        """
        if self._status is not None:
            return self._status
        kinds = {finding.severity for finding in self._list}
        if Severity.UNREAD in kinds:
            return 6
        if Severity.FATAL in kinds:
            return 2
        if Severity.ELSEWHERE in kinds:
            return 0
        if any(one.severity is Severity.SECURITY for one in self._list[self._unseen :]):
            return 6
        return 5 if self.worst >= Severity.ERROR else 0
