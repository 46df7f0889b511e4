"""Claim on schedulers: choosing among 10,000 real servers costs little more than among 10."""

from __future__ import annotations

from collections.abc import Iterator

from bench.lab import result
from bench.schedulers import BUILT_IN, measure

FEW, MANY, BOUND = 10, 10_000, 2.0


def scheduler_growth() -> Iterator[dict[str, object]]:
    """Instructions a new connection at 10,000 servers over those at 10, for each built-in one."""
    for name, row in measure(BUILT_IN, (FEW, MANY)).items():
        value = round(row[MANY] / row[FEW], 3)
        yield result(
            "scheduler-growth", value, "times", f"<= {BOUND:g}", f"{name} at {FEW} servers",
            value <= BOUND, scheduler=name, few=row[FEW], many=row[MANY],
        )  # fmt: skip


CLAIMS = {"scheduler-growth": scheduler_growth}
TIMELESS = tuple(CLAIMS)
