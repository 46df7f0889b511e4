"""Rows as a table to read, and one at a time."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.rows import FEW_ROUNDS, Row

MARK = " (!)"  # of a row that was measured beside the load of others
WIDTH = 200  # enough for a table with all of them
# whom a figure is set beside in the table; the file has the ratio to every other subject
PEERS = (
    *("reflector", "nft-dnat", "nft-forward", "haproxy", "nginx-stream"),
    *("ipvs-nat", "ipvs-dr", "ipvs-tun"),
)


def number(value: float) -> str:
    """Return three significant digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def line(row: Row) -> str:
    """Return a row in one line, with its ratios to PEERS."""
    family = f" IPv{row.family}" if row.family else ""
    text = f"{row.work} {row.case}{family}: {row.subject} {row.metric} {number(row.median)}"
    text += f" ({between})" if (between := _between(row)) else ""
    text += f" {row.unit}"
    text += "".join(f", {_ratio(row, peer)} of {peer}" for peer in _peers(row))
    return text + (f"; {row.remark}" if row.remark else "")


def _peers(row: Row) -> list[str]:
    """Return who stands beside a row: PEERS, or everybody where none of them is."""
    return [peer for peer in PEERS if peer in row.ratios] or list(row.ratios)


def _between(row: Row) -> str:
    """Return the interval of a row; empty where one round cannot have one."""
    return f"{number(row.low)} to {number(row.high)}" if row.rounds > 1 else ""


def _ratio(row: Row, peer: str) -> str:
    ratio = row.ratios[peer]
    rounds = ratio.rounds or row.rounds
    between = f" ({ratio.low:.3f} to {ratio.high:.3f})" if rounds > 1 else ""
    return f"{ratio.median:.3f}{between}"


def _short(row: Row, peer: str) -> str:
    ratio = row.ratios[peer]
    rounds = ratio.rounds or row.rounds
    between = f" ({ratio.low:.2f}-{ratio.high:.2f})" if rounds > 1 else ""
    return f"{ratio.median:.2f}{between}"


def named(row: Row) -> str:
    """Return a row's subject, with a mark where others used the machine beside all its turns."""
    return row.subject + (MARK if row.others else "")


def heading(row: Row) -> str:
    """Return what the rows of one table have in common."""
    family = f", IPv{row.family}" if row.family else ""
    return f"{row.work}: {row.case}{family}: {row.metric}, {row.unit}"


def comparisons(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each comparison by its heading, in their order."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(heading(row), []).append(row)
    return parts


def _table(rows: Sequence[Row]) -> Table:
    peers = [peer for peer in PEERS if any(peer in row.ratios for row in rows)]
    table = Table(box=None)
    table.add_column("subject")
    for name in ("rounds", "median", _span(rows), *(f"/ {peer}" for peer in peers)):
        table.add_column(name, justify="right")
    for row in rows:
        ratios = [_short(row, p) if p in row.ratios else "" for p in peers]
        table.add_row(named(row), str(row.rounds), number(row.median), _between(row), *ratios)
    return table


def _span(rows: Sequence[Row]) -> str:
    """Return what low and high of these rows are."""
    few = [row.rounds < FEW_ROUNDS for row in rows]
    if all(few):
        return "min to max"
    return f"95 % interval; of < {FEW_ROUNDS} rounds min to max" if any(few) else "95 % interval"


def render(rows: Sequence[Row]) -> str:
    """Return all rows as tables, one for each comparison; "/ peer" is the ratio to it, and
    from where to where by the same measure as the median."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, markup=False)  # cases may have brackets
    for title, part in comparisons(rows).items():
        console.print(title, style="bold")
        console.print(_table(part))
        for row in part:
            if row.remark:
                console.print(f" {row.subject}: {row.remark}", highlight=False)
        console.print()
    return out.getvalue()
