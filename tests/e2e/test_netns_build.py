"""Networks are built whole, removed whole, and never taken from whoever uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.selfcall import environment
from netns import ownership, selftest
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Route, Topology, addresses, link
from tests.e2e.conftest import Networks

BUILDER = """\
import signal, sys
from netns import selftest
from netns.build import Net
net = Net(selftest.topology("nat"))
net.start("ns2", ["sleep", "600"])
print(net.prefix, flush=True)
signal.pause()
"""


def builder(scratch: Path) -> tuple[Process, str]:
    """Return a process that holds a network, and the prefix of that."""
    process = Process([sys.executable, "-c", BUILDER], scratch / "builder", environment())
    process.wait_for_line("\n")
    return process, process.stdout().strip()


def test_what_a_killed_process_left_is_removed(scratch: Path) -> None:
    process, prefix = builder(scratch)
    assert len(ownership.namespaces(prefix)) == 3
    (sleeper,) = inhabitants(f"{prefix}-ns2")
    process.kill()
    ownership.clean_leftovers()  # or another test that builds at this moment
    assert ownership.namespaces(prefix) == []
    assert not Path(f"/proc/{sleeper}/exe").exists()


def test_what_is_in_use_is_left_alone(scratch: Path) -> None:
    process, prefix = builder(scratch)
    try:
        assert prefix not in ownership.clean_leftovers()
        with pytest.raises(ValueError, match="still in use"):
            ownership.remove(prefix)
        assert len(ownership.namespaces(prefix)) == 3
    finally:
        process.kill()
        ownership.clean_leftovers()


def test_what_was_never_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="no network of that name"):
        ownership.remove("lbnone")


def test_two_networks_of_one_topology_do_not_meet(network: Networks) -> None:
    one, two = network(selftest.topology("nat")), network(selftest.topology("nat"))
    assert one.prefix != two.prefix
    for net in (one, two):
        net.run("ns0", ["ping", "-c1", "-W2", selftest.VIP])


def test_network_that_the_system_refuses_leaves_nothing(scratch: Path) -> None:
    lost = Host("lost", addresses("eth0", "10.0.0.1/24"), (Route("default", via="10.9.9.9"),))
    topology = Topology("bad", (lost, Host("b")), (link("lost:eth0", "b:eth0"),))
    with pytest.raises(RuntimeError, match="lost: "):
        Net(topology, scratch)
    assert not list(ownership.NAMESPACES.glob("lb*-lost"))


def test_offloads_stay_on(network: Networks) -> None:
    net = network(selftest.topology("dr"))
    shown = net.run("ns1", ["ethtool", "-k", "veth10"]).stdout
    for feature in ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload"):
        assert f"{feature}: on" in shown


def inhabitants(namespace: str) -> list[int]:
    """Return the processes that live in a namespace."""
    out = subprocess.run(
        ["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True
    ).stdout
    return [int(pid) for pid in out.split()]
