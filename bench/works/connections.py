"""New connections: UDP flows and TCP SYNs that nobody has seen before, a frame each.

`cpu`: the subject's own processes, `cost of balancing`: the whole machine less the same frames
without a balancer.  Nobody answers; whole requests with a connection each are the work `http`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.costs import Case, machine_rows, own_rows, present
from bench.flood import Load, flood_range
from bench.plan import Plan
from bench.rows import Row

NAME = "connections"
SECONDS, QUICK_SECONDS = 60.0, 8.0
LIMIT = "reflector"
METHODS = ("lbfast-dr", "lbfast-nat", "lbfast-tun")
PEERS = ("none", *METHODS[:2], "nft-forward", "nft-dnat", "ipvs-dr", "ipvs-nat")
LOAD = Load(flows=1_000_000, pps=50_000, seconds=0.4)  # no turn meets a flow of an earlier one
SUBJECTS = tuple(dict.fromkeys((LIMIT, *METHODS, *PEERS)))
KINDS = {"tcp": ("TCP SYNs", replace(LOAD, is_syn=True)), "udp": ("UDP", LOAD)}


def run(plan: Plan) -> Iterator[Row]:
    """Yield the rows of both protocols, with a quick plan of TCP alone."""
    most = 2 if plan.quick else 12
    kinds = dict(list(KINDS.items())[:1]) if plan.quick else KINDS
    for at, (protocol, (text, load)) in enumerate(kinds.items()):
        left = len(kinds) - at
        mine = (LIMIT, *(METHODS[:2] if plan.quick else METHODS))
        own = Case(f"{text}, new", load, mine, most, 0.5 / left, is_new=True)
        asleep = replace(load, nap_us=1000)
        machine = Case(own.text, asleep, PEERS, most // 2, 0.7 / left, is_new=True)
        cases = (own,) if plan.quick else (own, machine)
        names = present(plan, cases)
        with flood_range(names, protocol, left_out=plan.left_out) as made:
            yield from own_rows(NAME, made, own, plan)
            if not plan.quick:
                yield from machine_rows(NAME, made, machine, plan)
