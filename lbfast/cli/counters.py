"""`lbfast counters`: what became of packets, why some were dropped, what the rings saw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from lbfast.control.api import Balancer
from lbfast.control.client import connect

USAGE_STATUS = 2
USAGE = """\
usage: lbfast counters

Shows what became of packets since the director started: how many were sent on, given back to the
host, held (for other fragments or a neighbour) and dropped; the drops by reason; and for each
interface what its rings saw, which includes frames that were the host's alone.
"""


def main(argv: Sequence[str], opened: Callable[[], Balancer] = connect) -> int:
    """Runs `lbfast counters` with the words behind it; returns the exit status."""
    if argv:
        asked = argv[0] in ("-h", "--help")
        problem = "" if asked else f"lbfast counters: {argv[0]!r} unknown, expected no words\n"
        (sys.stdout if asked else sys.stderr).write(problem + USAGE)
        return 0 if asked else USAGE_STATUS
    for row in opened().counters():
        print(f"{row.group:<16}{row.name:<20}{row.value:>16}")
    return 0
