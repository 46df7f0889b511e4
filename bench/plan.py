"""How a work is to be run: how thoroughly, in what time, and where its results go."""

from __future__ import annotations

import importlib
import pkgutil
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import works
from bench.others import Quiet
from bench.rows import Head, Rounds, Row
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
    seed: int = field(default_factory=lambda: secrets.randbits(32))
    order: random.Random = field(init=False)  # of the turns; with the same seed the same
    quiet: Quiet = field(init=False)  # takes the turns

    def __post_init__(self) -> None:
        self.order = random.Random(self.seed)
        self.quiet = Quiet(until=self.began + self.seconds)

    def left_s(self) -> float:
        """Return what is left of the share."""
        return self.began + self.seconds - time.monotonic()

    def wants(self, subject: str) -> bool:
        """Whether a subject is to be measured."""
        return not self.only or matches(subject, self.only)

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

    def lose(self, sentences: Iterable[str]) -> None:
        """Write down, once each, what has no figure and why."""
        for sentence in sentences:
            if sentence not in self.left_out:
                say(f"left out: {sentence}")
                self.left_out.append(sentence)

    def rows(
        self, rounds: Rounds, head: Head, methods: Mapping[str, str] | None = None
    ) -> Iterator[Row]:
        """Yield the rows of a comparison; who has none is written down as left out."""
        self.lose(rounds.unmeasured(head))
        yield from rounds.rows(head, methods)


@dataclass(frozen=True, slots=True)
class Work:
    """A work, as its module describes it."""

    name: str
    seconds: float  # its share of a whole run
    quick_seconds: float
    run: Callable[[Plan], Iterator[Row]]
    subjects: tuple[str, ...] = ()  # those that it can measure without the others


def matches(subject: str, words: Sequence[str]) -> bool:
    """Whether a subject's name holds one of the words."""
    return any(word in subject for word in words)


def unknown_words(works: Iterable[Work], words: Sequence[str]) -> str:
    """Return a sentence on words that no subject's name holds; empty if there are none."""
    known = sorted({subject for work in works for subject in work.subjects})
    wrong = [word for word in words if not any(word in subject for subject in known)]
    if not wrong:
        return ""
    return f"--only {', '.join(wrong)}: no such subject; known: {', '.join(known)}"


def narrowed(works: Sequence[Work], words: Sequence[str]) -> tuple[list[Work], list[Work]]:
    """Return the works that have a subject with one of the words, and those that have none."""
    has = [not words or any(matches(name, words) for name in work.subjects) for work in works]
    pairs = list(zip(works, has, strict=True))
    return [work for work, yes in pairs if yes], [work for work, yes in pairs if not yes]


def all_works() -> dict[str, Work]:
    """Return every module of bench/works by its name."""
    found = {}
    for info in pkgutil.iter_modules(works.__path__):
        module = importlib.import_module(f"bench.works.{info.name}")
        if hasattr(module, "NAME"):
            work = Work(
                module.NAME,
                module.SECONDS,
                module.QUICK_SECONDS,
                module.run,
                tuple(getattr(module, "SUBJECTS", ())),
            )
            found[work.name] = work
    return dict(sorted(found.items()))
