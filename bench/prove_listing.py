"""Claim on listing: a million connections can be listed while the director forwards."""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.cpu import process_s
from bench.lab import RUN, Lab, lab, result, wait_until_still
from bench.prove_speed import DISTURBED, LOST, Disturbed, serve_discard
from bench.rows import median_interval
from bench.say import say
from lbfast.selfcall import COMMAND, environment
from netns.process import Process

CONNECTIONS = 1_000_000
PAIRS = 15
PPS, LOAD_S, FLOWS = 100_000, 0.5, 1000
ALLOWED = 1.05  # a median ratio above this can be told from the scatter of the pairs
MEMORY_MIB, LIST_S = 4, 10


LISTING = " ".join((*COMMAND, "ipvsadm", "-Lnc"))


def start_listing(net: Lab) -> Process:
    """Start a listing that nobody keeps: it begins and ends within the load."""
    words = ["sh", "-c", f"{LISTING} > /dev/null && echo listed"]
    return net.net.start("director", words, "listing", environment())


def cost_us(net: Lab, listed: bool) -> float:
    """Return the director's CPU time for each frame of one load, in microseconds, while its table
    is listed or not."""
    before = wait_until_still(net, "l0")
    listing = start_listing(net) if listed else None
    spent = process_s(net.director.pid)
    sent = net.flood("l0", PPS, LOAD_S, FLOWS)
    after = wait_until_still(net, "l0")
    spent = process_s(net.director.pid) - spent
    if listing is not None:
        listing.wait_for_line("listed", 60)
    if after - before < sent * (1 - LOST):
        raise Disturbed(f"{'listed' if listed else 'alone'}: {sent} sent, {after - before} came")
    return spent * 1e6 / (after - before)


def resident_mib(process: Process) -> float:
    """Return the anonymous memory of a process: what it holds beside its arena."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def list_all(net: Lab) -> tuple[int, float]:
    """Return how many connections a whole listing shows, and how long it takes."""
    began = time.monotonic()
    words = ["sh", "-c", f"{LISTING} | wc -l"]
    done = net.net.run("director", words, timeout_s=600, environment=environment())
    return int(done.stdout) - 2, time.monotonic() - began


def listing_a_million() -> Iterator[dict[str, object]]:
    """CPU time a frame with and without `ipvsadm -Lnc` at work, by turns; frames lost by either
    make a pair void, and as many void pairs as pairs fail the claim."""
    with lab(left=[*RUN, "--connections", str(1 << 21)]) as net:
        serve_discard(net)
        net.ipvsadm("--set 0 0 3600")
        net.flood("l0", PPS, 2.5 * CONNECTIONS / PPS, CONNECTIONS)
        wait_until_still(net, "l0")
        before = resident_mib(net.director)
        rows, seconds = list_all(net)
        grown = resident_mib(net.director) - before
        say(f"{rows} rows in {seconds:.1f} s, {grown:.1f} MiB more")
        ratios, lost = measured(net)
    low, high = median_interval(ratios)
    ratio = statistics.median(ratios)
    ok = ratio <= ALLOWED or low <= 1
    fits = rows >= CONNECTIONS * 0.99 and seconds <= LIST_S and grown <= MEMORY_MIB
    yield result(
        "listing-a-million",
        ratio,
        "ratio",
        f"<= {ALLOWED}, {LIST_S} s, {MEMORY_MIB} MiB",
        "the same director without a listing, same run",
        ok and fits and lost <= DISTURBED,
        interval95=[round(low, 3), round(high, 3)],
        pairs=len(ratios),
        lost_pairs=lost,
        rows=rows,
        list_s=round(seconds, 1),
        daemon_grew_mib=round(grown, 1),
        load=f"{PPS} frames/s of 60 bytes for {LOAD_S} s, {FLOWS} flows",
    )


def measured(net: Lab) -> tuple[list[float], int]:
    """Return the ratio of each pair, and how many pairs lost frames."""
    order, ratios, lost = random.Random(1), list[float](), 0
    while len(ratios) < PAIRS and lost <= DISTURBED:
        turns = [True, False]
        order.shuffle(turns)
        try:
            costs = {listed: cost_us(net, listed) for listed in turns}
        except Disturbed as sentence:
            lost += 1
            say(f"again: {sentence}")
            continue
        ratios.append(costs[True] / costs[False])
    return ratios, lost


CLAIMS = {"listing-a-million": listing_a_million}
