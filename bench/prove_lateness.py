"""Claim on VRRP under load: how late adverts leave while the checkers are at work.

One director (`lbfast run -f`) leads an instance of version 3 with an advert every 10 ms and
checks a thousand real servers once a second.  An observer's capture tells when the adverts
passed.  Beside it, in the same run and with the same real-time priority, a process does nothing
but sleep to the same rhythm: what the machine alone is late by.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.lab import ROOT, result
from bench.prove_checks import SERVERS, site
from bench.say import say
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.vrrplab import EXPRESSION, adverts, mac_of, text_of, topology, v3

INTERVAL_S = 0.01
MEASURE_S = 30.0
BOUND_MS = 10.0
MIN_RATE = 0.95  # of the checks that are due, else it is no measurement under load
PORT = 8080
CHECKS = {"tcp": "TCP_CHECK { connect_timeout 3 }", "http": "HTTP_GET { url { path / } }"}


def lateness(times: Sequence[float], interval_s: float) -> list[float]:
    """Return by how much each event came after the rhythm that the earliest of them keep, in
    seconds.  After a gap of two intervals the rhythm begins anew, and the gap counts once."""
    late, start = [], 0
    gaps = [
        number
        for number, (a, b) in enumerate(itertools.pairwise(times), 1)
        if b - a > 2 * interval_s
    ]
    for end in [*gaps, len(times)]:
        beats = [at - number * interval_s for number, at in enumerate(times[start:end])]
        first = min(beats)
        late += [beat - first for beat in beats]
        if end < len(times):
            late.append(times[end] - times[end - 1] - interval_s)
        start = end
    return late


def tail_ms(late: Sequence[float]) -> float:
    """Return the 99.9th percentile in milliseconds."""
    return statistics.quantiles(late, n=1000, method="inclusive")[-1] * 1e3


def sleeper(seconds: float) -> list[float]:
    """Return when a sleep to each multiple of the interval ended."""
    began = time.monotonic()
    woke = []
    for number in range(1, int(seconds / INTERVAL_S) + 1):
        time.sleep(max(0.0, began + number * INTERVAL_S - time.monotonic()))
        woke.append(time.monotonic())
    return woke


def configuration(kind: str) -> str:
    """Return keepalived.conf: the instance, and a service of a thousand checked servers."""
    servers = "\n".join(
        f"real_server 127.1.{at >> 8}.{at & 255} {PORT} {{ {CHECKS[kind]} }}"
        for at in range(1, SERVERS + 1)
    ).replace("{ ", "{\n").replace(" }", "\n}")  # fmt: skip
    instance = text_of(v3(150, advert_us=int(INTERVAL_S * 1e6)), "va")
    return (
        f"{instance}virtual_server 10.9.0.100 80 {{\ndelay_loop 1\nlb_algo rr\nlb_kind NAT\n"
        f"protocol TCP\n{servers}\n}}\n"
    )


def accepted(net: Net) -> int:
    """Return how many connections the web server has accepted."""
    answer = net.run("va", ["curl", "-s", f"http://127.0.0.1:{PORT}/status"]).stdout
    return int(answer.split("server accepts handled requests\n")[1].split()[0])


def measure(kind: str) -> dict[str, float]:
    """Return the adverts' and the sleeper's lateness (p99.9, ms), and the checks a second."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = Net(topology(), scratch)
        stack.callback(net.remove)
        path = scratch / "keepalived.conf"
        path.write_text(configuration(kind))
        net.start("va", site(scratch, PORT), "nginx")
        director = net.start("va", [sys.executable, "-m", "lbfast", "run", "-f", str(path)])
        wait_for(lambda: "Entering MASTER STATE" in director.stdout() + director.stderr(), 40)
        wait_for(lambda: accepted(net) > 2 * SERVERS, 40, "two rounds of checks")
        words = ["chrt", "-r", "1", sys.executable, "-m", "bench.prove_lateness", str(MEASURE_S)]
        with Capture(net, "vo", "eth0", EXPRESSION, snap=100) as capture:
            before, began = accepted(net), time.monotonic()
            bare = net.start("va", words, "sleeper", {"PYTHONPATH": str(ROOT)})
            bare.wait(MEASURE_S + 30)
            rate = (accepted(net) - before) / (time.monotonic() - began)
        sent = [one.at for one in adverts(capture, mac_of(net, "va"))]
        slept = json.loads(bare.stdout())
    return {
        "adverts": tail_ms(lateness(sent, INTERVAL_S)),
        "sleeper": tail_ms(lateness(slept, INTERVAL_S)),
        "sent": len(sent),
        "rate": rate,
    }


def claim(kind: str) -> Iterator[dict[str, object]]:
    """Yield what adverts are late by beyond a sleeper."""
    seen = measure(kind)
    say(f"{kind}: adverts {seen['adverts']:.2f} ms, sleeper {seen['sleeper']:.2f} ms (p99.9)")
    extra = seen["adverts"] - seen["sleeper"]
    ok = (
        extra <= BOUND_MS
        and seen["rate"] >= MIN_RATE * SERVERS
        and seen["sent"] >= MIN_RATE * MEASURE_S / INTERVAL_S
    )
    yield result(
        f"adverts-under-{kind}-checks", round(extra, 3), "ms at p99.9", f"<= {BOUND_MS:g}",
        "a bare sleeper in the same run", ok, adverts_ms=round(seen["adverts"], 3),
        sleeper_ms=round(seen["sleeper"], 3), adverts=seen["sent"], rate=round(seen["rate"]),
    )  # fmt: skip


CLAIMS: dict[str, Callable[[], Iterator[dict[str, object]]]] = {
    f"adverts-under-{kind}-checks": functools.partial(claim, kind) for kind in CHECKS
}

if __name__ == "__main__":
    print(json.dumps(sleeper(float(sys.argv[1]))))
