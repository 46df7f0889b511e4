"""Data stays whole with offloads on at every end, at some, at none."""

from __future__ import annotations

import pytest

from netns import basic
from netns.build import Net
from tests.e2e.capture import Capture
from tests.e2e.conftest import Directors, Networks
from tests.e2e.transfers import (
    assert_no_checksum_errors,
    assert_whole_both_ways,
    bad_checksums,
    balance,
    switch_offloads,
)

SIZE = 8_000_000
SHAPES = [(method, family) for method in basic.METHODS for family in (4, 6)]
IDS = [f"{method} IPv{family}" for method, family in SHAPES]
# the interface of the director that super-frames come in on: replies with NAT, else requests
INBOUND = {"nat": "eth1", "dr": "eth0", "tun": "eth0"}
WITHOUT = {
    "the client": ["client1"],
    "the real servers": [*basic.REAL_SERVERS],
    "the director": ["director"],
    "all but the director": ["client1", "router", *basic.REAL_SERVERS],
}


@pytest.mark.covers("C-451", "C-454", "C-456")
@pytest.mark.parametrize(("method", "family"), SHAPES, ids=IDS)
def test_files_arrive_whole_with_offloads_on(
    method: str, family: int, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    webs = balance(net, director(net), method, family)
    with Capture(net, "director", INBOUND[method], "tcp and greater 4000", 96) as capture:
        assert_whole_both_ways(net, webs, family, SIZE)
    assert len(capture.packets) > 10, "no super-frames: this test proved nothing"
    assert_no_checksum_errors(net)


@pytest.mark.parametrize("method", basic.METHODS)
@pytest.mark.parametrize("hosts", WITHOUT.values(), ids=[f"without {name}" for name in WITHOUT])
def test_files_arrive_whole_with_offloads_on_at_some_ends(
    hosts: list[str], method: str, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    for host in hosts:
        switch_offloads(net, host, "off")
    webs = balance(net, director(net), method, 4)
    assert_whole_both_ways(net, webs, 4, SIZE)
    assert_no_checksum_errors(net)


@pytest.mark.parametrize(("method", "family"), SHAPES, ids=IDS)
def test_what_leaves_unfinished_to_a_plain_device_is_finished_right(
    method: str, family: int, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    switch_offloads(net, "director", "off")  # so the wire after it shows complete checksums
    webs = balance(net, director(net), method, family)
    where = {"nat": ("client1", "tcp and src port 80")}
    protocol = {"dr": "tcp and dst port 80", "tun": "ip proto 4 or ip6 proto 41"}
    host, expression = where.get(method) or ("director", protocol[method])
    if method != "nat":
        expression = f"( {expression} ) and ether src {own_mac(net)}"
    with Capture(net, host, "eth0", expression) as capture:
        assert_whole_both_ways(net, webs, family, 1_000_000)
    assert len(capture.packets) > 50
    assert max(len(packet) for packet in capture.packets) <= 1514
    assert bad_checksums(capture.packets) == []
    assert_no_checksum_errors(net)


@pytest.mark.parametrize("family", [4, 6])
def test_super_frames_are_tunnelled_whole(
    family: int, network: Networks, director: Directors
) -> None:
    net = network(basic.topology("tun"))
    webs = balance(net, director(net), "tun", family)
    wrapped = f"( ip proto 4 or ip6 proto 41 ) and greater 4000 and ether src {own_mac(net)}"
    with Capture(net, "director", "eth0", wrapped, 96) as capture:
        assert_whole_both_ways(net, webs, family, SIZE)
    assert len(capture.packets) > 10
    assert_no_checksum_errors(net)


def own_mac(net: Net) -> str:
    """Return the hardware address of the director's eth0."""
    return net.run("director", ["cat", "/sys/class/net/eth0/address"]).stdout.strip()
