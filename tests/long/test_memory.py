"""Memory under load: ten minutes of connections that come and go."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from bench.lab import CLIENT, DISCARD, SERVER, VIP, Lab, lab
from bench.program import pinned, program

LOAD_S = float(os.environ.get("LBFAST_LOAD_S", "600"))
SETTLED = 0.2  # of the time, after which every table has had its largest size
PPS, FLOWS, UDP_TIMEOUT_S = 20_000, 60_000, 10
ROOM_KIB = 2048


def resident_kib(pid: int) -> int:
    """Return what a process holds of its own; the arena's file is another count."""
    found = re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def shared_kib(pid: int) -> int:
    """Return the resident part of the arena."""
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(n) for n in re.findall(r"^Rss(?:Shmem|File):\s+(\d+)", text, re.MULTILINE))


def flood(net: Lab, seconds: float) -> None:
    """Offer new flows all the time: each of them is gone before its port comes again."""
    words = ["flood", "l0", str(PPS), f"{seconds:.1f}", str(FLOWS), f"dst={net.mac}", "burst=16"]
    words += [f"src={CLIENT}", f"to={VIP}:{DISCARD}"]
    net.net.run("client", pinned(0, [program("generate"), *words]), timeout_s=seconds + 60)


@pytest.mark.long
@pytest.mark.net_admin
@pytest.mark.timeout(LOAD_S * 1.5 + 120)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces and packet rings")
def test_memory_ten_minutes_of_load_does_not_grow() -> None:
    with lab() as net:
        net.ipvsadm(f"--set 0 0 {UDP_TIMEOUT_S}")
        net.ipvsadm(f"-A -u {VIP}:{DISCARD} -s rr")
        net.ipvsadm(f"-a -u {VIP}:{DISCARD} -r {SERVER}:{DISCARD} -g")
        begin = time.monotonic()
        flood(net, LOAD_S * SETTLED)
        pid = net.director.pid
        own, arena, sent = resident_kib(pid), shared_kib(pid), net.received("l0")
        flood(net, LOAD_S * (1 - SETTLED))
        grown = (resident_kib(pid) - own, shared_kib(pid) - arena)
        assert net.received("l0") > sent
        assert time.monotonic() - begin >= LOAD_S
        assert max(grown) <= ROOM_KIB, f"grown by {grown} KiB from {own} and {arena}"
