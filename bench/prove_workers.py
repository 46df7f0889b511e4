"""Claims on several workers: CPU time a frame by two beside one, and what idle ones cost.

Both directors exist at once and are given the same load by turns.  Both workers share the core of
the one, as the generator has the other: this shows what splitting a load costs, not what a second
core brings.  The program that spreads the frames runs with the kernel's receiving, in whose CPU
time a veth's frames arrive (the sender's), and is not in these figures.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.cpu import NS_PER_S, process_s
from bench.lab import RUN, Lab, lab, result
from bench.prove_speed import DISTURBED, FLOWS, LOAD_S, PPS, Disturbed, cost_us, serve_discard
from bench.rows import median_interval, spread
from bench.say import say
from lbfast.selfcall import COMMAND, environment

PAIRS, COST_BOUND = 25, 1.25
IDLE_S, IDLE_BOUND, MANY = 10, 0.01, 4
BUSY_S = 5.0


def by_workers(count: int) -> tuple[str, ...]:
    return (*RUN, "--workers", str(count))


def handed_over(net: Lab) -> int:
    """Return how many packets one worker of the director had to hand to another."""
    words = [*COMMAND, "counters"]
    said = net.net.run("director", words, environment=environment()).stdout
    rows = (line.rsplit(None, 1) for line in said.splitlines())
    return next(int(n) for name, n in rows if name.split() == ["packets", "handed", "over"])


def pairs(one: Lab, two: Lab) -> Iterator[tuple[float, float]]:
    """Yield the costs of a frame by one worker and by two; who goes first is left to chance."""
    order, count, disturbed = random.Random(1), 0, 0
    while count < PAIRS:
        nets = [(0, one), (1, two)]
        order.shuffle(nets)
        try:
            costs = dict((at, cost_us(net, "l0")) for at, net in nets)
        except Disturbed as sentence:
            disturbed += 1
            say(f"again: {sentence}")
            if disturbed > DISTURBED:
                raise
            continue
        count += 1
        yield costs[0], costs[1]


def two_workers_cpu() -> Iterator[dict[str, object]]:
    """CPU time a frame by DR through one interface, the flows spread over two workers."""
    with lab() as one, lab(left=by_workers(2)) as two:
        for net in (one, two):
            serve_discard(net)
            net.flood("l0", PPS, LOAD_S, FLOWS)
        costs = list(pairs(one, two))
        handed = handed_over(two)
    ratios = [mine / single for single, mine in costs]
    low, high = median_interval(ratios)
    yield result(
        "two-workers-cpu",
        statistics.median(ratios),
        "ratio",
        f"upper end of the interval <= {COST_BOUND}, none handed over",
        "one worker, same run",
        high <= COST_BOUND and handed == 0,
        interval95=[round(low, 3), round(high, 3)],
        us_min_median_max=spread([mine for _, mine in costs]),
        peer_us_min_median_max=spread([single for single, _ in costs]),
        pairs=len(costs),
        handed_over=handed,
        load=f"{PPS} frames/s of 60 bytes for {LOAD_S} s, {FLOWS} flows",
    )


def threads_s(pid: int) -> dict[str, float]:
    """Return the CPU seconds of each thread of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {t.name: int((t / "schedstat").read_text().split()[0]) / NS_PER_S for t in tasks}


def idle_cpu() -> Iterator[dict[str, object]]:
    """The whole daemon without a frame, and its other threads while one worker is busy."""
    with lab(left=by_workers(MANY)) as net:
        serve_discard(net)
        net.flood("l0", PPS, LOAD_S, FLOWS)
        spent, began = process_s(net.director.pid), time.monotonic()
        time.sleep(IDLE_S)
        share = (process_s(net.director.pid) - spent) / (time.monotonic() - began)
        before = threads_s(net.director.pid)
        net.flood("l0", PPS, BUSY_S, 1)
        after = threads_s(net.director.pid)
    grown = sorted(after[name] - before.get(name, 0.0) for name in after)
    bound, peer = f"< {IDLE_BOUND} of a core", f"{MANY} workers"
    yield result("idle-cpu", share, "cores", bound, f"{peer}, no load", share < IDLE_BOUND)
    others = sum(grown[:-1]) / BUSY_S
    yield result(
        "idle-cpu",
        others,
        "cores",
        bound,
        f"{peer}, one flow: all threads but the busiest",
        others < IDLE_BOUND,
        busiest=round(grown[-1] / BUSY_S, 3),
    )


CLAIMS = {"two-workers-cpu": two_workers_cpu, "idle-cpu": idle_cpu}
