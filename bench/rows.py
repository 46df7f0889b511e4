"""What a bench found, as rows, and the statistics behind them.

A row is the figure of one subject at one work.  Subjects are measured by turns, one turn of each
a round, so that whatever else the machine does falls on all; hence figures are compared round by
round, and the median of the ratios is what counts.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.replacing import replacing
from bench.versions import lbfast_version, peer_versions

FEW_ROUNDS = 6  # below, not even all values together hold the median with 95 %


class Interval(msgspec.Struct, frozen=True):
    """A median, and the interval that holds it with 95 % confidence.

    Of fewer rounds than FEW_ROUNDS low and high are the least and the greatest, no such interval.
    """

    median: float
    low: float
    high: float
    rounds: int = 0  # it is made from; 0: as many as its row


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, as it stands in bench/results/WORK.json."""

    work: str
    case: str  # what of the work: "60 bytes, 1,000 flows"
    subject: str  # what was measured, as bench/subjects names it
    metric: str  # "cpu", "cost of balancing", "rate", …
    unit: str
    median: float
    low: float  # of the median's 95 % interval; the least of fewer rounds than FEW_ROUNDS
    high: float
    rounds: int
    method: str = ""  # "dr", "nat", …; empty where there is none
    family: int = 0  # 4 or 6, 0 where the work knows none
    ratios: dict[str, Interval] = {}  # by peer: this figure over the peer's of the same round
    remark: str = ""  # what a reader must know: frames lost, rounds left out
    others: float = 0.0  # cores that others used beside its turns, where no turns were without


class Machine(msgspec.Struct, frozen=True):
    """Where and when the rows were measured."""

    kernel: str
    cores: int
    processor: str
    load: float  # load average of a minute, before the work began
    began: str  # UTC
    lbfast: str = ""  # commit, or version where there is no repository
    peers: dict[str, str] = {}  # versions by program
    others: float | None = None  # cores that others used meanwhile, on average; None: not known


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """The file of one work."""

    work: str
    quick: bool
    seconds: float  # that the work took
    machine: Machine
    rows: list[Row]
    left_out: list[str] = []  # what has no row, or fewer rounds, and why
    seed: int = 0  # of the order of turns: with it a run has the same again


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median, by order statistics.

    Of fewer than six values it is the least and the greatest.
    """
    ordered, n = sorted(values), len(values)
    cut = max(int((n - 1.96 * n**0.5) / 2), 0)
    return ordered[cut], ordered[n - 1 - cut]


def interval(values: Sequence[float], rounds: int = 0) -> Interval:
    """Return the median of at least one value, with its interval; `rounds` as Interval has it."""
    return Interval(statistics.median(values), *median_interval(values), rounds)


def unquiet(cores: float) -> str:
    """Return the remark of a row that was measured while others used so many cores."""
    return f"not quiet: others used up to {cores:.2f} cores meanwhile"


def spread(values: Sequence[float]) -> str:
    """Return min/median/max as text."""
    return f"{min(values):.3f}/{statistics.median(values):.3f}/{max(values):.3f}"


@dataclass(frozen=True, slots=True)
class Head:
    """What all rows of one comparison have in common."""

    work: str
    case: str
    metric: str
    unit: str
    family: int = 0


@dataclass(slots=True)
class Rounds:
    """The figures of several subjects, taken by turns; None is a turn that was disturbed."""

    rounds: list[dict[str, float | None]] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    base: str = ""  # whose figures were taken off
    others: list[dict[str, float]] = field(default_factory=list)  # of a round, where too much

    def __post_init__(self) -> None:
        self.others += [{} for _ in self.rounds[len(self.others) :]]

    def add(
        self, figures: Mapping[str, float | None], others: Mapping[str, float] | None = None
    ) -> None:
        """Add a round; `others`: cores that others used beside a subject's turn, where they
        used too much."""
        self.rounds.append(dict(figures))
        self.others.append({name: cores for name, cores in (others or {}).items() if cores})

    def quiet(self) -> list[dict[str, float | None]]:
        """Return the rounds without the turns beside which others used too much."""
        pairs = zip(self.rounds, self.others, strict=True)
        return [{n: None if n in loud else v for n, v in turns.items()} for turns, loud in pairs]

    def loudest(self) -> float:
        """Return the most cores that others used beside a turn, if loud turns count too.

        They do, all of them, where one of the subjects has no turn without; else it is 0.
        """
        quiet = {n for turns in self.quiet() for n, v in turns.items() if v is not None}
        at_all = {n for turns in self.rounds for n, v in turns.items() if v is not None}
        cores = [each for loud in self.others for each in loud.values()]
        return max(cores) if at_all - quiet else 0.0

    def counted(self) -> list[dict[str, float | None]]:
        """Return the rounds that make the figures, None for a turn that does not count."""
        return self.rounds if self.loudest() else self.quiet()

    def subjects(self) -> list[str]:
        """Return who had a turn, in the order of the first ones."""
        return list(dict.fromkeys(name for turns in self.rounds for name in turns))

    def values(self, subject: str) -> list[float]:
        """Return what a subject's undisturbed turns gave."""
        return [v for turns in self.counted() if (v := turns.get(subject)) is not None]

    def ratios(self, subject: str, peer: str) -> list[float]:
        """Return subject over peer for each round in which neither was disturbed.

        Rounds in which the peer's figure is not above zero (a difference can be) say nothing.
        """
        pairs = [(turns.get(subject), turns.get(peer)) for turns in self.counted()]
        return [a / b for a, b in pairs if a is not None and b is not None and b > 0]

    def less(self, base: str) -> Rounds:
        """Return the same rounds without `base`, whose figure of the round is taken off."""
        made = Rounds(remarks=dict(self.remarks), base=base)
        for turns, loud in zip(self.rounds, self.others, strict=True):
            zero, beside = turns.get(base), loud.get(base, 0.0)
            rest = {name: v for name, v in turns.items() if name != base}
            made.add(
                {n: None if v is None or zero is None else v - zero for n, v in rest.items()},
                {n: max(beside, loud.get(n, 0.0)) for n in rest},
            )
        return made

    def rows(self, head: Head, methods: Mapping[str, str] | None = None) -> Iterator[Row]:
        """Yield a row for every subject, with the ratio to each of the others."""
        for subject in self.subjects():
            values = self.values(subject)
            if not values:
                continue
            found = interval(values)
            others = {p: self.ratios(subject, p) for p in self.subjects() if p != subject}
            fewer = {peer: len(r) for peer, r in others.items() if len(r) < len(values)}
            yield Row(
                **{name: getattr(head, name) for name in Head.__slots__},
                subject=subject,
                method=(methods or {}).get(subject, ""),
                median=found.median,
                low=found.low,
                high=found.high,
                rounds=len(values),
                ratios={p: interval(r, fewer.get(p, 0)) for p, r in others.items() if r},
                remark=self._remark(subject, fewer),
                others=round(self.loudest(), 2),
            )

    def unmeasured(self, head: Head) -> Iterator[str]:
        """Yield a sentence on every subject that has no row, because no turn could be counted."""
        what = f"{head.case}, IPv{head.family}" if head.family else head.case
        for subject in self.subjects():
            if self.values(subject):
                continue
            if self.base:
                yield f"{what}: {subject}: {head.metric}: no round that {self.base} has too"
            else:
                yield f"{what}: {subject}: every turn disturbed"

    def _remark(self, subject: str, fewer: Mapping[str, int]) -> str:
        """Return what is to be known of a row; `fewer`: the rounds in the ratio to a peer, where
        they are not all of the row's."""
        disturbed = sum(t.get(subject, 0.0) is None for t in self.rounds)
        said = [self.remarks[subject]] if subject in self.remarks else []
        loud = sum(subject in names for names in self.others)
        if loudest := self.loudest():
            said.append(unquiet(loudest))
        elif loud:
            said.append(f"{loud} of {len(self.rounds)} turns beside others' load, not counted")
        if disturbed:
            said.append(f"{disturbed} of {len(self.rounds)} turns disturbed, not counted")
        mine = len(self.values(subject))
        said += [f"ratio to {peer} from {count} of {mine} rounds" for peer, count in fewer.items()]
        return "; ".join(said)


def marked(row: Row, others: float) -> Row:
    """Return a row with the mark that others used so many cores meanwhile, if they did."""
    if not others:
        return row
    remark = "; ".join(filter(None, (row.remark, unquiet(others))))
    return msgspec.structs.replace(row, others=round(others, 2), remark=remark)


def this_machine() -> Machine:
    """Describe where we are, now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Machine(
        kernel=platform.release(),
        cores=len(os.sched_getaffinity(0)),
        processor=names[0] if names else platform.machine(),
        load=round(os.getloadavg()[0], 2),
        began=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        lbfast=lbfast_version(),
        peers=peer_versions(),
    )


def path_of(work: str, folder: Path) -> Path:
    return folder / f"{work}.json"


def write(sheet: Sheet, folder: Path) -> Path:
    """Write the sheet of a work into `folder`; return the file."""
    path = path_of(sheet.work, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh:
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(sheet), indent=1) + b"\n")
    return path


def read(path: Path) -> Sheet:
    """Return the sheet in a file; msgspec.DecodeError if it is not one."""
    return msgspec.json.decode(path.read_bytes(), type=Sheet)


def read_all(folder: Path) -> list[Sheet]:
    """Return the sheets of a folder by name; files of another shape, or cut short, are none."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read(path))
        except msgspec.DecodeError:
            continue
    return found
