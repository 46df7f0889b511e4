"""`lbfast counters`: what became of packets, why some were dropped, what the rings saw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from lbfast.control.api import Balancer
from lbfast.control.client import connect
from lbfast.words import refuse

USAGE = """\
usage: lbfast counters

Shows what became of packets since the director started: how many were sent on, given back to the
host, held (for other fragments or a neighbour) and dropped; the drops by reason; and for each
interface what its rings saw, which includes frames that were the host's alone.
"""


def main(argv: Sequence[str], opened: Callable[[], Balancer] = connect) -> int:
    """Runs `lbfast counters` with the words behind it; returns the exit status."""
    if argv and argv[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if argv:
        return refuse("lbfast counters", f"{argv[0]!r} unknown, expected no words")
    for row in opened().counters():
        print(f"{row.group:<16}{row.name:<20}{row.value:>16}")
    return 0
