"""The demo's pictures: values in, something for rich to print out."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lbfast.demos.scene import Plot
from lbfast.demos.traffic import Download, Spread
from netns import basic

NAMES = {
    "nat": "NAT: the director rewrites both ways",
    "dr": "DR: real servers answer past the director",
    "tun": "TUN: IP in IP to real servers in networks of their own",
}
BAR = 40


def topology(plot: Plot) -> Panel:
    """Return the network of a scene, with its addresses."""
    draw: Callable[[Plot], list[str]] = {"nat": _nat, "dr": _dr, "tun": _tun}[plot.method]
    title = f"[bold]IPv{plot.family} {NAMES[plot.method]}[/]"
    return Panel(Text("\n".join(draw(plot)), no_wrap=True), title=title, expand=False)


def spread(result: Spread) -> RenderableType:
    """Return bars, one for each real server, and what the scheduler promises."""
    table = Table.grid(padding=(0, 1))
    total = sum(result.promised.values())
    for name, count in result.counts.items():
        wanted = result.promised[name]
        colour = "green" if count == wanted else "red"
        bar = Text("█" * round(BAR * count / total), style=colour)
        note = "" if count == wanted else f"[red]promised {wanted}[/]"
        table.add_row(name, bar, f"{count}", f"{count / total:.1%}", note)
    mark = "[green]as promised[/]" if result.is_right else "[red]wrong[/]"
    head = Text.from_markup(f"{total} requests, {result.scheduler}: {mark}")
    faults = [Text(f"  {sentence}", style="red") for sentence in result.wrong[:5]]
    return Group(head, table, *faults)


def download(result: Download) -> Text:
    """Return the download in one line."""
    same = "[green]same SHA-256[/]" if result.is_same else "[red]another SHA-256[/]"
    return Text.from_markup(
        f"download: {result.size_bytes / 1e6:.0f} MB in {result.seconds:.2f} s, "
        f"{result.megabits_per_s:,.0f} Mb/s, {same}"
    )


def listing(words: str, text: str) -> Group:
    """Return what a command printed, under the command."""
    return Group(Text(f"# {words}", style="bold"), Text(text.rstrip("\n"), no_wrap=True))


def summary(rows: list[tuple[Plot, bool, float]]) -> Table:
    """Return the table that ends the demo: each scene, its verdict, its rate."""
    table = Table(title="lbfast demo")
    for column in ("method", "family", "result", "Mb/s"):
        table.add_column(column, justify="right" if column == "Mb/s" else "left")
    for plot, right, rate in rows:
        verdict = "[green]right[/]" if right else "[red]wrong[/]"
        table.add_row(plot.method, f"IPv{plot.family}", verdict, f"{rate:,.0f}")
    return table


def _clients(plot: Plot) -> list[str]:
    names = [f"{name} {plot.client(name)} " for name in basic.CLIENTS]
    width = max(map(len, names))
    return [name.ljust(width, "─") for name in names]


def _servers(plot: Plot) -> list[str]:
    return [f"{name} {basic.rip(plot.method, name, plot.family)}" for name in basic.REAL_SERVERS]


def _nat(plot: Plot) -> list[str]:
    (one, two), (a, b, c) = _clients(plot), _servers(plot)
    middle = f" router ── director VIP {plot.vip} "
    space = " " * (len(one) + len(middle) + 1)
    return [
        f"{one}┐{' ' * len(middle)}┌─ {a}",
        f"{two}┴{middle}┼─ {b}",
        f"{space}└─ {c}",
        "requests and replies pass the director, which is the real servers' gateway",
    ]


def _dr(plot: Plot) -> list[str]:
    (one, two), (a, b, c) = _clients(plot), _servers(plot)
    middle = " router "
    space = " " * (len(one) + len(middle) + 1)
    return [
        f"{one}┐{' ' * len(middle)}┌─ director VIP {plot.vip}",
        f"{two}┴{middle}┼─ {a}, VIP on lo",
        f"{space}├─ {b}, VIP on lo",
        f"{space}└─ {c}, VIP on lo",
        "requests pass the director, replies go from the real servers to the router",
    ]


def _tun(plot: Plot) -> list[str]:
    (one, two), (a, b, c) = _clients(plot), _servers(plot)
    middle = " router "
    space = " " * (len(one) + len(middle) + 1)
    head = f"─ director VIP {plot.vip} ═ IP in IP ═╗"
    width = len(head)
    return [
        f"{one}┐{' ' * len(middle)}┌{head}",
        f"{two}┴{middle}┼{f'─ {a}, VIP on lo ':<{width - 1}}║",
        f"{space}├{f'─ {b}, VIP on lo ':<{width - 1}}║",
        f"{space}└{f'─ {c}, VIP on lo ':<{width - 1}}║",
        "the tunnels pass the router too; real servers unwrap and answer through it",
    ]
