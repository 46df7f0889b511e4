"""Memory that a connection takes: arena, what is derived from it and page tables, together.

Counted is what the connections added (`bench/memory.py`), once: the same table takes the same
again.  `lbfast` has huge pages where the kernel gives any, `lbfast-4k-pages` has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.memory import Held, held
from bench.plan import Plan
from bench.rows import Row

NAME = "memory"
SECONDS, QUICK_SECONDS = 20.0, 4.0
SUBJECTS = {"lbfast": True, "lbfast-4k-pages": False}  # whether huge pages are allowed
SIZES, QUICK_SIZES = {100_000: 2.0, 1_000_000: 4.0, 10_000_000: 15.0}, {100_000: 2.0}  # s each


def run(plan: Plan) -> Iterator[Row]:
    """Yield bytes a connection for each size; the largest last, as far as the time goes."""
    for size, seconds in (QUICK_SIZES if plan.quick else SIZES).items():
        for subject, huge in SUBJECTS.items():
            if not plan.wants(subject) or not plan.allows(seconds, f"{subject}, {size:,}"):
                continue
            with held(size, huge=huge) as (_, what):
                yield row(subject, what)


def row(subject: str, what: Held) -> Row:
    """Return the row of one table."""
    each = what.grew / what.connections
    return Row(
        work=NAME,
        case=f"{what.connections:,} connections",
        subject=subject,
        metric="memory",
        unit="bytes",
        median=each,
        low=each,
        high=each,
        rounds=1,
        method="nat",
        family=4,
        remark=f"{what.huge / 2**20:,.0f} of {what.arena / 2**20:,.0f} MiB are in huge pages",
    )
