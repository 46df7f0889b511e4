"""Frames through the ground, offered by the clock; counted and dropped at the server's ingress.

Generator and forwarder have a core each.  The server's stack sees nothing but ARP and neighbour
discovery, and it unwraps no tunnel, so that what frames cost is the forwarding: veth lets the
sender's core do what the receiver does first.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.cpu import Spent, reading, spent, with_children
from bench.ground import Ground, ground
from bench.others import Quiet
from bench.program import core, pinned, program
from bench.rows import Rounds
from bench.say import say
from bench.subjects.base import endpoint
from bench.subjects.vips import refuse_vips
from netns.process import Process
from netns.wait import wait_for

DISCARD = 9
FORWARDING_CORE = 1
LOST = 0.01  # a turn that lost more than this was disturbed
FILL_PPS = 150_000  # at which connections are made beforehand
SINK = """add table netdev sink
add chain netdev sink {0} {{ type filter hook ingress device {0} priority 0; policy drop; }}
add rule netdev sink {0} meta protocol arp accept
add rule netdev sink {0} meta l4proto ipv6-icmp accept
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered in one turn: UDP frames, or TCP SYNs."""

    flows: int = 1000
    family: int = 4
    pps: int = 100_000
    seconds: float = 0.4
    is_mix: bool = False  # every tenth frame full, else all of 60 bytes (IPv6: 62)
    is_syn: bool = False
    is_partial: bool = False  # checksums left to the receiver
    nap_us: int = 0  # the generator sleeps so long between bursts; 0: it spins, a frame each

    def words(self) -> list[str]:
        """Return its options for bench/generate.c."""
        flags = {"mix": self.is_mix, "syn": self.is_syn, "partial": self.is_partial}
        return [f"{name}=1" for name, on in flags.items() if on] + [f"nap={self.nap_us}"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn."""

    sent: int
    received: int
    spent: Spent
    others: float = 0.0  # cores that others used beside it, where that was too much

    @property
    def is_disturbed(self) -> bool:
        return self.received < self.sent * (1 - LOST) or not self.sent

    def own_us(self) -> float | None:
        """Return the CPU time of the subject's processes a frame; None if frames were lost."""
        return None if self.is_disturbed else self.spent.own_s * 1e6 / self.received

    def machine_us(self) -> float | None:
        """Return the CPU time of the whole machine a frame; None if frames were lost."""
        return None if self.is_disturbed else self.spent.machine_s * 1e6 / self.received


@dataclass(slots=True)
class Range:
    """The ground with a sink: offers loads to its subjects."""

    ground: Ground
    counters: Process  # anything that lives in the server: its /proc shows the counters
    macs: dict[str, str]  # to which a subject's frames are sent, by its name
    next_flow: dict[tuple[str, Load], int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The subjects that are at work."""
        return list(self.macs)

    def interfaces(self, name: str) -> tuple[str, str]:
        """Return the client's interface for a subject, and the server's."""
        if name not in self.ground.places:
            return "d0", "d0"
        at = self.ground.places[name].server_interface
        return at.replace("s", "c"), at

    def received(self, name: str) -> int:
        """Return how many frames the server has received from a subject."""
        inside = self.interfaces(name)[1]
        text = Path(f"/proc/{self.counters.pid}/net/dev").read_text()
        line = next(each for each in text.splitlines() if each.strip().startswith(f"{inside}:"))
        return int(line.partition(":")[2].split()[1])

    def settled(self, name: str, enough: int | None = None) -> int:
        """Wait until `enough` frames or no more come; return how many came."""
        seen: list[int] = []

        def still() -> bool:
            seen.append(self.received(name))
            over = enough is not None and seen[-1] >= enough
            return over or (len(seen) > 2 and seen[-1] == seen[-2] == seen[-3])

        wait_for(still, 10, f"no more frames from {name}")
        return seen[-1]

    def send(self, name: str, load: Load, port: int = DISCARD) -> int:
        """Offer a load, going on with the flow at which the last of it ended; return how many
        frames were sent."""
        words = [self.interfaces(name)[0], str(load.pps), str(load.seconds), str(load.flows)]
        words += [f"dst={self.macs[name]}", f"src={self.source(name, load.family)}"]
        words += [f"to={endpoint(self.ground.target(name, load.family), port)}"]
        words += [f"first={self.next_flow.get((name, load), 0)}", *load.words()]
        command = pinned(0, [program("generate"), "flood", *words])
        out = self.ground.net.run("client", command, timeout_s=load.seconds + 30).stdout.split()
        self.next_flow[name, load] = int(out[-1])
        return int(out[1])

    def source(self, name: str, family: int) -> str:
        """Return the first of the addresses that a subject's frames come from."""
        number = self.interfaces(name)[0][1:]
        return f"10.{number}.1.1" if family == 4 else f"fd00:{number}:1::1"

    def turn(self, name: str, load: Load) -> Turn:
        """Offer a load to a subject; return what it cost."""
        place = self.ground.places.get(name)
        pids = place.pids() if place else []
        first = self.settled(name)
        before = reading(pids)
        sent = self.send(name, load)
        came = self.settled(name, first + sent) - first
        return Turn(sent, came, spent(before, reading(pids)))

    def fill(self, name: str, load: Load) -> None:
        """Let every flow of a load have its connection."""
        seconds = max(1.2 * load.flows / FILL_PPS, 0.05)
        self.send(name, replace(load, pps=FILL_PPS, seconds=seconds, nap_us=0))
        self.settled(name)

    def round(
        self, names: Iterable[str], load: Load, order: random.Random, quiet: Quiet
    ) -> dict[str, Turn]:
        """Give each subject a turn, in an order left to chance."""
        named = list(names)
        taken = {}
        for name in order.sample(named, len(named)):
            turn, others = quiet.take(name, partial(self.turn, name, load))
            taken[name] = replace(turn, others=others)
        turns = {name: taken[name] for name in named}
        for name, turn in turns.items():
            if turn.is_disturbed:
                say(f"  disturbed: {name}: {turn.sent} sent, {turn.received} received")
        return turns


@contextmanager
def flood_range(
    names: Sequence[str],
    protocol: str = "udp",
    port: int = DISCARD,
    left_out: list[str] | None = None,
) -> Iterator[Range]:
    """Build the ground with the sink, every subject on the forwarding core; `left_out` as
    there."""
    with ground(names, protocol=protocol, ports=(port,), left_out=left_out) as made:
        net = made.net
        server = next(h for h in net.topology.hosts if h.name == "server")
        rules = "".join(map(SINK.format, net.topology.interfaces(server.name)))
        net.run("server", ["nft", "-f", "-"], stdin=rules)
        counters = net.start("server", ["sleep", "infinity"])
        macs = {}
        for name in made.names:
            place = made.places.get(name)
            macs[name] = _mac(made, name, "in0") if place else _mac(made, "server", "d0")
            if place and place.subject.answers_past_director:
                refuse_vips(place)
            if place:
                move(place.pids(), FORWARDING_CORE)
        yield Range(made, counters, macs)


def _mac(made: Ground, host: str, interface: str) -> str:
    path = f"/sys/class/net/{interface}/address"
    return made.net.run(host, ["cat", path]).stdout.strip()


def move(pids: Iterable[int], number: int) -> None:
    """Let all threads of processes, and of what is below them, run on one core alone."""
    for pid in {each for top in pids for each in with_children(top)}:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), {core(number)})


def own_costs(turns: dict[str, Turn]) -> dict[str, float | None]:
    return {name: turn.own_us() for name, turn in turns.items()}


def machine_costs(turns: dict[str, Turn]) -> dict[str, float | None]:
    return {name: turn.machine_us() for name, turn in turns.items()}


def others_beside(turns: dict[str, Turn]) -> dict[str, float]:
    """Return the cores that others used beside each turn, as Rounds takes them."""
    return {name: turn.others for name, turn in turns.items()}


def note_losses(rounds: Rounds, turns: dict[str, Turn], lost: dict[str, list[float]]) -> None:
    """Keep the worst loss of every subject's undisturbed turns as its remark."""
    for name, turn in turns.items():
        if turn.received < turn.sent and not turn.is_disturbed:
            lost.setdefault(name, []).append(1 - turn.received / turn.sent)
            rounds.remarks[name] = f"up to {max(lost[name]):.2%} of the frames lost"
