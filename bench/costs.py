"""What frames cost: the subjects of a case by turns, as rows of a work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.flood import (
    Load,
    Range,
    Turn,
    machine_costs,
    note_losses,
    others_beside,
    own_costs,
)
from bench.plan import Plan
from bench.rows import Head, Rounds, Row
from bench.say import say
from bench.subjects import EVERY, available


@dataclass(frozen=True, slots=True)
class Case:
    """A load, and who gets it."""

    text: str
    load: Load
    subjects: Sequence[str]
    rounds: int
    part: float = 1.0  # of the time left when it begins
    is_new: bool = False  # every frame is of a flow that nobody has seen


def present(plan: Plan, cases: Sequence[Case]) -> list[str]:
    """Return the subjects of the cases that are wanted and can run here."""
    names = dict.fromkeys(name for case in cases for name in case.subjects)
    found, absent = available(tuple(name for name in names if plan.wants(name)))
    plan.lose(absent)
    return found


def compare(
    made: Range, case: Case, plan: Plan, cost: Callable[[dict[str, Turn]], dict[str, float | None]]
) -> Rounds:
    """Let the subjects of a case take turns after one that does not count."""
    names = [name for name in case.subjects if name in made.macs]
    for name in names:
        if not case.is_new:
            made.fill(name, case.load)
        made.turn(name, case.load)
    rounds = Rounds()
    lost: dict[str, list[float]] = {}
    for _ in plan.rounds(case.rounds, case.part):
        turns = made.round(names, case.load, plan.order, plan.quiet)
        note_losses(rounds, turns, lost)
        rounds.add(cost(turns), others_beside(turns))
    return rounds


def methods(names: Sequence[str]) -> dict[str, str]:
    return {name: EVERY[name].method for name in names}


def own_rows(work: str, made: Range, case: Case, plan: Plan) -> Iterator[Row]:
    """Yield the CPU time of own processes a frame."""
    say(f"-- {case.text}, own processes")
    rounds = compare(made, case, plan, own_costs)
    head = Head(work, case.text, "cpu", "us/frame", case.load.family)
    yield from plan.rows(rounds, head, methods(case.subjects))


def machine_rows(work: str, made: Range, case: Case, plan: Plan) -> Iterator[Row]:
    """Yield the CPU time of the machine a frame, and what of it is the balancing."""
    say(f"-- {case.text}, the whole machine")
    rounds = compare(made, case, plan, machine_costs)
    named = methods(case.subjects)
    family = case.load.family
    head = Head(work, case.text, "machine cpu", "us/frame", family)
    yield from plan.rows(rounds, head, named)
    head = Head(work, case.text, "cost of balancing", "us/frame", family)
    yield from plan.rows(rounds.less("none"), head, named)
