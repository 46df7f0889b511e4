"""A director on a machine that is short of CPU and of the kernel's lock of routing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from netns import pair
from netns.wait import wait_for
from tests.e2e.conftest import Networks
from tests.e2e.pair import Pair

LOAD_S = 15.0
NETWORKS = """\
while :; do unshare -n sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 \
21 22 23 24 25 26 27 28 29 30; do ip link add type veth; done'; done
"""
BUSY = "while True: pass"


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Let networks of 30 pairs of links come and go, and twice as many as CPUs be busy."""
    words = [["sh", "-c", NETWORKS]] * 2
    words += [[sys.executable, "-c", BUSY]] * (2 * (os.cpu_count() or 1))
    running = [subprocess.Popen(each, process_group=0) for each in words]
    try:
        yield
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def reload(lab: Pair, interval_s: float, third: int) -> None:
    """Give the leader 40 other addresses: each takes the lock of routing twice."""
    more = "\n".join(f"10.3.{third}.{number}/32" for number in range(1, 41))
    text = pair.CONFIGURATION.format(priority=200, interval=interval_s)
    block = f"    virtual_ipaddress_excluded {{\n{more}\n    }}\n    virtual_ipaddress {{"
    path = lab.net.scratch / "one.conf"
    path.write_text(text.replace("    virtual_ipaddress {", block))
    lab.managers["one"].process.signal(signal.SIGHUP)

    def is_done() -> bool:
        listed = lab.net.run("one", ["ip", "-4", "addr"]).stdout
        return listed.count(f"inet 10.3.{third}.") == listed.count("inet 10.3.") == 40

    wait_for(is_done, 60, "the new addresses")


@pytest.mark.parametrize("interval_s", [1.0, 0.2])
def test_no_process_is_replaced_for_being_slow(network: Networks, interval_s: float) -> None:
    lab = Pair(network(pair.topology()), interval_s)
    before = {name: manager.children() for name, manager in lab.managers.items()}
    with load():
        end_s, rounds = time.monotonic() + LOAD_S, 0
        while time.monotonic() < end_s:
            rounds += 1
            reload(lab, interval_s, rounds % 2)
    assert {name: manager.children() for name, manager in lab.managers.items()} == before
    for manager in lab.managers.values():
        assert ": killed" not in manager.process.stderr()
    lab.strike("vrrp", signal.SIGSTOP)
    assert "stopped (T): killed" in lab.managers["one"].process.stderr()
    lab.stop()
