"""Draws the results of the bench house for docs/: the same rows give the same SVG.

    python -m bench.plots [RESULTS [FOLDER]]      bench/results to docs/bench-NAME.svg and .png

A bar is a median, its line the 95 % interval (below 6 rounds: least to greatest); below it stand
the commit and the time.  A picture without rows is not drawn.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.others import BOUND_CORES
from bench.replacing import replacing
from bench.rows import Row, Sheet, read_all
from bench.table import named

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = ROOT / "bench/results", ROOT / "docs"
OURS, KERNEL, PROXY, LIMIT = "#1f77b4", "#2ca02c", "#ff7f0e", "#9e9e9e"
COLOURS = {"lbfast": OURS, "nft": KERNEL, "ipvs": KERNEL, "haproxy": PROXY, "nginx": PROXY}
SETTINGS = {
    "svg.hashsalt": "lbfast",  # element names are made from it instead of by chance
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PNG_DPI = 90
KINDS: Mapping[str, Mapping[str, None]] = {"svg": {"Date": None}, "png": {}}  # without these
ACROSS = 3  # panels in a row


@dataclass(frozen=True, slots=True)
class Picture:
    """Which rows belong to a picture."""

    name: str
    work: str
    metrics: tuple[str, ...]
    title: str
    is_line: bool = False  # over the number that a row's case begins with


PICTURES = (
    Picture("frames", "frames", ("CPU", "cpu"), "CPU time a frame: own process"),
    Picture("bulk", "bulk", ("rate",), "One TCP flow, offloads on"),
    Picture("requests", "http", ("rate",), "HTTP requests a second, the whole machine busy"),
    Picture("cost", "http", ("cost of balancing",), "Cost of balancing a request"),
    Picture("latency", "pingpong", ("p50", "p99"), "Request and response, one at a time"),
    Picture("lookup", "lookup", ("lookup",), "A lookup among so many connections", True),
    Picture("memory", "memory", ("memory",), "Memory a connection", True),
)


def rows_for(picture: Picture, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.work == picture.work and row.metric in picture.metrics]


def panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each panel by its heading: case, family and metric."""
    found: dict[str, list[Row]] = {}
    metrics = {row.metric for row in rows}
    for row in rows:
        words = [row.case] + ([f"IPv{row.family}"] if row.family else [])
        words += [row.metric] if len(metrics) > 1 else []
        found.setdefault(", ".join(words), []).append(row)
    return found


def colour(subject: str) -> str:
    return next((c for word, c in COLOURS.items() if subject.startswith(word)), LIMIT)


def number_of(case: str) -> int:
    """Return the number that a case begins with: 1,000 for "1,000 connections"."""
    found = re.match(r"[\d,]+", case)
    if found is None:
        raise ValueError(f"case {case!r}: expected a number at its beginning")
    return int(found[0].replace(",", ""))


def draw_bars(figure: Any, rows: Sequence[Row]) -> None:
    """Draw a panel for each case, a bar for each subject."""
    parts = panels(rows)
    most = max(map(len, parts.values()))
    across = min(len(parts), ACROSS)
    down = -(-len(parts) // across)
    figure.set_size_inches(1 + 4 * across, down * (1 + 0.26 * most))
    for axes, (heading, part) in zip(_axes(figure, len(parts)), parts.items(), strict=True):
        names = [named(row) for row in part]
        medians = [row.median for row in part]
        spans = [
            [max(row.median - row.low, 0) for row in part],
            [max(row.high - row.median, 0) for row in part],
        ]
        colours = [colour(name) for name in names]
        axes.barh(names, medians, xerr=spans, color=colours, error_kw={"elinewidth": 0.8})
        axes.invert_yaxis()
        axes.set(title=heading, xlabel=part[0].unit)
        axes.grid(True, axis="x", alpha=0.3)


def draw_lines(figure: Any, rows: Sequence[Row]) -> None:
    """Draw a line for each subject over the number in the case."""
    figure.set_size_inches(5, 3)
    axes = _axes(figure, 1)[0]
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.subject, []).append(row)
    for part in lines.values():
        part.sort(key=lambda row: number_of(row.case))
        numbers = [number_of(row.case) for row in part]
        label = max(map(named, part), key=len)  # with the mark, if one of them has it
        axes.plot(numbers, [row.median for row in part], marker=".", label=label)
        axes.fill_between(numbers, [r.low for r in part], [r.high for r in part], alpha=0.2)
    axes.set(xscale="log", ylim=0, xlabel="connections", ylabel=rows[0].unit)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize="small")


def _axes(figure: Any, count: int) -> list[Any]:
    """Return axes for so many panels, in rows of ACROSS."""
    across = min(count, ACROSS)
    axes = figure.subplots(-(-count // across), across, squeeze=False).flatten()
    for spare in axes[count:]:
        spare.remove()
    return list(axes[:count])


def caption(sheet: Sheet) -> str:
    """Return what was measured and when: pictures beside each other may differ in that."""
    machine = sheet.machine
    words = [f"lbfast {machine.lbfast or 'of an unknown commit'}", machine.began]
    words += ["coarsely (--quick)"] if sheet.quick else []
    if machine.others is not None and machine.others > BOUND_CORES:
        words.append(f"others used {machine.others:.2f} of {machine.cores} cores")
    return ", ".join(words)


def draw(picture: Picture, sheet: Sheet, folder: Path) -> list[Path]:
    """Write a picture of a work's rows as SVG and PNG, both or none; return the files."""
    import matplotlib
    from matplotlib.figure import Figure

    files = {kind: place(picture, kind, folder) for kind in KINDS}
    with matplotlib.rc_context(SETTINGS), ExitStack() as both:
        figure = Figure(layout="constrained")
        rows = rows_for(picture, sheet.rows)
        (draw_lines if picture.is_line else draw_bars)(figure, rows)
        figure.suptitle(picture.title)
        figure.supxlabel(caption(sheet), fontsize="x-small", color=LIMIT)
        for kind, path in files.items():
            fresh = both.enter_context(replacing(path))
            figure.savefig(fresh, format=kind, metadata=dict(KINDS[kind]), dpi=PNG_DPI)
    return list(files.values())


def place(picture: Picture, kind: str, folder: Path) -> Path:
    return folder / f"bench-{picture.name}.{kind}"


def remove(works: Collection[str], folder: Path, but: Collection[Path] = ()) -> None:
    """Remove the pictures of these works, but for some files."""
    for picture in PICTURES:
        for path in (place(picture, kind, folder) for kind in KINDS):
            if picture.work in works and path not in but:
                path.unlink(missing_ok=True)


def draw_all(sheets: Sequence[Sheet], folder: Path = DOCS) -> list[Path]:
    """Draw every picture that these sheets have rows for; ModuleNotFoundError without matplotlib,
    OSError if a file cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for sheet in sheets:
        for picture in PICTURES:
            if rows_for(picture, sheet.rows):
                files += draw(picture, sheet, folder)
    return files


def main(words: Sequence[str]) -> int:
    results = Path(words[0]) if words else RESULTS
    folder = Path(words[1]) if words[1:] else DOCS
    files = draw_all(read_all(results), folder)
    print(*(f"drew {path}" for path in files), sep="\n")
    return 0 if files else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
