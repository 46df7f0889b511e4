"""Looking the connection of a packet up, among 1,000 and among up to 10,000,000 of them.

Few and many take turns in one process; its CPU time counts (`bench/lookup.py`).  `lbfast` has huge
pages where the kernel gives any, `lbfast-4k-pages` has none.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import partial

from bench.lookup import FEW, measured
from bench.others import beside
from bench.plan import Plan
from bench.rows import Row, interval, marked

NAME = "lookup"
SECONDS, QUICK_SECONDS = 25.0, 6.0
SUBJECTS = {"lbfast": True, "lbfast-4k-pages": False}  # whether huge pages are allowed
SIZES, QUICK_SIZES = {100_000: 2.0, 1_000_000: 4.0, 10_000_000: 8.0}, {100_000: 2.0}  # s each
ROUNDS, QUICK_ROUNDS = 25, 6


def run(plan: Plan) -> Iterator[Row]:
    """Yield nanoseconds a look-up for each size; the largest last, as far as the time goes."""
    rounds = QUICK_ROUNDS if plan.quick else ROUNDS
    for size, seconds in (QUICK_SIZES if plan.quick else SIZES).items():
        for subject, huge in SUBJECTS.items():
            if not plan.wants(subject) or not plan.allows(seconds, f"{subject}, {size:,}"):
                continue
            pairs, others = beside(partial(measured, size, rounds, huge=huge))
            if size == min(SIZES):
                yield marked(row(subject, FEW, [few for few, _ in pairs]), others)
            ratio = statistics.median(many / few for few, many in pairs)
            remark = f"{ratio:.2f} times what it takes among {FEW:,}, by turns"
            yield marked(row(subject, size, [many for _, many in pairs], remark), others)


def row(subject: str, connections: int, times_ns: Sequence[float], remark: str = "") -> Row:
    """Return the row of one size."""
    found = interval(times_ns)
    return Row(
        work=NAME,
        case=f"{connections:,} connections",
        subject=subject,
        metric="lookup",
        unit="ns",
        median=found.median,
        low=found.low,
        high=found.high,
        rounds=len(times_ns),
        method="nat",
        family=4,
        remark=remark,
    )
