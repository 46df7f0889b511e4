"""Claims on speed beside peers: bulk transfers, new connections, cost of balancing, latency.

The works are those of the bench house, by turns in one run; a claim has a line for each peer.
What is compared is the median of the ratios round by round; its interval is told beside it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.ground import Ground, ground
from bench.lab import result
from bench.plan import Plan
from bench.rows import Rounds, interval
from bench.subjects import available
from bench.turns import Comparison
from bench.website import start_website
from bench.works import bulk, http, pingpong

SHARE_S = 90.0  # for each claim
PROXIES = ("haproxy", "nginx-stream")
Result = dict[str, object]
Bound = tuple[str, str, float]  # the peer, ">=" or "<=", the ratio to it
HOLDS = {"<=": operator.le, ">=": operator.ge}


def judged(claim: str, rounds: Rounds, mine: str, bounds: Sequence[Bound]) -> Iterator[Result]:
    """Yield a line for each peer; ValueError without a round in which both were measured."""
    for peer, sign, bound in bounds:
        ratios = rounds.ratios(mine, peer)
        if not ratios:
            raise ValueError(f"{mine} beside {peer}: no round in which both were measured")
        found = interval(ratios)
        yield result(
            claim,
            found.median,
            "ratio",
            f"{sign} {bound:g}",
            f"{peer}, same run",
            HOLDS[sign](found.median, bound),
            interval95=[round(found.low, 3), round(found.high, 3)],
            rounds=len(ratios),
            median=round(interval(rounds.values(mine)).median, 3),
            peer_median=round(interval(rounds.values(peer)).median, 3),
        )


def measured(
    names: Sequence[str],
    start: Callable[[Ground], None],
    compare: Callable[[Ground, Plan], Comparison],
    offloads: bool = False,
) -> Comparison:
    """Measure subjects that must all be there; FileNotFoundError names what is missing."""
    if absent := available(tuple(names))[1]:
        raise FileNotFoundError("; ".join(absent))
    with ground(names, offloads) as field:
        start(field)
        return compare(field, Plan(False, Path(), SHARE_S))


def bulk_rates(names: Sequence[str]) -> Rounds:
    return measured(
        names,
        bulk.start_sink,
        lambda field, plan: bulk.compare(field, plan, names, 4),
        offloads=True,
    )["rate"]


def requests(names: Sequence[str]) -> Comparison:
    return measured(
        names,
        lambda field: start_website(field.net, "server"),
        lambda field, plan: http.compare(field, plan, names, "new connections"),
    )


def bulk_nat() -> Iterator[Result]:
    """One iperf3 flow by NAT, beside proxies and beside NAT of the kernel."""
    rounds = bulk_rates(("lbfast-nat", "nft-dnat", *PROXIES))
    bounds = [("nft-dnat", ">=", 0.7), *((peer, ">=", 1.5) for peer in PROXIES)]
    yield from judged("bulk-nat", rounds, "lbfast-nat", bounds)


def bulk_dr() -> Iterator[Result]:
    """One iperf3 flow by DR, beside the same by the kernel."""
    rounds = bulk_rates(("lbfast-dr", "nft-forward"))
    yield from judged("bulk-dr", rounds, "lbfast-dr", [("nft-forward", ">=", 0.8)])


def bulk_tun() -> Iterator[Result]:
    """One iperf3 flow by TUN, beside DR."""
    rounds = bulk_rates(("lbfast-tun", "lbfast-dr"))
    yield from judged("bulk-tun", rounds, "lbfast-tun", [("lbfast-dr", ">=", 0.5)])


def new_connections(method: str, kernel: str) -> Iterator[Result]:
    """Requests with a connection each, a second; ahead of the proxies, near to the kernel."""
    mine = f"lbfast-{method}"
    rounds = requests((mine, kernel, *PROXIES))["rate"]
    bounds = [(kernel, ">=", 0.95), *((peer, ">=", 1.0) for peer in PROXIES)]
    yield from judged(f"new-connections-{method}", rounds, mine, bounds)


def balancing_cost() -> Iterator[Result]:
    """CPU time of the whole machine a request, less that without a balancer."""
    mine = ("lbfast-nat", "lbfast-dr")
    rounds = requests(("none", *mine, *PROXIES))["cost of balancing"]
    for subject in mine:
        bounds = [(peer, "<=", 0.5) for peer in PROXIES]
        for line in judged("balancing-cost", rounds, subject, bounds):
            yield line | {"subject": subject}


def lone_latency() -> Iterator[Result]:
    """A request and its answer over one TCP connection, by NAT."""
    names = ("lbfast-nat", *PROXIES)
    found = measured(
        names, pingpong.start_echo, lambda field, plan: pingpong.compare(field, plan, names)
    )
    for metric in ("p50", "p99"):
        bounds = [(peer, "<=", 1.0) for peer in PROXIES]
        for line in judged("lone-latency-peers", found[metric], "lbfast-nat", bounds):
            yield line | {"metric": metric}


CLAIMS = {
    "bulk-nat": bulk_nat,
    "bulk-dr": bulk_dr,
    "bulk-tun": bulk_tun,
    "new-connections-nat": lambda: new_connections("nat", "nft-dnat"),
    "new-connections-dr": lambda: new_connections("dr", "nft-forward"),
    "balancing-cost": balancing_cost,
    "lone-latency-peers": lone_latency,
}
