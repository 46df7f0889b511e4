"""Rows as a table to read."""

from __future__ import annotations

from collections.abc import Sequence

from bench.rows import Interval, Row


def number(value: float) -> str:
    """Return three significant digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def line(row: Row) -> str:
    """Return a row in one line, with its ratios."""
    family = f" IPv{row.family}" if row.family else ""
    text = f"{row.work} {row.case}{family}: {row.subject} {row.metric} {number(row.median)}"
    text += f" ({number(row.low)} to {number(row.high)}) {row.unit}"
    text += "".join(f", {_ratio(each)} of {peer}" for peer, each in row.ratios.items())
    return text + (f"; {row.remark}" if row.remark else "")


def _ratio(ratio: Interval) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


def render(rows: Sequence[Row]) -> str:
    """Return all rows, a line each, in their order."""
    return "\n".join(map(line, rows))
