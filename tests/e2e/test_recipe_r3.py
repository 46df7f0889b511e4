"""Recipe R3: NAT on two interfaces."""

from __future__ import annotations

from collections import Counter

import pytest

from netns import recipes_r3 as r3
from netns.build import Net
from netns.web import start_web, wait_for_listener
from tests.e2e.client import fetch, udp_socket
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director


@pytest.fixture
def net(network: Networks) -> Net:
    net = network(r3.topology())
    for name, port in r3.PORTS.items():
        start_web(net, name, port)
    return net


@pytest.fixture
def balancer(net: Net, director: Directors) -> Director:
    balancer = director(net)
    balancer.typed("ipvsadm -A -t 172.16.16.172:80 -s rr")
    for name, rip in r3.RIPS.items():
        balancer.typed(f"ipvsadm -a -t 172.16.16.172:80 -r {rip}:{r3.PORTS[name]} -m")
    return balancer


@pytest.mark.usefixtures("balancer")
def test_ports_are_mapped_and_the_client_is_kept(net: Net) -> None:
    answers = fetch(net, "client", r3.VIP, 30)
    assert Counter(a.host for a in answers) == dict.fromkeys(r3.RIPS, 10)
    assert {(a.host, a.server, a.server_port) for a in answers} == {
        (name, rip, r3.PORTS[name]) for name, rip in r3.RIPS.items()
    }
    assert {a.client for a in answers} == {r3.CIP}


def test_replies_are_counted_as_they_pass(net: Net, balancer: Director) -> None:
    fetch(net, "client", r3.VIP, 6)
    row = balancer.counted("172.16.16.172:80", 6)
    assert row.outpkts >= 6 * 4
    assert row.outbytes > row.inbytes


@pytest.mark.usefixtures("balancer")
def test_real_servers_own_traffic_is_forwarded_by_the_host(net: Net) -> None:
    with udp_socket(net, "dns", r3.DNS, 53) as dns, udp_socket(net, "rs1", r3.RIPS["rs1"]) as own:
        own.sendto(b"who is example.org", (r3.DNS, 53))
        question, where = dns.recvfrom(100)
        assert (question, where[0]) == (b"who is example.org", r3.RIPS["rs1"])
        dns.sendto(b"192.0.2.1", where)
        assert own.recv(100) == b"192.0.2.1"


@pytest.mark.usefixtures("balancer")
def test_real_server_is_reached_only_through_the_port_of_the_vip(net: Net) -> None:
    start_web(net, "rs1", 81)
    wait_for_listener(net, "rs3", 8080)
    for port in (81, 8080):
        done = net.run("client", ["curl", "-sS", "-m5", f"http://{r3.VIP}:{port}/"], check=False)
        assert done.returncode == 7, done.stdout  # refused by the director itself
