"""The two kinds of cost: CPU time of a subject's own processes, and of the whole machine.

Own processes: the scheduler's nanoseconds of all threads (/proc/PID/task/TID/schedstat), user,
system, and the interrupts and softirqs that ran in their context.  What the subject causes in
other contexts (ksoftirqd, an interrupt that hits somebody else) is not in it, and a kernel peer,
whose work is done in the context of sender and receiver, has no process at all.

The whole machine: time that passed on all cores, less the idle time and what the hypervisor took
(/proc/stat).  With NO_HZ the kernel measures idle time by the clock, interrupts taken off, so
softirqs count wherever they ran; it is printed in steps of 10 ms, which is the error of one
reading.  Everything else that runs counts too: only the difference to the same work without a
subject, taken by turns, says what balancing costs.  Idle time at the entrance to deep sleep and
frequency changes are not seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NS_PER_S = 1e9
PROC = Path("/proc")


def process_s(pid: int) -> float:
    """Return the CPU seconds of all living threads of a process; 0 when it has ended."""
    try:
        tasks = list((PROC / str(pid) / "task").iterdir())
    except FileNotFoundError:
        return 0.0
    return sum(map(_task_ns, tasks)) / NS_PER_S


def _task_ns(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def with_children(pid: int) -> list[int]:
    """Return a process and all below it, such as the workers of nginx."""
    found, at = [pid], 0
    while at < len(found):
        for path in PROC.glob(f"{found[at]}/task/*/children"):
            try:
                found += map(int, path.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        at += 1
    return found


@dataclass(frozen=True, slots=True)
class Stand:
    """The machine's clocks at one moment, in seconds; all cores together but for `wall_s`."""

    wall_s: float
    idle_s: float
    stolen_s: float
    cores: int

    def busy_since(self, before: Stand) -> float:
        """Return the CPU seconds that somebody used since then, on all cores together."""
        passed = (self.wall_s - before.wall_s) * self.cores
        gone = (self.idle_s - before.idle_s) + (self.stolen_s - before.stolen_s)
        return passed - gone


def parse_stat(text: str, wall_s: float, ticks: int) -> Stand:
    """Return what /proc/stat says, `ticks` being its units a second."""
    lines = text.splitlines()
    fields = [int(word) for word in lines[0].split()[1:]]
    cores = sum(line.startswith("cpu") for line in lines) - 1
    return Stand(wall_s, (fields[3] + fields[4]) / ticks, fields[7] / ticks, cores)


def stand() -> Stand:
    """Read the machine's clocks."""
    text = (PROC / "stat").read_text()
    return parse_stat(text, time.monotonic(), os.sysconf("SC_CLK_TCK"))


@dataclass(frozen=True, slots=True)
class Reading:
    """Both kinds of cost up to a moment."""

    own_s: float
    machine: Stand


def reading(pids: Iterable[int] = ()) -> Reading:
    """Read the CPU time of processes with all below them, and of the machine."""
    every = {each for pid in pids for each in with_children(pid)}
    return Reading(sum(map(process_s, every)), stand())


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds between two readings."""

    own_s: float
    machine_s: float


def spent(before: Reading, after: Reading) -> Spent:
    return Spent(after.own_s - before.own_s, after.machine.busy_since(before.machine))
