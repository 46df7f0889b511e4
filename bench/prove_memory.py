"""Claims on memory: what a connection takes, what it costs to find one among ten million, and
that ten million are held, taken over by another process and listed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.lab import result
from bench.lookup import FEW, PACKETS, measured
from bench.memory import held, listed
from bench.rows import median_interval

MANY = 10_000_000
HELD = 1_000_000
ROUNDS = 25
BYTES = 128
LIST_US = 2.0
MEMORY_MIB = 4


def memory_per_connection() -> Iterator[dict[str, object]]:
    """Everything counted: arena, what is derived from it, page tables."""
    for huge in (True, False):
        with held(HELD, huge=huge) as (_, what):
            each = what.grew / HELD
        yield result(
            "memory-per-connection",
            each,
            "bytes",
            f"<= {BYTES}",
            "the same director before the first connection",
            each <= BYTES,
            pages="huge" if huge else "4 KiB",
            connections=HELD,
            total_mib=round(what.total / 2**20, 1),
            arena_mib=round(what.arena / 2**20, 1),
            arena_huge_mib=round(what.huge / 2**20, 1),
        )


def lookup_ten_million() -> Iterator[dict[str, object]]:
    """CPU time of a look-up in batches of 64, among 10^7 beside among 10^3, by turns."""
    for huge, bound in ((True, 3.0), (False, 6.0)):
        pairs = measured(MANY, ROUNDS, huge=huge)
        ratios = [many / few for few, many in pairs]
        low, high = median_interval(ratios)
        ratio = statistics.median(ratios)
        yield result(
            "lookup-ten-million",
            ratio,
            "ratio",
            f"<= {bound:g}",
            f"the same among {FEW}",
            ratio <= bound,
            pages="huge" if huge else "4 KiB",
            interval95=[round(low, 3), round(high, 3)],
            few_ns=round(statistics.median(few for few, _ in pairs), 1),
            many_ns=round(statistics.median(many for _, many in pairs), 1),
            rounds=f"{ROUNDS} of {PACKETS} packets",
        )


def ten_million_listed() -> Iterator[dict[str, object]]:
    """A killed director's ten million, taken over and listed by `ipvsadm -Lnc`."""
    with held(MANY) as (name, what):
        found = listed(name, MANY)
    each, grew = found.cpu_s / MANY * 1e6, found.grew / 2**20
    yield result(
        "ten-million-listed",
        each,
        "us of CPU a row",
        f"<= {LIST_US:g}, all rows, {MEMORY_MIB} MiB",
        "none",
        each <= LIST_US and found.rows == MANY and grew <= MEMORY_MIB,
        rows=found.rows,
        list_s=round(found.seconds, 1),
        attach_s=round(found.attach_s, 1),
        director_grew_mib=round(grew, 1),
        bytes_each=round(what.grew / MANY, 1),
        arena_mib=round(what.arena / 2**20, 1),
        arena_huge_mib=round(what.huge / 2**20, 1),
    )


CLAIMS = {
    "memory-per-connection": memory_per_connection,
    "lookup-ten-million": lookup_ten_million,
    "ten-million-listed": ten_million_listed,
}
TIMELESS = ("memory-per-connection",)
