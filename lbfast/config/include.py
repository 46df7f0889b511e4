"""The `include` family: which files a word stands for, and which of its failures are errors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lbfast.config.findings import Findings, Place, Severity
from lbfast.config.host import Host

_READABLE, _MATCH, _WILDCARD, _BRACE = 1, 2, 4, 8
CHECKS = {
    "readable": _READABLE,
    "match": _MATCH | _READABLE,
    "wildcard_match": _WILDCARD | _MATCH | _READABLE,
    "brace_match": _BRACE,
}
KEYWORDS = {
    "include": 0,
    "includer": CHECKS["readable"],
    "includem": CHECKS["match"],
    "includew": CHECKS["wildcard_match"],
    "includeb": CHECKS["brace_match"] | CHECKS["readable"],
    "includea": CHECKS["brace_match"] | CHECKS["wildcard_match"],
}
_MAX_ALTERNATIVES = 1024
_WILDCARDS = re.compile(r"[*?\[]")
_INNERMOST = re.compile(r"\{([^{}]*)\}")


@dataclass(slots=True)
class Strictness:
    """What `include_check` made of the plain `include`, for the rest of a file."""

    default: int = 0

    def of(self, keyword: str) -> int:
        return KEYWORDS[keyword] | self.default

    def report_unreadable(
        self, keyword: str, findings: Findings, place: Place, found: str,
        expected: str = "expected a file that can be read",
    ) -> None:  # fmt: skip
        severity = Severity.UNREAD if self.of(keyword) & _READABLE else Severity.NOTE
        findings.add(severity, place, found, expected)


def braces(pattern: str) -> Iterator[str]:
    """Yields what csh makes of {a,b}: every alternative, inner ones first."""
    match = _INNERMOST.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in match[1].split(","):
        yield from braces(pattern[: match.start()] + choice + pattern[match.end() :])


def find(
    host: Host, keyword: str, word: str, rules: Strictness, place: Place, findings: Findings
) -> list[str]:
    """Returns the files to read, in order; what is missing is an error if the keyword says so.

    Of a word with alternatives only these are asked for, one by one.
    """
    strict = rules.of(keyword)
    patterns = dict.fromkeys(itertools.islice(braces(word), _MAX_ALTERNATIVES + 1))
    if len(patterns) > _MAX_ALTERNATIVES:
        findings.error(place, f"{keyword}: too many alternatives", f"at most {_MAX_ALTERNATIVES}")
        return []
    directory = place.file.rpartition("/")[0]
    files: list[str] = []
    has_match = False
    for pattern in patterns:
        path = pattern if pattern.startswith("/") or not directory else f"{directory}/{pattern}"
        found = host.glob(path)
        has_match = has_match or bool(found)
        if not found and len(patterns) > 1 and strict & _BRACE:
            findings.add(
                Severity.UNREAD, place, f"{keyword} {pattern}: no such file", "expected one"
            )
        for name in found:
            if host.is_plain_file(name):
                files.append(name)
            else:
                rules.report_unreadable(keyword, findings, place, f"{name}: not read")
    if not has_match:
        wanted = _WILDCARD if _WILDCARDS.search(word) else _MATCH
        is_strict = strict & wanted and len(patterns) == 1
        severity = Severity.UNREAD if is_strict else Severity.NOTE
        findings.add(severity, place, f"{keyword} {word}: no such file", "expected one")
    return files
