"""A link that goes down and comes back under a running director."""

from __future__ import annotations

import time

import pytest

from netns import basic
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.client import download, endpoint
from tests.e2e.conftest import Directors, Networks
from tests.e2e.transfers import assert_whole_both_ways, balance

URL = f"http://{endpoint(basic.VIP[4], 80)}/files/large"
SIZE = 8_000_000


def fetched(net: Net) -> bool:
    return download(net, "client1", URL, net.scratch / "got").wait(20) == 0


def out_of_order(net: Net) -> int:
    """Segments that the client has had to queue because an earlier one was missing."""
    return int(net.run("client1", ["nstat", "-az", "TcpExtTCPOFOQueue"]).stdout.split()[-2])


@pytest.mark.parametrize("interface", ["eth0", "eth1"])
def test_large_transfers_are_as_before_after_a_link_was_down(
    interface: str, network: Networks, director: Directors
) -> None:
    net = network(basic.topology("nat"))
    webs = balance(net, director(net), "nat", 4)
    assert_whole_both_ways(net, webs, 4, SIZE)
    route = net.run("director", ["ip", "route", "show", "default"]).stdout.split()
    for state in ("down", "up"):
        net.run("director", ["ip", "link", "set", interface, state])
    net.run("director", ["ip", "route", "replace", *route])
    wait_for(lambda: fetched(net), timeout_s=30)
    before = out_of_order(net)
    assert fetched(net)
    assert out_of_order(net) - before < 5, "frames were mixed up on their way"


def test_a_renamed_interface_is_followed_at_once(network: Networks, director: Directors) -> None:
    net = network(basic.topology("nat"))
    balancer = director(net)
    assert_whole_both_ways(net, balance(net, balancer, "nat", 4), 4, SIZE)
    for old, new in (("eth1", "inside"), ("inside", "behind"), ("behind", "eth1")):
        begin = time.monotonic()
        net.run("director", ["ip", "link", "set", old, "name", new])
        balancer.process.wait_for_line(f"+{new}")
        assert time.monotonic() - begin < 0.6, "the watch, once a second, had to find it"
        assert fetched(net)
