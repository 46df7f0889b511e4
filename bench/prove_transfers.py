"""Claims on whole transfers: the same bytes arrive, with every offload on, and over a crash.

The network is that of the demonstration, with nginx as real servers.  Offloads are switched on at
every interface, GRO too, which veth leaves off by default.
"""

from __future__ import annotations

import functools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lab import result
from bench.rows import spread
from bench.say import say
from bench.watch import Watch
from lbfast.demos.scene import Plot, Scene, played
from lbfast.demos.traffic import file_digest, make_file
from lbfast.selfcall import COMMAND, environment
from netns import basic
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for
from netns.web import wait_for_listener

SIZE = 200_000_000
RESTART_SIZE, RESTART_RATE = 60_000_000, "12M"
SWITCHES = ("rx", "tx", "sg", "tso", "gso", "gro")
PAIRS, IPERF_S = 3, 3
NAMES = {"nat": "NAT", "dr": "DR", "tun": "TUN"}
Result = dict[str, object]


@contextmanager
def scene(method: str, size: int) -> Iterator[tuple[Scene, str]]:
    """Play a scene of the demonstration with every offload on; yield it and its file's digest."""
    with tempfile.TemporaryDirectory() as directory:
        digest = make_file(Path(directory) / "large", size)
        with played(Plot(method, 4), Path(directory)) as stage:
            offload(stage.net)
            stage.add_rules("rr")
            yield stage, digest


def offload(net: Net) -> None:
    """Switch on checksum offload, TSO, GSO and GRO at both ends of every link."""
    for host in net.topology.hosts:
        for name in net.topology.interfaces(host.name):
            words = [word for switch in SWITCHES for word in (switch, "on")]
            net.run(host.name, ["ethtool", "-K", name, *words])


def checksum_errors(net: Net) -> int:
    """Return how many bad checksums all hosts have seen, in every protocol."""
    found = 0
    for host in net.topology.hosts:
        table = json.loads(net.run(host.name, ["nstat", "-azj"]).stdout)["kernel"]
        found += sum(n for name, n in table.items() if name.endswith("InCsumErrors"))
    return found


def fetch(stage: Scene, *options: str) -> Process:
    """Start the download of the large file at client1."""
    target = str(stage.net.scratch / "fetched")
    url = f"http://{stage.plot.service}/files/large"
    return stage.net.start(
        "client1", ["curl", "-sSf", "--max-time", "120", *options, "-o", target, url], "fetch"
    )


def push(stage: Scene, *options: str) -> Process:
    """Start the upload of the large file at client2."""
    source = str(stage.net.scratch / "files" / "large")
    url = f"http://{stage.plot.service}/upload/pushed"
    return stage.net.start(
        "client2", ["curl", "-sSf", "--max-time", "120", *options, "-T", source, url], "push"
    )


def wrong_transfers(stage: Scene, digest: str, *running: Process) -> int:
    """Wait for both transfers; return how many did not arrive as they were sent."""
    wrong = 0
    for process in running:
        if process.wait(130):
            say(f"curl: {process.stderr().strip()}")
            wrong += 1
    pushed = list(stage.net.scratch.glob("rs*-nginx-80/upload/pushed"))
    arrived = [stage.net.scratch / "fetched", *pushed]
    same = sum(path.exists() and file_digest(path) == digest for path in arrived)
    return max(wrong, 2 - same)


def integrity(method: str) -> Iterator[Result]:
    """200 MB each way; hashes, the kernel's counters and every captured frame must be right."""
    with scene(method, SIZE) as (stage, digest):
        hosts = ("client1", *basic.REAL_SERVERS)
        with Watch(stage.net, hosts) as watch:
            wrong = wrong_transfers(stage, digest, fetch(stage))
            wrong = wrong_transfers(stage, digest, push(stage))
        errors = checksum_errors(stage.net)
    seen, super_frames, bad = watch.totals()
    yield result(
        f"{method}-integrity",
        wrong + errors + bad,
        "errors",
        "0",
        "SHA-256 of what was sent",
        wrong + errors + bad == 0 and super_frames > 0,
        bytes_each_way=SIZE,
        wrong_hashes=wrong,
        checksum_errors=errors,
        frames_captured=seen,
        of_them_super_frames=super_frames,
        captured_with_bad_checksum=bad,
    )


def restart(method: str) -> Iterator[Result]:
    """Kill the director in mid-transfer and start it again: both transfers must finish."""
    with scene(method, RESTART_SIZE) as (stage, digest):
        running = (
            fetch(stage, "--limit-rate", RESTART_RATE),
            push(stage, "--limit-rate", RESTART_RATE),
        )
        fetched = stage.net.scratch / "fetched"
        wait_for(
            lambda: fetched.exists() and fetched.stat().st_size > RESTART_SIZE // 5,
            what="a fifth of the download",
        )
        stage.director.kill()
        at = fetched.stat().st_size
        again = stage.net.start("director", [*COMMAND, "run"], "again", environment())
        again.wait_for_line("lbfast: ready", 30)
        came_back = fetched.stat().st_size
        wrong = wrong_transfers(stage, digest, *running)
        took_over = "took over" in again.stderr()
    ok = wrong == 0 and at < RESTART_SIZE and took_over
    more = {"bytes_at_kill": at, "bytes_when_ready": came_back, "took_over": took_over}
    peer = "SHA-256 of what was sent"
    yield result(f"restart-{method}", wrong, "wrong transfers", "0", peer, ok, **more)


def iperf(net: Net, target: str, port: int) -> float:
    """Return the rate of one flow from client1, in Mb/s."""
    words = ["iperf3", "-c", target, "-p", str(port), "-t", str(IPERF_S), "-J"]
    out = json.loads(net.run("client1", words, timeout_s=IPERF_S + 30).stdout)
    return float(out["end"]["sum_received"]["bits_per_second"]) / 1e6


def iperf_ratio() -> Iterator[Result]:
    """One flow through lbfast NAT, and with lbfast stopped through the same host's forwarding."""
    rates: list[tuple[float, float]] = []
    with Net(basic.topology("nat")) as net:
        offload(net)
        rip = basic.rip("nat", "rs1", 4)
        net.start("rs1", ["iperf3", "-s", "-p", "5201"], "iperf3")
        wait_for_listener(net, "rs1", 5201)
        iperf(net, rip, 5201)
        for number in range(PAIRS):
            plain = iperf(net, rip, 5201)
            director = net.start("director", [*COMMAND, "run"], f"lbfast-{number}", environment())
            director.wait_for_line("lbfast: ready", 30)
            service = f"{basic.VIP[4]}:5201"
            for words in (f"-A -t {service} -s rr", f"-a -t {service} -r {rip}:5201 -m"):
                command = [*COMMAND, "ipvsadm", *words.split()]
                net.run("director", command, environment=environment())
            rates.append((iperf(net, basic.VIP[4], 5201), plain))
            director.stop()
    ratio = statistics.median(mine / plain for mine, plain in rates)
    yield result(
        "iperf-nat-ratio",
        ratio,
        "ratio",
        ">= 0.5",
        "kernel forwarding, same run",
        ratio >= 0.5,
        mbps=spread([mine for mine, _ in rates]),
        peer_mbps=spread([plain for _, plain in rates]),
    )


CLAIMS: dict[str, Callable[[], Iterator[Result]]] = {
    **{f"{method}-integrity": functools.partial(integrity, method) for method in basic.METHODS},
    "iperf-nat-ratio": iperf_ratio,
    **{f"restart-{method}": functools.partial(restart, method) for method in ("nat", "dr")},
}
TIMELESS = tuple(name for name in CLAIMS if name != "iperf-nat-ratio")
