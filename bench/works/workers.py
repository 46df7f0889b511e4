"""Frames by two workers beside one: what splitting a load over them costs.

The workers have the cores that the generator leaves: on a machine with two cores they share one.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.costs import Case, own_rows, present
from bench.flood import Load, flood_range
from bench.plan import Plan
from bench.rows import Row

NAME = "workers"
SECONDS, QUICK_SECONDS = 50.0, 6.0
SUBJECTS = ("reflector", "lbfast-dr", "lbfast-dr-2w", "lbfast-nat", "lbfast-nat-2w")
CASE = Case("60 bytes, 1,000 flows", Load(), SUBJECTS, 15)
QUICK = Case("60 bytes, 1,000 flows", Load(seconds=0.25), SUBJECTS[:3], 2)


def run(plan: Plan) -> Iterator[Row]:
    case = QUICK if plan.quick else CASE
    with flood_range(present(plan, (case,)), left_out=plan.left_out) as made:
        yield from own_rows(NAME, made, case, plan)
