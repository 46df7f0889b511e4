"""Claims on the CPU time of a frame, beside the bare reflector in the same run, by turns."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.flood import Load, Range, flood_range, own_costs
from bench.lab import result
from bench.rows import Rounds, interval, spread
from bench.say import say

PAIRS, DISTURBED = 25, 10  # rounds that count; so many more may lose frames
FEW, MANY = Load(seconds=0.5), Load(flows=1_000_000, seconds=0.5)
BOUNDS = {
    FEW: {"lbfast-dr": 1.06, "lbfast-nat": 1.06, "lbfast-tun": 1.10},
    MANY: {"lbfast-dr": 1.2, "lbfast-nat": 1.2, "lbfast-tun": 1.2},
}
LIMIT = "reflector"


def measured(made: Range, load: Load, names: list[str]) -> Rounds:
    """Return rounds until each subject has its pairs; RuntimeError if too many lose frames."""
    for name in names:
        made.fill(name, load)
        made.turn(name, load)
    rounds, order = Rounds(), random.Random(load.flows)
    while min((len(rounds.ratios(name, LIMIT)) for name in names), default=0) < PAIRS:
        if len(rounds.rounds) >= PAIRS + DISTURBED:
            raise RuntimeError(f"{load.flows} flows: frames lost in too many rounds")
        rounds.add(own_costs(made.round(names, load, order)))
    return rounds


def cpu_per_frame() -> Iterator[dict[str, object]]:
    """A line for each method and number of flows; the upper end of the interval must hold.

    lbfast's own drop rules belong to it; the reflector's host drops what its tap has seen too.
    """
    with flood_range((LIMIT, *BOUNDS[FEW])) as made:
        for load, bounds in BOUNDS.items():
            say(f"{load.flows} flows")
            rounds = measured(made, load, [LIMIT, *bounds])
            for name, bound in bounds.items():
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
                    load=f"{load.pps} frames/s of 60 bytes for {load.seconds} s",
                )


CLAIMS = {"cpu-per-frame": cpu_per_frame}
