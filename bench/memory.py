"""What does a connection take, and can ten million be held, taken over and listed?

A process makes the connections by the data path in the arena of a director and ends without a
word, as if killed; a director in a network of its own takes them over, and `ipvsadm -Lnc` lists
them.  Counted is all that grew: the arena's pages, the process's own, and its page tables.

    memory.py huge|small NAME CONNECTIONS    makes them; prints what they take as JSON
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.lookup import balanced, filled, without_huge_pages
from bench.say import say
from lbfast.control import arena
from lbfast.control.tables import open_engine
from lbfast.selfcall import COMMAND, environment
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Topology, addresses, link

SERVERS, SERVICES = 1 << 14, 1 << 12  # as `lbfast run` has them
IDLE_S = 3600
ATTACH_S, LIST_S = 120, 600


@dataclass(frozen=True, slots=True)
class Held:
    """What a table of so many NAT connections takes, in bytes."""

    connections: int
    grew: int  # by the connections
    total: int  # with all that is there before the first one
    arena: int
    huge: int  # of the arena's: in huge pages


def fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of /proc in bytes."""
    return {
        name: int(kib) * 1024 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", path.read_text())
    }


def taken(fd: int) -> int:
    """Return the bytes that this process and the arena take, page tables included."""
    own = fields(Path("/proc/self/smaps_rollup"))["Anonymous"]
    tables = fields(Path("/proc/self/status"))["VmPTE"]
    return own + tables + os.fstat(fd).st_blocks * 512


def hold(name: str, connections: int) -> Held:
    """Make the connections in the arena of that name, and leave them there."""
    fd = arena.make_file(name)
    now_ns = time.monotonic_ns()
    sizes = (connections, SERVERS, SERVICES)
    engine = open_engine(fd, sizes, workers=1, boot_id=arena.boot_id(), now_ns=now_ns)
    balanced(engine).set_setting("udp_timeout_s", IDLE_S)
    arena.finish_file(name)
    before = taken(fd)
    filled(engine, 0, connections, now_ns)
    after = taken(fd)
    huge = fields(Path("/proc/self/smaps_rollup"))["ShmemPmdMapped"]
    return Held(connections, after - before, after, os.fstat(fd).st_blocks * 512, huge)


@contextmanager
def held(connections: int, *, huge: bool = True) -> Iterator[tuple[str, Held]]:
    """Let a process of its own make them; yields the arena's name, which is removed at the end."""
    name = f"bench-{os.getpid()}"
    root = str(Path(__file__).resolve().parent.parent)
    words = [sys.executable, __file__, "huge" if huge else "small", name, str(connections)]
    try:
        done = subprocess.run(
            words, env={**environment(), "PYTHONPATH": root}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        yield name, Held(**json.loads(done.stdout))
    finally:
        arena.remove_file(name)


@dataclass(frozen=True, slots=True)
class Listed:
    """How a director took connections over and listed them."""

    rows: int
    seconds: float
    cpu_s: float  # of who lists
    attach_s: float
    grew: int  # bytes of the director's own memory while it was listed


def anonymous(process: Process) -> int:
    return fields(Path(f"/proc/{process.pid}/status"))["RssAnon"]


def listed(name: str, connections: int) -> Listed:
    """Start a director on the arena of that name and list its connections."""
    topology = Topology(
        "memory",
        (Host("client", addresses("l0", "10.9.1.1/24")),
         Host("director", addresses("in0", "10.9.1.254/24"))),
        (link("client:l0", "director:in0"),),
    )  # fmt: skip
    variables = {**environment(), "LBFAST_NAME": name}
    with Net(topology) as net:
        began = time.monotonic()
        words = [*COMMAND, "run", "--connections", str(connections)]
        director = net.start("director", words, "lbfast", variables)
        director.wait_for_line("ready", ATTACH_S)
        attach_s = time.monotonic() - began
        say(f"taken over in {attach_s:.1f} s")
        before, began, spent = anonymous(director), time.monotonic(), os.times()
        words = ["sh", "-c", f"{' '.join(COMMAND)} ipvsadm -Lnc | wc -l"]
        done = net.run("director", words, timeout_s=LIST_S, environment=variables)
        seconds, after = time.monotonic() - began, os.times()
        cpu_s = after.children_user + after.children_system
        cpu_s -= spent.children_user + spent.children_system
        return Listed(int(done.stdout) - 2, seconds, cpu_s, attach_s, anonymous(director) - before)


if __name__ == "__main__":
    if sys.argv[1] == "small":
        without_huge_pages()
    print(json.dumps(asdict(hold(sys.argv[2], int(sys.argv[3])))))
