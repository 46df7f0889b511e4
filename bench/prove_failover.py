"""Claims on fail-over: two directors (`lbfast run -f`) beside two of keepalived, one kind of file.

Both networks live at once and take turns, so that the machine's mood strikes both.  A trial ends
the master's service in one way (kill -9 of all its processes, its link pulled at the switch, or
SIGTERM) and ends when the other router announces the address.  The time counts from the old
master's last advert, or from the SIGTERM: what the protocol itself takes is the same for both.
The observer's capture tells the times; both kinds run with the lowest real-time priority.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.lab import result
from bench.rows import spread
from bench.say import say
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.vrrplab import (
    EXPRESSION,
    Router,
    adverts,
    announced,
    mac_of,
    topology,
    v2,
    v3,
)

BOUND = 1.1
KINDS = ("director", "keepalived")
INTERVALS_S = (1.0, 0.1, 0.01)
PAIRS = 21  # of trials
PORT = "port1"  # of the switch, towards va
MASTER, BACKUP = "Entering MASTER STATE", "Entering BACKUP STATE"
PATIENCE_S = 40
Result = dict[str, object]


class Pair:
    """va (priority 150) and vb (100) of one kind."""

    def __init__(self, kind: str, interval_s: float, scratch: Path) -> None:
        self.net = Net(topology(), scratch)
        make = v2 if interval_s >= 1 else functools.partial(v3, advert_us=int(interval_s * 1e6))
        self.high = Router(self.net, "va", kind, make(150), is_prompt=True)
        self.low = Router(self.net, "vb", kind, make(100), is_prompt=True)
        self.capture = Capture(self.net, "vo", "eth0", EXPRESSION, snap=100)
        self.began: list[float] = []  # wall clock of each trial

    def start(self) -> None:
        self.high.start()
        self._wait(self.high, MASTER, 1)
        self.low.start()
        wait_for(lambda: BACKUP in self.low.log(), PATIENCE_S)

    def _wait(self, router: Router, text: str, count: int) -> None:
        what = f"{router.host}: '{text}' {count} times"
        wait_for(lambda: router.log().count(text) >= count, PATIENCE_S, what)

    def trial(self, fail: Callable[[Pair], None], heal: Callable[[Pair], None]) -> None:
        """Let the master fail, wait for the other, let the master come back."""
        led = self.low.log().count(MASTER)
        self.began.append(time.time())
        fail(self)
        self._wait(self.low, MASTER, led + 1)
        followed = self.low.log().count(BACKUP)
        heal(self)
        self._wait(self.low, BACKUP, followed + 1)

    def times(self, *, from_order: bool) -> list[float]:
        """Return how long each trial took, in seconds."""
        a, b = mac_of(self.net, "va"), mac_of(self.net, "vb")
        sent = [one.at for one in adverts(self.capture, a) if one.priority]
        arps = [at for at, _ in announced(self.capture, b)]
        found = []
        for began in self.began:
            taken = min(at for at in arps if at > began)
            last = max(at for at in sent if at < taken)
            found.append(taken - (began if from_order else last))
        return found


def _pull(pair: Pair) -> None:
    pair.net.run("sw1", ["ip", "link", "set", PORT, "down"])


def _plug(pair: Pair) -> None:
    pair.net.run("sw1", ["ip", "link", "set", PORT, "up"])


def _restart(pair: Pair) -> None:
    pair.high.start()


WAYS: dict[str, tuple[Callable[[Pair], None], Callable[[Pair], None]]] = {
    "kill": (lambda pair: pair.high.crash(), _restart),
    "link": (_pull, _plug),
    "stop": (lambda pair: pair.high.stop(), _restart),
}


def measure(way: str, interval_s: float) -> dict[str, list[float]]:
    """Return the times of every trial by kind, trials interleaved."""
    fail, heal = WAYS[way]
    with ExitStack() as stack:
        pairs = {}
        for kind in KINDS:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            pairs[kind] = Pair(kind, interval_s, scratch)
            stack.callback(pairs[kind].net.remove)
        for pair in pairs.values():
            stack.enter_context(pair.capture)
            pair.start()
        for number in range(PAIRS):
            for kind in KINDS if number % 2 else reversed(KINDS):
                pairs[kind].trial(fail, heal)
        for pair in pairs.values():
            pair.capture.stop()
        return {kind: pair.times(from_order=way == "stop") for kind, pair in pairs.items()}


def failover(way: str, interval_s: float) -> Iterator[Result]:
    """Yield the median ratio of the pairs of trials."""
    times = measure(way, interval_s)
    ours, theirs = (times[kind] for kind in KINDS)
    ratio = statistics.median(ours) / statistics.median(theirs)
    say(f"{way} at {interval_s:g} s: lbfast {spread(ours)}, keepalived {spread(theirs)}")
    yield result(
        f"failover-{way}-{interval_s:g}", ratio, "ratio of medians", f"<= {BOUND}",
        "keepalived, same network, trials interleaved", ratio <= BOUND,
        median_s=round(statistics.median(ours), 5), peer_s=round(statistics.median(theirs), 5),
        pairs=len(ours),
    )  # fmt: skip


CLAIMS: dict[str, Callable[[], Iterator[Result]]] = {
    f"failover-{way}-{interval_s:g}": functools.partial(failover, way, interval_s)
    for interval_s in INTERVALS_S
    for way in WAYS
}
