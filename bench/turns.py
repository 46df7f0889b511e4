"""Subjects by turns: one turn of each a round, in an order left to chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.plan import Plan
from bench.rows import Head, Rounds, Row
from bench.say import say
from bench.subjects import SUBJECTS, available

Figures = Mapping[str, float]  # by metric
Comparison = dict[str, Rounds]  # by metric
Round = dict[str, tuple[Figures | None, float]]  # by subject; with the cores that others used
QUICK = (
    *("none", "lbfast-nat", "lbfast-dr", "nft-dnat", "nft-forward", "haproxy", "nginx-stream"),
    *("ipvs-nat", "ipvs-dr"),
)


class Disturbed(Exception):
    """A turn that cannot be counted, and why."""


def present(plan: Plan) -> list[str]:
    """Return the subjects that are wanted and can run here; the others are said.

    A quick plan has few of them, unless they were asked for by name.
    """
    names = QUICK if plan.quick and not plan.only else tuple(SUBJECTS)
    found, absent = available(tuple(name for name in names if plan.wants(name)))
    plan.lose(absent)
    return found


def by_turns(
    plan: Plan,
    names: Sequence[str],
    turn: Callable[[str], Figures],
    most: int,
    part: float = 1.0,
) -> Comparison:
    """Give every subject a turn a round, at most `most` rounds in this part of the time left.

    `turn` returns a subject's figures by metric, all with the same metrics, or raises Disturbed.
    The first round is not counted, but with a quick plan or if no other fits into the time.
    A turn beside which others used the machine is taken again, or marked so.
    Empty if every turn was disturbed.
    """
    taken: list[Round] = []
    figures: Round = {}
    for number in plan.rounds(most + (not plan.quick), part):
        turns = list(names)
        plan.order.shuffle(turns)
        figures = {name: _one(plan, turn, name) for name in turns}
        if number or plan.quick:
            taken.append(figures)
    if not taken:
        plan.lose([f"{', '.join(names)}: only the first round, meant to warm up, is counted"])
        taken.append(figures)
    found = Comparison()
    for metric in dict.fromkeys(m for f in taken for each, _ in f.values() for m in each or ()):
        found[metric] = Rounds()
        for figures in taken:
            values = {n: e[metric] if (e := figures[n][0]) is not None else None for n in names}
            found[metric].add(values, {n: figures[n][1] for n in names})
    return found


def _one(plan: Plan, turn: Callable[[str], Figures], name: str) -> tuple[Figures | None, float]:
    try:
        return plan.quiet.take(name, lambda: turn(name))
    except Disturbed as sentence:
        say(f"  {name}: not counted: {sentence}")
        return None, 0.0


def rows_of(
    plan: Plan, names: Sequence[str], found: Comparison, units: Mapping[str, str], head: Head
) -> Iterator[Row]:
    """Yield the rows of every metric in `units`; the metric and unit of `head` do not matter.

    Who of `names` has none is written down as left out.
    """
    if not found:
        plan.lose(Rounds([dict.fromkeys(names, None)]).unmeasured(head))
    methods = {name: subject.method for name, subject in SUBJECTS.items()}
    for metric, unit in units.items():
        if metric in found:
            each = Head(head.work, head.case, metric, unit, head.family)
            yield from plan.rows(found[metric], each, methods)
