"""Requests over HTTP: wrk against nginx, a new connection for each request, and kept ones.

Nobody is held to a core and wrk asks as fast as it is answered, so the whole machine is busy:
what balancing costs is then missing from the rate.  `cost of balancing` says it alone: CPU time
of the whole machine a request, less that of the same round without a balancer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.cpu import reading, spent
from bench.ground import Ground, ground
from bench.plan import Plan
from bench.rows import Head, Row
from bench.subjects import SUBJECTS as EVERYBODY
from bench.subjects.base import endpoint
from bench.turns import Comparison, Disturbed, Figures, by_turns, present, rows_of
from bench.website import start_website

NAME = "http"
SECONDS, QUICK_SECONDS = 290.0, 18.0
SUBJECTS = tuple(EVERYBODY)
ROUNDS, TURN_S, QUICK_TURN_S = 15, 2, 1
CONNECTIONS = 50
BASE = "none"
CASES = {"new connections": ("-H", "Connection: close"), "kept connections": ()}
QUICK_KEPT = ("none", "lbfast-nat", "nft-dnat", "haproxy", "ipvs-nat")
UNITS = {
    "rate": "requests/s",
    "CPU": "us/request",
    "cost of balancing": "us/request",
}
FAILED = 0.001  # of the requests; more, and the turn is not counted


def run(plan: Plan) -> Iterator[Row]:
    """Yield rate, CPU time and cost of balancing for each subject."""
    names = present(plan)
    with ground(names, left_out=plan.left_out) as field:
        start_website(field.net, "server")
        for number, case in enumerate(CASES):
            among = [n for n in field.names if not plan.quick or not number or n in QUICK_KEPT]
            found = compare(field, plan, among, case, 0.5 if not number else 1.0)
            yield from rows_of(plan, among, found, UNITS, Head(NAME, case, "", "", 4))


def compare(
    field: Ground, plan: Plan, names: Sequence[str], case: str, part: float = 1.0
) -> Comparison:
    """Measure the subjects by turns; cost of balancing is there if one of them is "none"."""
    seconds = QUICK_TURN_S if plan.quick else TURN_S

    def turn(name: str) -> Figures:
        return ask(field, name, CASES[case], seconds)

    found = by_turns(plan, names, turn, 1 if plan.quick else ROUNDS, part)
    if BASE in names and "CPU" in found:
        found["cost of balancing"] = found["CPU"].less(BASE)
    return found


def ask(field: Ground, name: str, options: Sequence[str], seconds: int) -> Figures:
    """Let wrk ask through a subject; Disturbed if more than a few requests failed."""
    url = f"http://{endpoint(field.target(name), 80)}/"
    words = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", *options, url]
    before = reading()
    done = field.net.run("client", words, timeout_s=seconds + 30)
    return judge(done.stdout, spent(before, reading()).machine_s)


def judge(said: str, machine_s: float) -> Figures:
    """Return what wrk's report says, with the CPU time of its run."""
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    if total is None or not int(total[1]):
        raise Disturbed(f"no request was answered: {said.strip()[-200:]}")
    count = int(total[1])
    lasted_s = float(total[2]) * {"ms": 1e-3, "s": 1.0, "m": 60.0}[total[3]]
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = int(wrong[1]) if wrong else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    if failed > FAILED * count:
        raise Disturbed(f"{failed} of {count} requests failed")
    return {"rate": count / lasted_s, "CPU": machine_s * 1e6 / count}
