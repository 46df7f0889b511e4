"""A lone UDP request and its response, both through the forwarder: alone, and under half a load.

NAT beside the reflector.  Half a load is half of the frames a second that come through the
reflector while requests are made (on two cores the generator shares one with both ends of them,
and limits it), offered to either way by a generator that sleeps between bursts.  Everything that
is measured runs under SCHED_FIFO: the slices of other jobs are longer than a round trip.  TCP
request and response beside the other balancers are the work `pingpong`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.lab import CLIENT, DISCARD, ECHO, MIRRORED, SERVER, VIP, Lab, lab, urgent
from bench.plan import Plan
from bench.program import pinned, program
from bench.prove_speed import Disturbed, latencies, serve_discard
from bench.rows import Head, Rounds, Row
from bench.say import say
from netns.process import Process

NAME = "latency"
SECONDS, QUICK_SECONDS = 30.0, 9.0
LIMIT = "reflector"
WAYS = {LIMIT: ("r0", MIRRORED), "lbfast-nat": ("l0", VIP)}
FLOWS, NAP_US, LOADED_S = 1000, 200, 30
SETTLE_S = 2.0  # a load that lasts so long is taken in batches: forwarders then sleep by the clock
MOST_PPS, ARRIVED = 500_000, 0.8  # of the load; else it was no half load
ROUNDS, QUICK_ROUNDS = 15, 2
PINGS, LOADED_PINGS, QUICK_PINGS = 2000, 500, 300
MEASURES = {"p50": 0, "p99": 1}
Comparison = dict[str, Rounds]  # by measure


@dataclass(slots=True)
class Arrived:
    """What came of a load."""

    pps: float = 0


@contextmanager
def loaded(net: Lab, way: str, pps: int) -> Iterator[Arrived]:
    """Offer a load to one way meanwhile; yield what will then say how much of it arrived."""
    words = [program("generate"), "flood", way, str(pps), str(LOADED_S), str(FLOWS)]
    words += [f"dst={net.mac}", f"src={CLIENT}", f"to={VIP}:{DISCARD}", f"nap={NAP_US}"]
    generator: Process = net.net.start("client", pinned(0, words), "load")
    before = net.received(way)
    while net.received(way) < before + pps // 20:
        if not generator.alive():
            raise RuntimeError(f"the load ended: {generator.stderr()}")
    began, before, load = time.monotonic(), net.received(way), Arrived()
    yield load
    load.pps = (net.received(way) - before) / (time.monotonic() - began)
    generator.kill()


def half_load(net: Lab) -> int:
    """Return half of the frames a second that the reflector's way carries at most meanwhile."""
    way, target = WAYS[LIMIT]
    with loaded(net, way, MOST_PPS) as load:
        latencies(net, target, PINGS)
    return int(load.pps / 2)


def turn(net: Lab, way: str, target: str, pps: int, pings: int) -> tuple[float, float] | None:
    """Return p50 and p99 of one turn in microseconds; None if no request was answered."""
    try:
        if not pps:
            return latencies(net, target, pings)
        with loaded(net, way, pps) as load:
            found = latencies(net, target, pings)
        if load.pps < ARRIVED * pps:
            raise Disturbed(f"{way}: {load.pps:,.0f} of {pps:,} frames/s arrived")
        return found
    except Disturbed as sentence:
        say(f"  disturbed: {sentence}")
        return None


def settle(net: Lab, way: str, target: str, pps: int, pings: int) -> None:
    """Make requests until the forwarder has found its way to wait for frames."""
    if not pps:
        latencies(net, target, pings)
        return
    with loaded(net, way, pps):
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            latencies(net, target, pings)


def compare(net: Lab, plan: Plan, pps: int, part: float) -> Comparison:
    """Let both ways take turns, in an order left to chance, after requests that do not count."""
    found = {measure: Rounds() for measure in MEASURES}
    pings = QUICK_PINGS if plan.quick else LOADED_PINGS if pps else PINGS
    for way, target in WAYS.values():
        settle(net, way, target, pps, pings)
    for _ in plan.rounds(QUICK_ROUNDS if plan.quick else ROUNDS, part):
        names = plan.order.sample(list(WAYS), len(WAYS))
        taken = {
            name: plan.quiet.take(name, partial(turn, net, *WAYS[name], pps, pings))
            for name in names
        }
        others = {name: cores for name, (_, cores) in taken.items()}
        for measure, at in MEASURES.items():
            found[measure].add({n: f[at] if (f := taken[n][0]) else None for n in WAYS}, others)
    return found


def run(plan: Plan) -> Iterator[Row]:
    """Yield p50 and p99 of both ways, without a load and with half a load."""
    with lab(at_once=True) as net:
        net.ipvsadm(f"-A -u {VIP}:{ECHO} -s rr")
        net.ipvsadm(f"-a -u {VIP}:{ECHO} -r {SERVER}:{ECHO} -m")
        serve_discard(net)
        words = urgent([program("generate"), "echo", str(ECHO)])
        net.net.start("server", pinned(0, words), "echo")
        half = half_load(net)
        busy = f"half a load, {half // 1000},000 frames/s"
        cases = {"a lone request": (0, 0.4), busy: (half, 1.0)}
        for text, (pps, part) in cases.items():
            say(f"-- {text}")
            for measure, rounds in compare(net, plan, pps, part).items():
                head = Head(NAME, text, measure, "us", 4)
                yield from plan.rows(rounds, head, {"lbfast-nat": "nat"})
