"""Claims on the CPU time of a frame, beside the bare reflector in the same run, by turns."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.flood import Load, Range, flood_range, own_costs
from bench.lab import result
from bench.others import Quiet
from bench.rows import Rounds, interval, spread
from bench.say import say

# Where a process's memory comes to lie makes a few hundredths: networks and processes are made
# anew several times.
GROUNDS = 4
PAIRS, DISTURBED = 13, 6  # rounds that count on each ground; so many more may lose frames
FEW, MANY = Load(seconds=0.5), Load(flows=1_000_000, seconds=0.5)
BOUNDS = {
    FEW: {"lbfast-dr": 1.06, "lbfast-nat": 1.06, "lbfast-tun": 1.10},
    MANY: {"lbfast-dr": 1.2, "lbfast-nat": 1.2, "lbfast-tun": 1.2},
}
LIMIT = "reflector"
NAMES = (LIMIT, *BOUNDS[FEW])


def pairs(rounds: Rounds) -> int:
    """Return how many rounds every subject has beside the reflector."""
    return min(len(rounds.ratios(name, LIMIT)) for name in BOUNDS[FEW])


def measure(made: Range, load: Load, rounds: Rounds) -> None:
    """Add the rounds of one ground; RuntimeError if too many lose frames."""
    for name in NAMES:
        made.fill(name, load)
        made.turn(name, load)
    order, quiet, enough = random.Random(), Quiet(), pairs(rounds) + PAIRS
    most = len(rounds.rounds) + PAIRS + DISTURBED
    while pairs(rounds) < enough:
        if len(rounds.rounds) >= most:
            raise RuntimeError(f"{load.flows} flows: frames lost in too many rounds")
        rounds.add(own_costs(made.round(NAMES, load, order, quiet)))


def cpu_per_frame() -> Iterator[dict[str, object]]:
    """A line for each method and number of flows; the upper end of the interval must hold.

    lbfast's own drop rules belong to it; the reflector's host drops what its tap has seen too.
    """
    measured = {load: Rounds() for load in BOUNDS}
    for number in range(GROUNDS):
        with flood_range(NAMES) as made:
            for load, rounds in measured.items():
                say(f"ground {number + 1} of {GROUNDS}, {load.flows} flows")
                measure(made, load, rounds)
    for load, rounds in measured.items():
        yield from _lines(load, rounds)


def _lines(load: Load, rounds: Rounds) -> Iterator[dict[str, object]]:
    for name, bound in BOUNDS[load].items():
        ratios = rounds.ratios(name, LIMIT)
        found = interval(ratios)
        yield result(
            "cpu-per-frame",
            found.median,
            "ratio",
            f"upper end of the 95 % interval <= {bound:g}",
            "lbfast bench reflector, same run",
            found.high <= bound,
            subject=name,
            flows=load.flows,
            interval95=[round(found.low, 3), round(found.high, 3)],
            us_min_median_max=spread(rounds.values(name)),
            peer_us_min_median_max=spread(rounds.values(LIMIT)),
            pairs=len(ratios),
            grounds=GROUNDS,
            load=f"{load.pps} frames/s of 60 bytes for {load.seconds} s",
        )


CLAIMS = {"cpu-per-frame": cpu_per_frame}
