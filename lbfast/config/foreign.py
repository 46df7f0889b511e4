"""Rows for what keepalived 2.2 reads otherwise: words that it does not know, blocks it passes."""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.config.blocks import Draft, Loader, Row, Table
from lbfast.config.values import Bad, Statement


@dataclass(frozen=True, slots=True)
class Passed:
    """Passes over a keyword and its block."""

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        loader.skip_head()


@dataclass(frozen=True, slots=True)
class Foreign:
    """A keyword, or one `value` of it, that keepalived 2.2 does not know.

    As long as keepalived passes over the line, it makes no difference to its check.
    """

    row: Row
    why: str
    value: str = ""

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        is_meant = not self.value or given.words[1:2] == (self.value,)
        if is_meant and not given.place.is_ours:
            what = f"{given.keyword} {self.value}".rstrip()
            loader.source.differ(given.place, f"{what} is {self.why}")
            if loader.source.as_keepalived:
                if self.value:
                    raise Bad(f"{self.value!r}", "expected another")
                loader.unknown(given)
                return
        self.row.apply(loader, draft, given)


def newer(table: Table, *keywords: str) -> Table:
    """Returns the table with some keywords marked as newer than keepalived 2.2."""
    marked = {name: Foreign(table[name], "newer than keepalived 2.2") for name in keywords}
    return {**table, **marked}


def own(row: Row, value: str = "") -> Foreign:
    """Marks a keyword, or one value of it, that is lbfast's own."""
    return Foreign(row, "lbfast's own; behind @lbfast keepalived passes it over", value)
