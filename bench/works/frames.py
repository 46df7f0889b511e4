"""Frames of established flows, at a load held by the clock: what forwarding one costs.

`cpu`: the subject's own processes, beside the reflector, generator spinning, a frame at a time.
`cost of balancing`: the whole machine less the same without a balancer, generator asleep between
bursts; so kernel peers, which have no process, are in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.costs import Case, machine_rows, own_rows, present
from bench.flood import Load, flood_range
from bench.plan import Plan
from bench.rows import Row

NAME = "frames"
SECONDS, QUICK_SECONDS = 275.0, 16.0
METHODS = ("lbfast-dr", "lbfast-nat", "lbfast-tun", "lbfast-fullnat")
BOTH = METHODS[:2]
OWN, ALL = ("reflector", *METHODS), ("reflector", *BOTH)
PEERS = ("none", "forward", *METHODS[:3], "nft-forward", "nft-dnat", "ipvs-dr", "ipvs-nat")
SUBJECTS = tuple(dict.fromkeys((*OWN, *PEERS)))
MACHINE_LOAD = Load(seconds=0.8, nap_us=1000)


CASES = (
    Case("60 bytes, 1,000 flows", Load(), OWN, 25, 0.4),
    Case("60 bytes, 1 flow", Load(flows=1), OWN, 8, 0.2),
    Case("62 bytes, 1,000 flows", Load(family=6), OWN, 8, 0.25),
    Case("9:1 of 60 and 1,514 bytes, 1,000 flows", Load(is_mix=True), ALL, 10, 0.25),
    Case("60 bytes, 1,000 flows, partial checksums", Load(is_partial=True), OWN, 8, 0.3),
)
MACHINE = Case("60 bytes, 1,000 flows", MACHINE_LOAD, PEERS, 10, 0.5)
MANY = Case("60 bytes, 1,000,000 flows", Load(flows=1_000_000), OWN[:4], 25, 1.0)
QUICK = (
    Case("60 bytes, 1,000 flows", Load(seconds=0.25), ALL, 3, 0.6),
    Case("60 bytes, 1,000 flows", Load(seconds=0.4, nap_us=1000), ("none", "lbfast-dr"), 2, 1.0),
)
CHOSEN = (replace(QUICK[0], subjects=OWN), replace(QUICK[1], subjects=PEERS))  # asked for by name


def run(plan: Plan) -> Iterator[Row]:
    """Yield all rows; a million flows come last, for they fill the tables."""
    quick = CHOSEN if plan.only else QUICK
    cases = quick[:1] if plan.quick else CASES
    machine = quick[1] if plan.quick else MACHINE
    found = present(plan, (*cases, machine))
    with flood_range(found, left_out=plan.left_out) as made:
        for case in cases:
            yield from own_rows(NAME, made, case, plan)
        if plan.quick or plan.allows(30, "the whole machine"):
            yield from machine_rows(NAME, made, machine, plan)
        if not plan.quick and plan.allows(60, MANY.text):
            yield from own_rows(NAME, made, MANY, plan)
