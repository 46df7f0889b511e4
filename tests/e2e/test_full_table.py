"""A full connection table: what is established goes on, and the log says what to do."""

from __future__ import annotations

import re

from lbfast.selfcall import COMMAND, environment
from netns import basic
from netns import recipes_r3 as r3
from netns.build import Net
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks


def test_a_full_table_is_said_and_what_is_established_goes_on(
    network: Networks, director: Directors
) -> None:
    net: Net = network(r3.topology())
    for name, port in r3.PORTS.items():
        start_web(net, name, port)
    balancer = director(net, "director", "--connections", "2")
    rip = r3.RIPS["rs1"]
    balancer.rules(
        "-A -t 172.16.16.172:80 -s rr",
        f"-a -t 172.16.16.172:80 -r {rip}:{r3.PORTS['rs1']} -m",
    )
    assert len(fetch(net, "client", r3.VIP, 2)) == 2
    late = net.run("client", ["curl", "-sS", "-m3", f"http://{r3.VIP}/"], check=False)
    assert late.returncode == 28, late.stderr  # no answer in time
    balancer.process.wait_for_line("the connection table is full")
    assert "--connections 2" in balancer.process.stderr()
    assert len(balancer.ipvsadm("-Lnc").splitlines()) == 2 + 2
    shown = net.run("director", [*COMMAND, "counters"], environment=environment()).stdout
    rows = dict(re.findall(r"^(\S+ +[a-z -]+?) +(\d+)$", shown, re.MULTILINE))
    rows = {" ".join(name.split()): int(value) for name, value in rows.items()}
    assert rows["dropped table-full"] == rows["packets dropped"] >= 1
    assert rows["eth0 received"] > 2
    assert rows["packets sent"] > 10


def test_full_tables_of_services_and_servers_are_said(
    network: Networks, director: Directors
) -> None:
    net: Net = network(basic.topology("nat"))
    balancer = director(net, "director", "--services", "1", "--servers", "1")
    balancer.rules("-A -t 10.2.0.100:80 -s rr", "-a -t 10.2.0.100:80 -r 10.3.0.11 -m")
    for words in ("-A -t 10.2.0.100:81 -s rr", "-a -t 10.2.0.100:80 -r 10.3.0.12 -m"):
        assert "No space left" in balancer.typed(f"ipvsadm {words}", check=False).stderr
    balancer.process.wait_for_line("service table is full: 1 refused, start with more than ")
    balancer.process.wait_for_line("server table is full: 1 refused, start with more than ")
    assert "more than --services 1" in balancer.process.stderr()
    assert "more than --servers 1" in balancer.process.stderr()


def test_sizes_outlive_a_kill_and_that_is_said(network: Networks, director: Directors) -> None:
    net: Net = network(basic.topology("nat"))
    balancer = director(net, "director", "--connections", "8")
    balancer.rules("-A -t 10.2.0.100:80 -s rr")
    balancer.crash()
    balancer.words = ("--connections", "100000")
    balancer.start()
    said = balancer.process.stderr()
    assert "has 8 connections, --connections 100000 is not used: stop with SIGTERM" in said
    assert "took over 1 services" in said
    balancer.stop()
    balancer.start()
    assert "is not used" not in balancer.process.stderr()
