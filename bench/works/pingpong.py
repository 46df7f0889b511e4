"""Request and response over one TCP connection, 64 bytes, one under way at a time.

Client and server share a core, so that it does not depend on chance whether they do; a balancer
that is a process runs where the scheduler puts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.ground import Ground, ground
from bench.plan import Plan
from bench.program import pinned, program
from bench.rows import Head, Row
from bench.subjects import SUBJECTS as EVERYBODY
from bench.subjects.base import ECHO
from bench.turns import Comparison, Disturbed, Figures, by_turns, present, rows_of
from netns.web import wait_for_listener

NAME = "pingpong"
SECONDS, QUICK_SECONDS = 65.0, 8.0
SUBJECTS = tuple(EVERYBODY)
ROUNDS, COUNT, QUICK_COUNT = 25, 3000, 1000
CASE = "one TCP connection, 64 bytes"
UNITS = {"p50": "us", "p99": "us"}


def run(plan: Plan) -> Iterator[Row]:
    """Yield the median and the 99th percentile of the round trip."""
    names = present(plan)
    with ground(names, left_out=plan.left_out) as field:
        start_echo(field)
        found = compare(field, plan, field.names)
        yield from rows_of(plan, field.names, found, UNITS, Head(NAME, CASE, "", "", 4))


def start_echo(field: Ground) -> None:
    """Start the server's part."""
    process = field.net.start("server", pinned(0, [program("pingpong"), "serve", str(ECHO)]))
    wait_for_listener(field.net, "server", ECHO, process)


def compare(field: Ground, plan: Plan, names: Sequence[str], part: float = 1.0) -> Comparison:
    """Measure the subjects by turns."""
    count = QUICK_COUNT if plan.quick else COUNT

    def turn(name: str) -> Figures:
        return ask(field, name, count)

    return by_turns(plan, names, turn, 1 if plan.quick else ROUNDS, part)


def ask(field: Ground, name: str, count: int) -> Figures:
    """Exchange messages through a subject; Disturbed if one had no answer."""
    words = [program("pingpong"), "ask", field.target(name), str(ECHO), str(count)]
    done = field.net.run("client", pinned(0, words), check=False)
    found = re.search(r"p50 ([\d.]+) p90 [\d.]+ p99 ([\d.]+)", done.stdout)
    if found is None:
        raise Disturbed(done.stderr.strip())
    return {"p50": float(found[1]), "p99": float(found[2])}
