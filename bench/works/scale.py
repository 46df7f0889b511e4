"""Real servers and services, 1 to 10,000: what a frame by direct routing costs among so many.

All real servers lie behind one next hop, for the neighbour table is not what is asked about, and
all services but one get nothing.  The reflector, which knows neither, takes its turns too.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.flood import DISCARD, Load, Range, flood_range, others_beside, own_costs
from bench.plan import Plan
from bench.rows import Head, Rounds, Row
from bench.say import say
from bench.subjects.base import Place, endpoint
from lbfast.selfcall import COMMAND, environment

NAME = "scale"
SECONDS, QUICK_SECONDS = 100.0, 8.0
SUBJECT, LIMIT = "lbfast-dr", "reflector"
SUBJECTS = (SUBJECT,)
SIZES, QUICK_SIZES = (1, 10, 100, 1_000, 10_000), (1, 1_000)
SERVERS_NET, FIRST_PORT = "10.200", 10_000
LOAD, ROUNDS, QUICK_ROUNDS = Load(), 8, 1


def server(number: int) -> str:
    """Return the address of a real server, counted from 0."""
    return f"{SERVERS_NET}.{number // 250}.{number % 250 + 1}"


def words(vip: str, servers: int, services: int) -> Iterator[str]:
    """Yield the service that gets the frames with its real servers, and services beside it."""
    ports = [DISCARD, *(FIRST_PORT + n for n in range(1, services))]
    for port in ports:
        yield f"-A -u {endpoint(vip, port)} -s rr"
        for number in range(servers if port == DISCARD else 1):
            yield f"-a -u {endpoint(vip, port)} -r {server(number)} -g"


def set_rules(place: Place, servers: int, services: int) -> None:
    """Have exactly so many services and real servers; RuntimeError if they are not there then."""
    lines = "".join(f"{line}\n" for line in words(place.pool(4).vip, servers, services))
    for word, text in (("-C", ""), ("-R", lines)):
        command = [*COMMAND, "ipvsadm", word]
        place.net.run(place.host, command, stdin=text, timeout_s=120, environment=environment())


def compare(made: Range, plan: Plan, part: float) -> Rounds:
    """Let lbfast and the reflector take turns, after a warm one."""
    rounds = Rounds()
    made.fill(SUBJECT, LOAD)
    made.turn(SUBJECT, LOAD)
    for _ in plan.rounds(QUICK_ROUNDS if plan.quick else ROUNDS, part):
        turns = made.round(made.names, LOAD, plan.order, plan.quiet)
        rounds.add(own_costs(turns), others_beside(turns))
    return rounds


def run(plan: Plan) -> Iterator[Row]:
    """Yield a row for each size, of lbfast alone: what the reflector took is in its ratio."""
    if not plan.wants(SUBJECT):
        return
    sizes = QUICK_SIZES if plan.quick else SIZES
    cases = [(n, 1) for n in sizes] + [(1, n) for n in sizes[1:]]
    with flood_range((LIMIT, SUBJECT), left_out=plan.left_out) as made:
        if SUBJECT not in made.names:
            return
        place = made.ground.places[SUBJECT]
        via = place.pool(4).servers[0]
        place.run("ip", "route", "add", f"{SERVERS_NET}.0.0/16", "via", via, "dev", "out0")
        for at, (servers, services) in enumerate(cases):
            text = f"{servers:,} real servers, {services:,} services"
            if at and not plan.allows(plan.seconds / 10, text):
                continue
            say(f"-- {text}")
            set_rules(place, servers, services)
            rounds = compare(made, plan, 1 / (len(cases) - at))
            rows = plan.rows(rounds, Head(NAME, text, "cpu", "us/frame", 4), {SUBJECT: "dr"})
            yield from (row for row in rows if row.subject == SUBJECT)
