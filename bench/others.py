"""CPU time of others: what processes used that are neither below this one nor the kernel's.

A process's clock (clock_gettime(2)) has the nanoseconds of all its threads, those that ended too.
Children that began and ended between two readings are in what their parent has collected
(/proc/PID/stat, in steps of 10 ms).  Kernel threads are left out, and so is what interrupts and
softirqs take while a core is idle: the traffic of a bench causes both.  A softirq that strikes a
process while it runs counts as its time; who does not run collects none, so a sleeping machine
stays at zero whatever passes through it.  The hypervisor's other guests, and processes of
another PID namespace, are not seen.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.cpu import NS_PER_S, PROC
from bench.say import say

# Others may use so much beside a turn: where nothing else ran they used 0.002 to 0.015 cores,
# whatever was forwarded; a few ms at once, or a tick of a collected child, are nothing.
BOUND_CORES, SLACK_S = 0.05, 0.02
AGAIN = 2  # so often a turn is taken again, but none after one for which that was in vain
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """A process as it stands, in CPU seconds."""

    parent: int
    is_kernel: bool
    own_s: float
    collected_s: float  # of children that ended and were waited for, with theirs


Census = Mapping[tuple[int, int], Task]  # by PID and start, for a PID comes again


def parse(text: str) -> tuple[int, Task]:
    """Return the start of a process and what /proc/PID/stat says of it."""
    words = text.rpartition(")")[2].split()  # a name may hold spaces and brackets
    flags, used, collected = int(words[6]), words[11:13], words[13:15]
    return int(words[19]), Task(
        parent=int(words[1]),
        is_kernel=bool(flags & _KERNEL_THREAD),
        own_s=sum(map(int, used)) * _TICK_S,
        collected_s=sum(map(int, collected)) * _TICK_S,
    )


def clock_s(pid: int, otherwise: float) -> float:
    """Return the CPU seconds of a process by its own clock, `otherwise` if it has none left."""
    try:  # the identifier as clock_getcpuclockid(3) makes it
        return time.clock_gettime_ns(((~pid) << 3) | 2) / NS_PER_S
    except OSError:
        return otherwise


def census(folder: Path = PROC) -> Census:
    """Return every process that is there."""
    found = {}
    for name in os.listdir(folder):
        if not name.isdigit():
            continue
        try:
            began, task = parse((folder / name / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        own_s = clock_s(int(name), task.own_s)
        found[int(name), began] = Task(task.parent, task.is_kernel, own_s, task.collected_s)
    return found


def tree(found: Census, top: int) -> set[tuple[int, int]]:
    """Return a process and all below it."""
    parents = {pid: task.parent for (pid, _), task in found.items()}

    def is_below(pid: int) -> bool:
        while pid in parents and pid != top:
            pid = parents[pid]
        return pid == top

    return {key for key in found if is_below(key[0])}


def used_s(before: Census, after: Census, mine: int) -> float:
    """Return the CPU seconds that others than `mine` and all below it used between two readings.

    Who was below it once belongs to it, also when its parent ended.  Who ended takes along what
    it had; its parent, or nobody, has that afterwards, and the rest of it.
    """
    ours = tree(before, mine) | tree(after, mine)
    first, last = (
        {k: t for k, t in found.items() if not t.is_kernel and k not in ours}
        for found in (before, after)
    )
    zero = Task(0, False, 0.0, 0.0)
    running = sum(t.own_s - first.get(k, zero).own_s for k, t in last.items())
    collected = sum(t.collected_s - first.get(k, zero).collected_s for k, t in last.items())
    ended = sum(t.own_s + t.collected_s for k, t in first.items() if k not in last)
    return running + max(collected - ended, 0.0)


class Watch:
    """What others use from now on."""

    def __init__(self) -> None:
        self._before, self._began = census(), time.monotonic()

    def used(self) -> tuple[float, float]:
        """Return the CPU seconds that others used since, and the seconds that passed."""
        lasted_s = time.monotonic() - self._began
        return used_s(self._before, census(), os.getpid()), lasted_s

    def cores(self) -> float:
        """Return how many cores others kept busy since, on average."""
        used, lasted_s = self.used()
        return used / lasted_s if lasted_s > 0 else 0.0

    def loud(self) -> float:
        """Return the same if it is too much beside a turn, else 0."""
        used, lasted_s = self.used()
        return used / lasted_s if used > max(BOUND_CORES * lasted_s, SLACK_S) else 0.0


def beside(measure: Callable[[], T]) -> tuple[T, float]:
    """Measure once; return what it gave, and how many cores others used where it was too many."""
    watch = Watch()
    return measure(), watch.loud()


@dataclass(slots=True)
class Quiet:
    """Takes turns while others leave the machine alone, as far as the time allows."""

    until: float = math.inf  # on the monotonic clock; from then on no turn is taken again
    watch: Callable[[], Watch] = Watch
    _again: int = AGAIN

    def take(self, name: str, turn: Callable[[], T]) -> tuple[T, float]:
        """Take a turn, again while others use too much beside it; return what the last one gave,
        and how many cores they used beside that: 0 if they left the machine alone."""
        for left in range(self._again, -1, -1):
            began, watch = time.monotonic(), self.watch()
            what = turn()
            cores = watch.loud()
            if not cores:
                self._again = AGAIN
                return what, 0.0
            now = time.monotonic()
            if not left or now + (now - began) >= self.until:
                break
            say(f"  {name}: taken again: others used {cores:.2f} cores beside it")
        say(f"  {name}: void unless no turn is better: others used {cores:.2f} cores beside it")
        self._again = 0
        return what, cores
