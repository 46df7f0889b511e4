"""How a work is to be run: how thoroughly, in what time, and where its results go."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import works
from bench.rows import Row
from bench.say import say


@dataclass(slots=True)
class Plan:
    """What a work may spend."""

    quick: bool
    out: Path  # the folder of the results
    seconds: float  # the work's share of the whole
    only: tuple[str, ...] = ()  # words, one of which a subject's name must hold; none: all
    left_out: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def left_s(self) -> float:
        """Return what is left of the share."""
        return self.began + self.seconds - time.monotonic()

    def wants(self, subject: str) -> bool:
        """Whether a subject is to be measured."""
        return not self.only or any(word in subject for word in self.only)

    def allows(self, seconds: float, what: str) -> bool:
        """Whether so many seconds are left; if not, `what` is written down as left out."""
        if self.left_s() >= seconds:
            return True
        say(f"left out, {self.left_s():.0f} s left: {what}")
        self.left_out.append(what)
        return False

    def rounds(self, most: int, part: float = 1.0) -> Iterator[int]:
        """Yield 0, 1, … below `most`, at least once, and stop when the longest round so far would
        not fit into this part (0 to 1) of the time that is left now."""
        until = time.monotonic() + max(self.left_s(), 0) * part
        longest = 0.0
        for number in range(most):
            start = time.monotonic()
            if number and start + longest > until:
                self.left_out.append(f"rounds {number + 1} to {most} of a comparison")
                return
            yield number
            longest = max(longest, time.monotonic() - start)


@dataclass(frozen=True, slots=True)
class Work:
    """A work, as its module describes it."""

    name: str
    seconds: float  # its share of a whole run
    quick_seconds: float
    run: Callable[[Plan], Iterator[Row]]


def all_works() -> dict[str, Work]:
    """Return every module of bench/works by its name."""
    found = {}
    for info in pkgutil.iter_modules(works.__path__):
        module = importlib.import_module(f"bench.works.{info.name}")
        if hasattr(module, "NAME"):
            work = Work(module.NAME, module.SECONDS, module.QUICK_SECONDS, module.run)
            found[work.name] = work
    return dict(sorted(found.items()))
