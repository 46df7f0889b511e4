"""What does it cost to look a packet's connection up, among a thousand and among ten million?

Random plain packets of known NAT connections, in batches of 64, through the functions of the data
path: looking at the frame, hashing, fetching ahead, comparing.  Few and many are timed by turns
in one process, by the CPU time of its thread.

    python -m bench.lookup huge|small whole|lookup MANY ROUNDS  prints JSON: [few, many], ns
"""

from __future__ import annotations

import ctypes
import json
import socket
import subprocess
import sys
from pathlib import Path

from bench.bench_instructions import packet
from lbfast._fastpath import Lookups
from lbfast.control.tables import Engine
from lbfast.replay import network
from lbfast.replay.network import D0, D0_MAC, packed
from lbfast.selfcall import environment

UDP, PORT, MASQ, ALL = 17, 9, 0, 0xFFFFFFFF
FEW, PACKETS = 1000, 200_000
NOW_NS = 1_000_000_000_000
PR_SET_THP_DISABLE = 41
VIP = packed("10.9.0.1")
MODEL = D0_MAC + network.ROUTER_MAC + b"\x08\0" + packet(packed("20.0.0.0"), VIP, 1, PORT)


def without_huge_pages() -> None:
    """Let this process have none; OSError where the kernel does not know how."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_THP_DISABLE)")


def balanced(made: Engine) -> Engine:
    """Give an engine a network, and a NAT service of three real servers."""
    network.build(made, network.MTU)
    key = (int(socket.AF_INET), UDP, VIP, PORT, 0)
    made.service_put(key, b"rr", 0, 0, ALL, b"")
    for number in range(1, 4):
        server = (int(socket.AF_INET), packed(f"10.2.0.{number}"), PORT)
        made.server_put(key, server, MASQ, 1, 0, 0, 0, 0, 0)
    return made


def filled(made: Engine, first: int, end: int, now_ns: int = NOW_NS) -> Lookups:
    """Make the connections of these flows, by two packets each: the second takes the short way."""
    flows = Lookups(made, D0, MODEL, 7)
    before = made.plain()
    for _ in range(2):
        flows.fill(first, end, now_ns)
    if made.plain() - before < end - first:
        raise RuntimeError(f"not all were made: {made.reasons()}")
    return flows


def times(many: int, rounds: int, *, whole: bool) -> list[tuple[float, float]]:
    """Return nanoseconds a packet among few and among many, in turns."""
    sizes = (FEW, many)
    tables = []
    for size in sizes:
        engine = balanced(Engine(conns=size, dests=64, services=16, seed=1, now_ns=NOW_NS))
        tables.append(filled(engine, 0, size))
    found = []
    for _ in range(rounds):
        few, more = (
            table.time(size, PACKETS, whole) / PACKETS
            for table, size in zip(tables, sizes, strict=True)
        )
        found.append((few, more))
    return found


def measured(
    many: int, rounds: int, *, huge: bool, whole: bool = False
) -> list[tuple[float, float]]:
    """Return the same from a process of its own, with or without huge pages."""
    words = ["huge" if huge else "small", "whole" if whole else "lookup", str(many), str(rounds)]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env={**environment(), "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [(few, more) for few, more in json.loads(done.stdout)]


if __name__ == "__main__":
    if sys.argv[1] == "small":
        without_huge_pages()
    print(json.dumps(times(int(sys.argv[3]), int(sys.argv[4]), whole=sys.argv[2] == "whole")))
