"""`lbfast bench`: the yardstick, which is the same rings with nothing balanced."""

from __future__ import annotations

import argparse
import resource
import socket
import sys
from collections.abc import Sequence

from lbfast.control.tables import Rings
from lbfast.errors import ControlError
from lbfast.words import Parser

MOST_S = 86400


def main(words: Sequence[str]) -> int:
    """Runs the measurement asked for; returns the exit status."""
    parser = Parser(prog="lbfast bench", description="Measure.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    what = "let frames of either interface leave by the other, then say at what cost"
    reflector = kinds.add_parser("reflector", help=what, description=f"{what.capitalize()}.")
    reflector.add_argument(
        "interfaces", nargs=2, metavar="INTERFACE", help="two of this network namespace"
    )
    reflector.add_argument(
        "seconds", type=_seconds, metavar="SECONDS", help=f"how long, at most {MOST_S}"
    )
    args = parser.parse_args(list(words))
    if args.interfaces[0] == args.interfaces[1]:
        reflector.error(f"interface {args.interfaces[0]} twice, expected two different ones")
    return _reflect(args.interfaces, args.seconds)


def _seconds(text: str) -> float:
    """Reads how long to measure; "nan" is no number here."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 up to {MOST_S}")
    return value


def _reflect(names: list[str], seconds: float) -> int:
    rings = Rings([(name, _index(name)) for name in names], [], {})
    try:
        print("lbfast bench: ready", file=sys.stderr, flush=True)
        before = resource.getrusage(resource.RUSAGE_THREAD)
        rings.reflect(seconds)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        stats = rings.stats()
    finally:
        rings.close()
    frames = sum(row[0] for row in stats.values())
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    for name, (received, dropped, _, sent, refused) in stats.items():
        print(f"{name}: received {received} dropped {dropped} sent {sent} refused {refused}")
    print(f"frames {frames} user {user:.3f} s system {system:.3f} s")
    print(f"cpu-per-frame {(user + system) * 1e6 / frames if frames else 0:.3f} us")
    return 0


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise ControlError(f"interface {name}: no such interface") from None
