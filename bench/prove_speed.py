"""Claims on speed: a lone packet's latency, the reflector's own cost.

Every figure is a ratio to the project's reflector (or its yardstick), taken in the same run by
turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import os
import random
import re
import statistics
from collections.abc import Iterator

from bench.cpu import process_s
from bench.lab import (
    DISCARD,
    ECHO,
    FOREVER_S,
    MIRRORED,
    REFLECT,
    SERVER,
    VIP,
    Lab,
    lab,
    result,
    urgent,
    wait_until_still,
)
from bench.program import pinned, program
from bench.rows import median_interval, spread
from bench.say import say

PAIRS = 25
PPS, LOAD_S, FLOWS = 100_000, 0.5, 1000
LOST = 0.01  # a run that lost more than this was disturbed, and is taken again
DISTURBED = 10  # so many may be taken again
ROUNDS, PINGS, LATENCY_BOUND = 15, 2000, 1.3
WAYS = ("l0", "r0")


class Disturbed(Exception):
    """A run in which frames were lost."""


def cost_us(net: Lab, way: str) -> float:
    """Return the forwarder's CPU time for each frame of one load, in microseconds."""
    before = wait_until_still(net, way)
    spent = process_s(net.forwarder(way).pid)
    sent = net.flood(way, PPS, LOAD_S, FLOWS)
    after = wait_until_still(net, way)
    spent = process_s(net.forwarder(way).pid) - spent
    if after - before < sent * (1 - LOST):
        raise Disturbed(f"{way}: {sent} sent, {after - before} received")
    return spent * 1e6 / (after - before)


def pairs(net: Lab, count: int = PAIRS) -> Iterator[tuple[float, float]]:
    """Yield the costs of director and reflector, who goes first being left to chance."""
    order, disturbed = random.Random(1), 0
    while count:
        ways = list(WAYS)
        order.shuffle(ways)
        try:
            costs = {way: cost_us(net, way) for way in ways}
        except Disturbed as sentence:
            disturbed += 1
            say(f"again: {sentence}")
            if disturbed > DISTURBED:
                raise
            continue
        count -= 1
        yield costs["l0"], costs["r0"]


def compare(net: Lab) -> tuple[float, dict[str, object]]:
    """Return the median ratio of the costs, and what belongs to it."""
    costs = list(pairs(net))
    ratios = [mine / other for mine, other in costs]
    low, high = median_interval(ratios)
    return statistics.median(ratios), {
        "interval95": [round(low, 3), round(high, 3)],
        "us_min_median_max": spread([mine for mine, _ in costs]),
        "peer_us_min_median_max": spread([other for _, other in costs]),
        "pairs": len(costs),
        "load": f"{PPS} frames/s of 60 bytes for {LOAD_S} s, {FLOWS} flows",
    }


def serve_discard(net: Lab) -> None:
    net.ipvsadm(f"-A -u {VIP}:{DISCARD} -s rr")
    net.ipvsadm(f"-a -u {VIP}:{DISCARD} -r {SERVER}:{DISCARD} -g")


def reflector_vs_yardstick() -> Iterator[dict[str, object]]:
    """The project's reflector beside one with TPACKET_V3 and 1 ms blocks, or beside the program
    that LBFAST_YARDSTICK names, which is started as PROGRAM in0 out0 [options] SECONDS."""
    named = os.environ.get("LBFAST_YARDSTICK")
    other = [program("ringlab"), "in0", "out0", str(FOREVER_S), "rx=v3"]
    if named:
        file, *options = named.split()
        other = [file, "in0", "out0", *options, str(FOREVER_S)]
    with lab(left=REFLECT, right=other) as net:
        ratio, more = compare(net)
    peer = named or "bench/ringlab.c rx=v3"
    low = more["interval95"][0]  # type: ignore[index]
    yield result("reflector-vs-yardstick", ratio, "ratio", "<= 1", peer, low <= 1, **more)


def latencies(net: Lab, target: str, pings: int = PINGS) -> tuple[float, float]:
    """Return p50 and p99 of UDP request and response, in microseconds."""
    words = [program("generate"), "ping", target, str(ECHO), str(pings)]
    out = net.net.run("client", pinned(0, urgent(words)), check=False).stdout
    found = re.search(r"p50 ([\d.]+) p90 [\d.]+ p99 ([\d.]+)", out)
    if found is None:
        raise Disturbed(out)
    return float(found[1]), float(found[2])


def lone_packet() -> Iterator[dict[str, object]]:
    """Request and response both pass the forwarder: by NAT, and by the reflector."""
    with lab(at_once=True) as net:
        net.ipvsadm(f"-A -u {VIP}:{ECHO} -s rr")
        net.ipvsadm(f"-a -u {VIP}:{ECHO} -r {SERVER}:{ECHO} -m")
        net.net.start(
            "server", pinned(0, urgent([program("generate"), "echo", str(ECHO)])), "echo"
        )
        rounds = [(latencies(net, VIP), latencies(net, MIRRORED)) for _ in range(ROUNDS)]
    ratios = [statistics.median(mine[k] / other[k] for mine, other in rounds) for k in (0, 1)]
    tail = min(mine[1] - mine[0] for mine, _ in rounds)  # a step of the forwarder is in each round
    peer_tail = min(other[1] - other[0] for _, other in rounds)
    yield result(
        "lone-packet-latency",
        ratios[0],
        "ratio",
        f"p50 and p99 <= {LATENCY_BOUND}, p99 - p50 < 1000 us",
        "lbfast bench reflector, same run",
        max(ratios) <= LATENCY_BOUND and tail < 1000,
        p99_ratio=round(ratios[1], 3),
        p50_us=spread([mine[0] for mine, _ in rounds]),
        peer_p50_us=spread([other[0] for _, other in rounds]),
        p99_us=spread([mine[1] for mine, _ in rounds]),
        peer_p99_us=spread([other[1] for _, other in rounds]),
        tail_us=round(tail, 1),
        peer_tail_us=round(peer_tail, 1),
    )


CLAIMS = {
    "lone-packet-latency": lone_packet,
    "reflector-vs-yardstick": reflector_vs_yardstick,
}
