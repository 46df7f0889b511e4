"""How many user-space instructions does choosing a server cost, by scheduler and servers?

For each number of servers one engine; for each scheduler a few TCP connections to begin with
(what was put off until the first choice is done then), the SYNs of 1,000 new ones (for the one in
Python 64), and the same SYNs again.  The difference between the last two is what is done once a
connection: choosing, making the entry, counting it, keeping the scheduler's structure in order.
Nothing else is counted: valgrind collects inside of the data path only.  The servers have
connections before, unevenly, and are local to the director: no next hop is looked up.

    schedulers.py                     the table; writes bench/results/schedulers.json
    schedulers.py plot [FILE]         draws that as SVG (docs/schedulers.svg); needs matplotlib
    schedulers.py run SERVERS NAMES   one run, to be counted
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.bench_instructions import environment, ones_sum
from lbfast.control.tables import Engine, Tables
from lbfast.replay import network
from lbfast.replay.network import D0, D0_MAC, packed

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench/results/schedulers.json"
PICTURE = ROOT / "docs/schedulers.svg"
COUNTED = "__pyx_f_6lbfast_9_fastpath_frames_run"  # a batch, from frames to frames
CALL = "__pyx_pw_6lbfast_9_fastpath_*bench"  # all batches of one call
BUILT_IN = (
    *("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf"),
    *("dh", "sh", "mh", "lblc", "lblcr", "twos"),
)
EXAMPLE = "least"  # docs/examples/least.py
SIZES = (1, 10, 100, 1_000, 10_000)
FLOWS, FLOWS_PYTHON, FIRST = 1_000, 64, 16  # connections measured; those to begin with
BEFORE = 3  # connections that a server has before, on average
AF_INET, TCP, LOCAL, SYN = 2, 6, 1, 2
PORT = 9
WEIGHT = 20_000  # no server is ever full for ovf
NOW_NS = 1_000_000_000_000
VIP = "10.9.0.1"
KEY = (AF_INET, TCP, packed(VIP), PORT, 0)
Figures = dict[str, dict[int, float]]


class CountError(Exception):
    """A run cannot be counted, or did not do what was to be counted."""


def syn(client: bytes, port: int) -> bytes:
    """Return an IP packet; nothing looks at the checksum of its TCP header."""
    head = struct.pack(">BBHIBB", 0x45, 0, 40, 0, 64, TCP)
    check = struct.pack(">H", 0xFFFF - ones_sum(head + client + packed(VIP)))
    tcp = struct.pack(">HHIIBBHHH", port, PORT, 1000, 0, 0x50, SYN, 8192, 0, 0)
    return head + check + client + packed(VIP) + tcp


def frames(first: int, n: int) -> list[tuple[int, bytes, bytes]]:
    """Return the SYNs of `n` connections, each from a client of its own."""
    head = D0_MAC + network.ROUTER_MAC + b"\x08\x00"
    numbers = range(first, first + n)
    clients = [bytes((10, 1, k >> 8 & 255, k & 255)) for k in numbers]
    return [
        (D0, b"", head + syn(client, 1024 + (k >> 16)))
        for k, client in zip(numbers, clients, strict=True)
    ]


def engine(servers: int) -> Engine:
    """Return an engine with a service of so many servers; their weights are as 1 to 5."""
    made = Engine(conns=1 << 17, dests=1 << 14, seed=1, now_ns=NOW_NS)
    network.build(made, network.MTU)
    made.service_put(KEY, b"rr", 0, 0, 0xFFFFFFFF, b"")
    for k in range(servers):
        server = (AF_INET, bytes((10, 2, k >> 8, k & 255)), PORT)
        made.server_put(KEY, server, LOCAL, WEIGHT * (1 + k % 5), 0, 0, 0, 0, 0)
    return made


def run(servers: int, names: list[str]) -> None:
    """Make the connections of each scheduler, then send on them again; CountError unless every
    packet found a server."""
    from lbfast._fastpath import bench

    made = engine(servers)
    if EXAMPLE in names:
        Tables(made).add_scheduler(EXAMPLE, example())
    before = BEFORE * servers
    made.service_put(KEY, b"twos", 0, 0, 0xFFFFFFFF, b"", edit=True)
    bench(made, frames(0, before), before, before, NOW_NS)
    at = before
    for name in names:
        made.service_put(KEY, name.encode(), 0, 0, 0xFFFFFFFF, b"", edit=True)
        first, flows = frames(at, FIRST), frames(at + FIRST, flows_of(name))
        at += len(first) + len(flows)
        for sent in (first, flows, flows):
            verdicts = bench(made, sent, len(sent), len(sent), NOW_NS)
            if verdicts["host"] != len(sent):
                raise CountError(f"{name}: not all found a server: {verdicts}, {made.reasons()}")
    if (connections := len(made.connections()[0])) != at:
        raise CountError(f"{connections} connections, expected {at}")


def flows_of(name: str) -> int:
    return FLOWS_PYTHON if name == EXAMPLE else FLOWS


def example() -> Any:
    """Return the scheduler in Python that docs/schedulers.md shows."""
    spec = importlib.util.spec_from_file_location(EXAMPLE, ROOT / f"docs/examples/{EXAMPLE}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Least


def count(servers: int, names: list[str]) -> dict[str, float]:
    """Return the instructions that a new connection takes more than a packet of a known one."""
    if shutil.which("valgrind") is None:
        raise CountError("valgrind is missing")
    with tempfile.TemporaryDirectory() as directory:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out"]
        tool += [f"--toggle-collect={COUNTED}", f"--dump-after={CALL}"]
        words = [sys.executable, __file__, "run", str(servers), *names]
        done = subprocess.run(
            [*tool, *words], capture_output=True, text=True, check=False, env=environment()
        )
        if done.returncode:
            raise CountError(done.stderr.strip().splitlines()[-1])
        # 1: the connections before; then three calls for each name
        dumps = [_summary(Path(directory, f"out.{2 + k}")) for k in range(3 * len(names))]
    pairs = zip(names, dumps[1::3], dumps[2::3], strict=True)
    return {name: (new - known) / flows_of(name) for name, new, known in pairs}


def _summary(dump: Path) -> int:
    """Return what one call took."""
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.MULTILINE)
    if found is None:
        raise CountError(f"{dump.name}: no count in it")
    return int(found[1])


def measure(names: tuple[str, ...], sizes: tuple[int, ...]) -> Figures:
    """Return instructions a new connection, by scheduler and number of servers."""
    figures: Figures = {name: {} for name in names}
    for size in sizes:
        for name, value in count(size, list(names)).items():
            figures[name][size] = round(value, 1)
    return figures


def table(figures: Figures) -> str:
    sizes = list(next(iter(figures.values())))
    rows = [f"{'servers':<8}" + "".join(f"{size:>10,}" for size in sizes)]
    for name, row in figures.items():
        rows.append(f"{name:<8}" + "".join(f"{row[size]:>10,.0f}" for size in sizes))
    return "\n".join(rows)


def plot(figures: Figures, picture: Path) -> None:
    """Draw instructions over servers: the built-in ones, and the one in Python beside wlc."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lbfast"  # the same figures give the same file
    from matplotlib import pyplot

    _, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.5), width_ratios=(2, 1))
    lines = ("-", "--", ":", "-.")
    for number, (name, row) in enumerate(figures.items()):
        style = {"color": f"C{number % 10}", "linestyle": lines[number // 4 % 4]}
        for axes in (left, right) if name == "wlc" else (right if name == EXAMPLE else left,):
            axes.plot(list(row), list(row.values()), marker=".", label=name, **style)
    for axes in (left, right):
        axes.set(xscale="log", xlabel="real servers of the service")
        axes.grid(True, which="major", alpha=0.3)
    left.set(ylim=0, ylabel="user-space instructions a new connection")
    left.legend(ncols=5, loc="lower center", fontsize="small")
    right.set(yscale="log", title=f"{EXAMPLE}, in Python")
    right.legend(loc="upper left", fontsize="small")
    pyplot.savefig(picture, metadata={"Date": None}, bbox_inches="tight")


def load() -> Figures:
    """Return the figures of the last run that was written down."""
    rows = json.loads(RESULT.read_text())["instructions"]
    return {name: {int(size): value for size, value in row.items()} for name, row in rows.items()}


def main(words: list[str]) -> int:
    try:
        if words[:1] == ["run"]:
            run(int(words[1]), words[2:])
            return 0
        if words[:1] == ["plot"]:
            plot(load(), Path(words[1]) if words[1:] else PICTURE)
            return 0
        figures = measure((*BUILT_IN, EXAMPLE), SIZES)
    except CountError as error:
        print(f"schedulers: {error}", file=sys.stderr)
        return 1
    RESULT.parent.mkdir(exist_ok=True)
    unit = "user-space instructions a new connection beyond those of a known one's packet"
    RESULT.write_text(json.dumps({"unit": unit, "instructions": figures}, indent=1) + os.linesep)
    print(table(figures))
    growth = {n: figures[n][SIZES[-1]] / figures[n][10] for n in BUILT_IN}
    worst = max(growth, key=lambda name: growth[name])
    print(f"scheduler-growth {growth[worst]:.2f} times ({worst}, 10,000 servers beside 10)")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
