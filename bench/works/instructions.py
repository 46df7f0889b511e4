"""User-space instructions a packet: methods, families, and many services and servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from bench.bench_instructions import (
    CASES,
    FLOWS,
    TCP,
    Case,
    has_counter,
    per_packet,
)
from bench.plan import Plan
from bench.rows import Row
from bench.say import say

NAME = "instructions"
SECONDS, QUICK_SECONDS = 255.0, 10.0
ONE_S, MANY_S = 6.0, 22.0  # what a case takes under valgrind
QUICK = ("dr-v4",)


def subject(case: str) -> str:
    """Return whom a case measures."""
    return f"lbfast-{case.split('-')[0]}"


SUBJECTS = tuple(dict.fromkeys(map(subject, CASES)))


def described(case: Case) -> str:
    """Say what a case has but its method and family."""
    words = [f"{FLOWS:,} {'TCP' if case.protocol == TCP else 'UDP'} flows"]
    words += (
        [f"{case.services:,} services", f"{case.servers:,} servers"] if case.services > 1 else []
    )
    words += ["replies"] if case.reply else []
    words += ["checksums left to the device"] if case.partial else []
    return ", ".join(words)


def run(plan: Plan) -> Iterator[Row]:
    """Yield a row for each case; the same program counts the same again, so one round is all."""
    by_perf = has_counter()
    if not by_perf and shutil.which("valgrind") is None:
        say("instructions: neither a counter for perf stat -e instructions:u nor valgrind")
        return
    for name, case in CASES.items():
        if not plan.wants(subject(name)) or (plan.quick and name not in QUICK):
            continue
        if not by_perf and not plan.allows(MANY_S if case.services > 1 else ONE_S, name):
            continue
        figure = per_packet(name, by_perf)
        yield Row(
            work=NAME,
            case=described(case),
            subject=subject(name),
            method=name.split("-")[0],
            family=6 if case.is_v6 else 4,
            metric="instructions",
            unit="instructions/packet",
            median=figure,
            low=figure,
            high=figure,
            rounds=1,
        )
