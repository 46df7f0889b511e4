"""`lbfast demo`: real requests over real web servers, by every method and both families."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from lbfast.demos import picture
from lbfast.demos.scene import WEIGHTS, Plot, Scene, missing_programs, played
from lbfast.demos.traffic import ask, download, make_file, settled_stats
from lbfast.words import Parser
from netns import basic, ownership

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
FILE = "large"
MOST_MB = 10_000


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lbfast demo",
        description="Build a network in namespaces, balance real requests in it, show the result. "
        "Exit 0 only if every request was answered rightly and spread as promised.",
    )
    parser.add_argument("--method", choices=basic.METHODS, help="only this one (default: all)")
    parser.add_argument("--family", choices=("4", "6"), help="only this one (default: both)")
    parser.add_argument(
        "--requests", type=int, default=60, metavar="N",
        help="for each scheduler, a multiple of 12 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size",
        type=int,
        default=100,
        metavar="MB",
        help=f"of the download, at most {MOST_MB} (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the last network up")
    parser.add_argument("--clean", action="store_true", help="remove what --keep left, and end")
    return parser


def main(words: Sequence[str]) -> int:
    """Plays the scenes asked for; returns 0, 1 (something was wrong) or 2 (cannot be done)."""
    parser = _parser()
    args = parser.parse_args(list(words))
    if sentence := _wrong(args.requests, args.size):
        parser.error(sentence)
    if sentence := _obstacle():
        print(f"lbfast demo: {sentence}", file=sys.stderr)
        return REFUSED
    if args.clean:
        return _clean()
    families = [int(args.family)] if args.family else [4, 6]
    methods = [args.method] if args.method else list(basic.METHODS)
    plots = [Plot(method, family) for method in methods for family in families]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _play(plots, args)
    except KeyboardInterrupt:
        print("\nlbfast demo: interrupted, everything removed", file=sys.stderr)
        return INTERRUPTED


def _wrong(requests: int, size_mb: int) -> str:
    """Return a sentence on a number that cannot be taken; empty if both can."""
    if requests < 12 or requests % 12:
        return f"--requests {requests}: expected a multiple of 12"
    if not 1 <= size_mb <= MOST_MB:
        return f"--size {size_mb}: expected 1 to {MOST_MB} (MB)"
    folder = tempfile.gettempdir()  # the file, and what the client makes of it
    if 2 * size_mb > (free_mb := shutil.disk_usage(folder).free // 1_000_000):
        return f"--size {size_mb}: {2 * size_mb} MB needed in {folder}, {free_mb} MB free"
    return ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _obstacle() -> str:
    if os.geteuid() != 0:
        return "namespaces and packet rings need root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW)"
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)} (apt-get install iproute2 curl nginx-light)"
    return ""


def _clean() -> int:
    for prefix in ownership.kept():
        ownership.remove(prefix)
        print(f"removed {prefix}")
    return 0


def _play(plots: list[Plot], args: argparse.Namespace) -> int:
    console = Console()
    for prefix in ownership.clean_leftovers():
        console.print(f"removed what an earlier run left behind: {prefix}")
    rows = []
    with _own_directory() as files:
        digest = make_file(files / FILE, args.size * 1_000_000)
        for plot in plots:
            keep = args.keep and plot is plots[-1]
            rows.append((plot, *_scene(console, plot, files, digest, args.requests, keep)))
    if len(rows) > 1:
        console.print(picture.summary(rows))
    return 0 if all(right for _, right, _ in rows) else FAILED


@contextlib.contextmanager
def _own_directory() -> Iterator[Path]:
    """Make a directory that the next run removes if this one cannot."""
    record = ownership.Record()
    try:
        files = record.scratch / "files"
        files.mkdir()
        yield files
    finally:
        record.forget()


def _scene(
    console: Console, plot: Plot, files: Path, digest: str, requests: int, keep: bool
) -> tuple[bool, float]:
    """Play one scene; return whether all was right, and the rate of the download in Mb/s."""
    console.print(picture.topology(plot))
    try:
        with played(plot, files, keep) as scene:
            return _act(console, scene, digest, requests, keep)
    except (RuntimeError, TimeoutError, OSError) as error:
        console.print(f"[red]{plot.method} IPv{plot.family}:[/] ", end="")
        console.print(str(error), markup=False, highlight=False)
        return False, 0.0


def _act(
    console: Console, scene: Scene, digest: str, requests: int, keep: bool
) -> tuple[bool, float]:
    scene.add_rules("rr")
    even = ask(scene, "rr", dict.fromkeys(WEIGHTS, 1), requests)
    console.print(picture.spread(even))
    scene.weigh("wrr")
    weighted = ask(scene, "wrr", WEIGHTS, requests)
    console.print(picture.spread(weighted))
    fetched = download(scene, FILE, digest)
    console.print(picture.download(fetched))
    stats = settled_stats(scene, 2 * requests + 1, fetched)
    console.print(picture.listing("ipvsadm -Ln --stats", stats))
    if keep:
        _say_how_to_look(console, scene)
    console.print()
    return even.is_right and weighted.is_right and fetched.is_same, fetched.megabits_per_s


def _say_how_to_look(console: Console, scene: Scene) -> None:
    net, lines = scene.net, ["left up; to look around:"]
    lbfast = f"{sys.executable} -m lbfast"
    director, client = net.namespace("director"), net.namespace("client1")
    lines.append(f"  ip netns exec {director} {lbfast} ipvsadm -Ln")
    lines.append(f"  ip netns exec {client} curl http://{scene.plot.service}/")
    lines.append(f"  ip netns exec {net.namespace('rs1')} tcpdump -ni eth0")
    lines.append(f"logs are in {net.scratch}; to remove it all: {lbfast} demo --clean")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
