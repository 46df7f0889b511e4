"""Frames of established flows, at a load held by the clock: what forwarding one costs.

`cpu`: the subject's own processes, beside the reflector, generator spinning, a frame at a time.
`cost of balancing`: the whole machine less the same without a balancer, generator asleep between
bursts; so kernel peers, which have no process, are in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.flood import Load, Range, Turn, flood_range, machine_costs, note_losses, own_costs
from bench.plan import Plan
from bench.rows import Head, Rounds, Row
from bench.say import say
from bench.subjects import EVERY, available

NAME = "frames"
SECONDS, QUICK_SECONDS = 300.0, 24.0
METHODS = ("lbfast-dr", "lbfast-nat", "lbfast-tun", "lbfast-fullnat")
BOTH = METHODS[:2]
OWN, ALL = ("reflector", *METHODS), ("reflector", *BOTH)
PEERS = ("none", "forward", *METHODS[:3], "nft-forward", "nft-dnat", "ipvs-dr", "ipvs-nat")
MACHINE_LOAD = Load(seconds=0.8, nap_us=1000)


@dataclass(frozen=True, slots=True)
class Case:
    """A load, and who gets it."""

    text: str
    load: Load
    subjects: Sequence[str]
    rounds: int
    part: float  # of the time left when it begins


CASES = (
    Case("60 bytes, 1,000 flows", Load(), OWN, 25, 0.4),
    Case("60 bytes, 1 flow", Load(flows=1), OWN, 8, 0.2),
    Case("62 bytes, 1,000 flows", Load(family=6), OWN, 8, 0.25),
    Case("9:1 of 60 and 1,514 bytes, 1,000 flows", Load(is_mix=True), ALL, 10, 0.25),
    Case("60 bytes, 1,000 flows, partial checksums", Load(is_partial=True), OWN, 8, 0.3),
)
MACHINE = Case("60 bytes, 1,000 flows", MACHINE_LOAD, PEERS, 10, 0.5)
MANY = Case("60 bytes, 1,000,000 flows", Load(flows=1_000_000), ALL, 25, 1.0)
QUICK = (
    Case("60 bytes, 1,000 flows", Load(seconds=0.25), ALL, 3, 0.6),
    Case("60 bytes, 1,000 flows", Load(seconds=0.4, nap_us=1000), ("none", "lbfast-dr"), 2, 1.0),
)


def compare(
    made: Range, case: Case, plan: Plan, cost: Callable[[dict[str, Turn]], dict[str, float | None]]
) -> Rounds:
    """Let the subjects of a case take turns; the first, in which connections are made, does not
    count."""
    names = [name for name in case.subjects if name in made.macs]
    for name in names:
        made.fill(name, case.load)
    rounds, order = Rounds(), random.Random(case.text)
    lost: dict[str, list[float]] = {}
    for _ in plan.rounds(case.rounds, case.part):
        turns = made.round(names, case.load, order)
        note_losses(rounds, turns, lost)
        rounds.add(cost(turns))
    for name in names:
        if not rounds.values(name):
            plan.left_out.append(f"{case.text}: {name}: every turn lost frames")
    return rounds


def methods(names: Sequence[str]) -> dict[str, str]:
    return {name: EVERY[name].method for name in names}


def own_rows(made: Range, case: Case, plan: Plan) -> Iterator[Row]:
    """Yield the CPU time of own processes a frame."""
    say(f"-- {case.text}, own processes")
    rounds = compare(made, case, plan, own_costs)
    head = Head(NAME, case.text, "cpu", "us/frame", case.load.family)
    yield from rounds.rows(head, methods(case.subjects))


def machine_rows(made: Range, case: Case, plan: Plan) -> Iterator[Row]:
    """Yield the CPU time of the machine a frame, and what of it is the balancing."""
    say(f"-- {case.text}, the whole machine")
    rounds = compare(made, case, plan, machine_costs)
    named = methods(case.subjects)
    yield from rounds.rows(Head(NAME, case.text, "machine cpu", "us/frame", 4), named)
    cost = rounds.less("none")
    yield from cost.rows(Head(NAME, case.text, "cost of balancing", "us/frame", 4), named)


def run(plan: Plan) -> Iterator[Row]:
    """Yield all rows; a million flows come last, for they fill the tables."""
    cases = QUICK[:1] if plan.quick else CASES
    machine = QUICK[1] if plan.quick else MACHINE
    wanted = dict.fromkeys(name for case in (*cases, machine) for name in case.subjects)
    found, absent = available(tuple(name for name in wanted if plan.wants(name)))
    plan.left_out.extend(absent)
    with flood_range(found) as made:
        for case in cases:
            yield from own_rows(made, case, plan)
        if plan.quick or plan.allows(30, "the whole machine"):
            yield from machine_rows(made, machine, plan)
        if not plan.quick and plan.allows(60, MANY.text):
            yield from own_rows(made, MANY, plan)
