"""The kernel's own test of IPVS, rebuilt: DR, NAT and TUN, one connection each."""

from __future__ import annotations

import os

import pytest

from netns import selftest
from netns.wait import wait_for
from netns.web import wait_for_listener
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import realserver

METHOD = {"dr": "", "nat": " -m", "tun": " -i"}


@pytest.mark.covers("C-490", "C-491", "C-492", "C-493")
@pytest.mark.parametrize("case", selftest.CASES)
def test_sent_file_arrives_identical(case: str, network: Networks, director: Directors) -> None:
    net = network(selftest.topology(case))
    balancer = director(net, "ns1")
    balancer.typed("ipvsadm -A -t 207.175.44.110:8080 -s rr")
    balancer.typed(f"ipvsadm -a -t 207.175.44.110:8080 -r 172.16.0.2:8080{METHOD[case]}")
    if case == "tun":
        assert realserver(net, "ns2", "add", selftest.VIP, "--tunnel").returncode == 0
    sent, received = net.scratch / "sent", net.scratch / "received"
    sent.write_bytes(os.urandom(32))
    listen = ["socat", "-u", "-4", "TCP-LISTEN:8080,reuseaddr", f"OPEN:{received},creat"]
    server = net.start("ns2", ["timeout", "5", *listen], "server")
    wait_for_listener(net, "ns2", selftest.PORT, server)
    send = ["socat", "-u", "-4", f"OPEN:{sent}", f"TCP:{selftest.VIP}:{selftest.PORT}"]
    net.run("ns0", ["timeout", "2", *send])
    assert server.wait(10) == 0
    assert received.read_bytes() == sent.read_bytes()


@pytest.mark.parametrize("case", selftest.CASES)
def test_forwarding_works_without_the_hosts_help_or_answer(
    case: str, network: Networks, director: Directors
) -> None:
    net = network(selftest.topology(case))
    balancer = director(net, "ns1")
    balancer.rules(
        "-A -t 207.175.44.110:8080 -s rr",
        f"-a -t 207.175.44.110:8080 -r 172.16.0.2:8080{METHOD[case]}",
    )
    if case == "tun":
        assert realserver(net, "ns2", "add", selftest.VIP, "--tunnel").returncode == 0
    server = net.start("ns2", ["socat", "-u", "TCP-LISTEN:8080,reuseaddr", "STDOUT"], "server")
    wait_for_listener(net, "ns2", selftest.PORT, server)
    net.run("ns0", ["socat", "-u", "STDIN", "TCP:207.175.44.110:8080"], stdin="over there")
    wait_for(lambda: server.stdout() == "over there")
    # the host saw none of it: no segment was delivered to its TCP, no reset left it
    tcp = net.run("ns1", ["nstat", "-asz", "TcpInSegs", "TcpOutRsts"]).stdout.split()
    assert tcp[tcp.index("TcpInSegs") + 1] == "0"
    assert tcp[tcp.index("TcpOutRsts") + 1] == "0"
