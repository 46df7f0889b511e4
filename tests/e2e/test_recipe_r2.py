"""Recipe R2: tunnelling to real servers beside the director and in networks of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from scapy.layers.inet import IP

from lbfast.demos.traffic import file_digest, make_file
from netns import recipes_r2 as r2
from netns.build import Net
from netns.web import WebServer, start_web
from tests.e2e.capture import Capture
from tests.e2e.client import fetch, upload
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import realserver
from tests.e2e.transfers import switch_offloads

PLACES = {
    "the real servers beside the director": (r2.beside, r2.BESIDE),
    "each real server in a network of its own": (r2.apart, r2.APART),
}


@pytest.fixture(params=PLACES.values(), ids=list(PLACES))
def place(
    request: pytest.FixtureRequest, network: Networks, director: Directors
) -> tuple[Net, Mapping[str, str], dict[str, WebServer]]:
    """Return the network, the real servers' addresses and their web servers."""
    topology, rips = request.param
    net = network(topology())
    webs = {}
    for name in rips:
        assert realserver(net, name, "add", r2.VIP, "--tunnel").returncode == 0
        webs[name] = start_web(net, name)
    balancer = director(net)
    balancer.typed("ipvsadm -A -t 192.168.56.110:80 -s wrr")
    for name, weight in r2.WEIGHTS.items():
        balancer.typed(f"ipvsadm -a -t 192.168.56.110:80 -r {rips[name]} -i -w {weight}")
    return net, rips, webs


Place = tuple[Net, Mapping[str, str], dict[str, WebServer]]


def test_requests_are_spread_by_weight_and_keep_the_client(place: Place) -> None:
    net, _, _ = place
    answers = fetch(net, "client", r2.VIP, 36)
    assert Counter(a.host for a in answers) == {"rs1": 18, "rs2": 12, "rs3": 6}
    assert {(a.client, a.server) for a in answers} == {(r2.CIP, r2.VIP)}


def test_full_size_segments_pass_within_the_path_mtu(place: Place) -> None:
    net, rips, webs = place
    digest = make_file(net.scratch / "sent", 2_000_000)
    switch_offloads(net, "director", "off")  # what a device would cut is cut before it is seen
    with Capture(net, "director", "eth0", "ip proto 4") as capture:
        sent = upload(net, "client", f"http://{r2.VIP}/upload/got", net.scratch / "sent")
        assert sent.wait() == 0, sent.stderr()
    (chosen,) = [name for name, web in webs.items() if (web.uploads / "got").exists()]
    assert file_digest(webs[chosen].uploads / "got") == digest
    outer = [packet[IP] for packet in capture.packets]
    assert {packet.dst for packet in outer} == {rips[chosen]}
    # full use of the path, no fragment, and nothing bigger than it
    assert max(packet.len for packet in outer) == 1500
    assert not any(packet.frag or "MF" in packet.flags for packet in outer)
