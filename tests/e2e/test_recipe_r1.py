"""Recipe R1: direct routing by hand, four real servers."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from netns import recipes_r1 as r1
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.capture import Capture
from tests.e2e.client import fetch, hold
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

LISTING = """\
IP Virtual Server version 1.2.1 (size=SIZE)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  172.16.16.172:80 rr
  -> 172.16.16.177:80             Route   1      0          3         
  -> 172.16.16.178:80             Route   1      0          3         
  -> 172.16.16.179:80             Route   1      0          3         
  -> 172.16.16.180:80             Route   1      0          3         
"""  # noqa: W291 (ipvsadm pads the last column)


@pytest.fixture
def net(network: Networks) -> Net:
    net = network(r1.topology())
    for name in r1.RIPS:
        assert realserver(net, name, "add", r1.VIP).returncode == 0
        start_web(net, name)
    return net


@pytest.fixture
def balancer(net: Net, director: Directors) -> Director:
    balancer = director(net)
    balancer.typed("ipvsadm -A -t 172.16.16.172:80 -s rr")
    for last in (177, 178, 179, 180):
        balancer.typed(f"ipvsadm -a -t 172.16.16.172:80 -r 172.16.16.{last} -g -w 1")
    return balancer


def test_real_server_is_prepared_as_the_recipe_says(net: Net) -> None:
    addresses = net.run("rs1", ["ip", "-4", "addr", "show", "dev", "lo"]).stdout
    assert re.search(r"inet 172\.16\.16\.172/32 .* lo:0\n", addresses)
    assert net.run("rs1", ["ip", "route", "show", r1.VIP]).stdout.split()[:3] == [
        r1.VIP,
        "dev",
        "lo",
    ]
    for scope in ("all", "default", "lo"):
        names = [f"net.ipv4.conf.{scope}.{name}" for name in ("arp_ignore", "arp_announce")]
        assert net.run("rs1", ["sysctl", "-n", *names]).stdout.split() == ["1", "2"]


@pytest.mark.usefixtures("balancer")
def test_requests_are_spread_evenly_and_keep_the_client(net: Net) -> None:
    answers = fetch(net, "client", "172.16.16.172", 40)
    assert Counter(a.host for a in answers) == dict.fromkeys(r1.RIPS, 10)
    assert {(a.client, a.server) for a in answers} == {("10.10.10.2", r1.VIP)}


def test_replies_never_cross_the_director(net: Net, balancer: Director) -> None:
    with Capture(net, "director", "eth0", "tcp and src host 172.16.16.172") as capture:
        fetch(net, "client", "172.16.16.172", 8)
    assert capture.packets == []
    rows = balancer.counted("172.16.16.172:80", 8)
    assert rows.outpkts == rows.outbytes == 0
    assert rows.inpkts >= 8 * 4


def test_listing_has_the_layout_of_ipvsadm(net: Net, balancer: Director) -> None:
    fetch(net, "client", "172.16.16.172", 12)
    wait_for(lambda: all(load.inactive == 3 for load in balancer.loads().values()))
    listing = balancer.ipvsadm("-ln")
    assert re.sub(r"size=\d+", "size=SIZE", listing) == LISTING


def test_active_and_inactive_connections_move(net: Net, balancer: Director) -> None:
    held = [hold(net, "client", "172.16.16.172:80") for _ in r1.RIPS]
    wait_for(lambda: [load.active for load in balancer.loads().values()] == [1, 1, 1, 1])
    assert {load.inactive for load in balancer.loads().values()} == {0}
    for process in held:
        process.stop()
    wait_for(lambda: [load.active for load in balancer.loads().values()] == [0, 0, 0, 0])
    assert [load.inactive for load in balancer.loads().values()] == [1, 1, 1, 1]


def test_saved_rules_are_taken_back_after_a_flush(net: Net, balancer: Director) -> None:
    saved = balancer.typed("ipvsadm -S -n").stdout
    assert saved.splitlines()[0] == "-A -t 172.16.16.172:80 -s rr"
    assert len(saved.splitlines()) == 5
    balancer.typed("ipvsadm -C")
    assert balancer.loads() == {}
    (net.scratch / "rules").write_text(saved)
    balancer.typed(f"ipvsadm -R < {net.scratch}/rules")
    assert balancer.typed("ipvsadm -S -n").stdout == saved
    answers = fetch(net, "client", "172.16.16.172", 8)
    assert Counter(a.host for a in answers) == dict.fromkeys(r1.RIPS, 2)
