"""One TCP flow by iperf3, from the client to the server, every offload on at every interface.

The data goes the way that passes the director with every method; nobody is held to a core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from bench.cpu import reading, spent
from bench.ground import Ground, ground
from bench.plan import Plan
from bench.rows import Head, Row
from bench.subjects import SUBJECTS as EVERYBODY
from bench.subjects.base import IPERF
from bench.turns import Comparison, Disturbed, Figures, by_turns, present, rows_of
from netns.web import wait_for_listener

NAME = "bulk"
SECONDS, QUICK_SECONDS = 235.0, 13.0
SUBJECTS = tuple(EVERYBODY)
ROUNDS, TURN_S, QUICK_TURN_S = 11, 2, 1
CASE = "one flow, offloads on"
UNITS = {"rate": "Gb/s", "CPU": "s/GB"}
NOT_V6 = ("haproxy", "nginx-stream")  # to leave the time to those whose path it is


def run(plan: Plan) -> Iterator[Row]:
    """Yield rate and CPU time of the whole machine, over IPv4 and over IPv6."""
    names = present(plan)
    with ground(names, offloads=True, left_out=plan.left_out) as field:
        names = list(field.names)
        start_sink(field)
        found = compare(field, plan, names, 4, 0.6)
        yield from rows_of(plan, names, found, UNITS, Head(NAME, CASE, "", "", 4))
        if not plan.quick:
            names = [name for name in names if name not in NOT_V6]
            found = compare(field, plan, names, 6)
            yield from rows_of(plan, names, found, UNITS, Head(NAME, CASE, "", "", 6))


def start_sink(field: Ground) -> None:
    """Start iperf3 in the server."""
    process = field.net.start("server", ["iperf3", "-s"])
    wait_for_listener(field.net, "server", IPERF, process)


def compare(
    field: Ground, plan: Plan, names: Sequence[str], family: int, part: float = 1.0
) -> Comparison:
    """Measure the subjects by turns."""
    seconds = QUICK_TURN_S if plan.quick else TURN_S

    def turn(name: str) -> Figures:
        return flow(field, name, family, seconds)

    return by_turns(plan, names, turn, 1 if plan.quick else ROUNDS, part)


def flow(field: Ground, name: str, family: int, seconds: int) -> Figures:
    """Send one flow through a subject; Disturbed with iperf3's words if it fails."""
    words = ["iperf3", "-c", field.target(name, family), "-t", str(seconds), "-J"]
    before = reading()
    done = field.net.run("client", words, check=False, timeout_s=seconds + 30)
    machine_s = spent(before, reading()).machine_s
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise Disturbed(f"iperf3: {done.stderr.strip() or done.stdout.strip()}") from None
    if "error" in report:
        raise Disturbed(f"iperf3: {report['error']}")
    received = report["end"]["sum_received"]
    if not received["bytes"]:
        raise Disturbed("iperf3: nothing arrived")
    return {
        "rate": received["bits_per_second"] / 1e9,
        "CPU": machine_s * 1e9 / received["bytes"],
    }
