"""Shows which test holds which row of the conformance checklist; fails while a row has none.

Rows are in tests/checklist/ipvs.tsv and keepalived.tsv, named by tests with
`@pytest.mark.covers("C-001", ...)`;
excused.tsv says in one line why a row, or a range of rows (C-430..C-437), needs no test.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROWS = (ROOT / "tests/checklist/ipvs.tsv", ROOT / "tests/checklist/keepalived.tsv")
EXCUSED = ROOT / "tests/checklist/excused.tsv"
_RANGE = re.compile(r"^([A-Z]+-\d{2,3})(?:\.\.([A-Z]+-\d{2,3}))?$")


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    section: str
    behaviour: str


class ChecklistError(Exception):
    """A mark or an excuse that names no row, or a test that cannot be read."""


def read_tsv(path: Path) -> Iterator[list[str]]:
    """Yield the records of a tab-separated file without its title."""
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(reader)
        yield from (record for record in reader if record)


def read_rows(paths: Iterable[Path] = ROWS) -> list[Row]:
    """Return the rows of the checklists in order."""
    return [Row(*record) for path in paths for record in read_tsv(path)]


def read_excuses(rows: Iterable[Row], path: Path = EXCUSED) -> dict[str, str]:
    """Return row id -> reason, ranges written out; ChecklistError for what names no row."""
    known = [row.id for row in rows]
    excuses: dict[str, str] = {}
    for name, reason in read_tsv(path):
        match = _RANGE.match(name)
        first, last = (match[1], match[2] or match[1]) if match else ("", "")
        chosen = [row for row in known if first <= row <= last]
        if first not in chosen or last not in chosen or not reason.strip():
            raise ChecklistError(f"{path.name}: {name!r} names no rows or has no reason")
        excuses |= dict.fromkeys(chosen, reason)
    return excuses


class Collector:
    """A pytest plugin that notes the marks of every collected test."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = {}
        self.errors: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("covers"):
                for row in mark.args:
                    self._note(row, item.nodeid)

    def _note(self, row: str, nodeid: str) -> None:
        where = self.tests.setdefault(row, [])
        test = nodeid.split("[")[0]  # one line for all parameters of a test
        if test not in where:
            where.append(test)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid}: cannot be collected\n{report.longreprtext}")


def collect() -> dict[str, list[str]]:
    """Return row id -> tests, from a collection that runs nothing."""
    collector = Collector()
    os.chdir(ROOT)
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider"]
    pytest.main(
        ["--collect-only", *quiet, "-o", "addopts=", "--import-mode=importlib"], [collector]
    )
    if collector.errors:
        raise ChecklistError("\n".join(collector.errors))
    return collector.tests


def judge(
    rows: Iterable[Row], tests: Mapping[str, list[str]], excuses: Mapping[str, str]
) -> tuple[list[str], bool]:
    """Return the lines to print and whether every row is covered or excused."""
    rows = list(rows)
    unknown = sorted(set(tests) - {row.id for row in rows})
    if unknown:
        raise ChecklistError(f"no such row: {', '.join(unknown)} (in {tests[unknown[0]][0]})")
    lines = []
    covered = excused = 0
    for row in rows:
        lines.append(f"{row.id}  {row.section:<5} {row.behaviour}")
        if row.id in tests:
            covered += 1
            lines += [f"       {test}" for test in tests[row.id]]
        elif row.id in excuses:
            excused += 1
            lines.append(f"       excused: {excuses[row.id]}")
        else:
            lines.append("       NO TEST")
    lines.append(f"covered {covered} of {len(rows)}, excused {excused}")
    return lines, covered + excused == len(rows)


def main() -> int:
    try:
        rows = read_rows()
        lines, complete = judge(rows, collect(), read_excuses(rows))
    except ChecklistError as error:
        print(f"checklist: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
