"""Recipe R12, the hosts: IPv6 disabled by sysctl, and a FORWARD policy of drop."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from netns import basic, recipes_r4
from netns.build import Net
from netns.topo import Sysctl, Topology
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

KINDS = {"nat": "NAT", "dr": "DR", "tun": "TUN"}
STATE_S = 40
SERVER = """\
    real_server {rip} 80 {{
        TCP_CHECK {{
            connect_timeout 2
            retry 0
            warmup 0
        }}
    }}
"""
SERVICE = """\
virtual_server {vip} 80 {{
    delay_loop 1
    lb_algo rr
    lb_kind {kind}
    protocol TCP
{servers}}}
"""


def service(method: str, family: int) -> str:
    """Return the virtual server of one method for one family, its real servers checked."""
    rips = (basic.rip(method, name, family) for name in basic.REAL_SERVERS)
    servers = "".join(SERVER.format(rip=rip) for rip in rips)
    return SERVICE.format(vip=basic.VIP[family], kind=KINDS[method], servers=servers)


def balance(net: Net, director: Directors, method: str, families: tuple[int, ...]) -> Director:
    """Start the web servers and a director by a file; wait until every server is known."""
    for name in basic.REAL_SERVERS:
        start_web(net, name)
        if method != "nat":
            words = ("--tunnel",) if method == "tun" else ()
            for family in families:
                done = realserver(net, name, "add", basic.VIP[family], *words)
                assert done.returncode == 0, done.stderr
    file = net.scratch / "keepalived.conf"
    file.write_text("".join(service(method, family) for family in families))
    balancer = director(net, "director", "-f", str(file))
    wait_for(lambda: len(balancer.loads()) == 3 * len(families), STATE_S, "every real server")
    return balancer


def answering(net: Net, where: str) -> Counter[str]:
    return Counter(answer.host for answer in fetch(net, "client1", where, 9))


# ---- FORWARD policy drop

DROPPING = """\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        counter
    }
}
"""


@pytest.mark.parametrize("method", basic.METHODS)
def test_forward_policy_of_drop_is_nothing_to_balanced_packets(
    method: str, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    net.run("director", ["nft", "-f", "-"], stdin=DROPPING)
    balancer = balance(net, director, method, (4, 6))
    even = dict.fromkeys(basic.REAL_SERVERS, 3)
    assert answering(net, basic.VIP[4]) == even
    assert answering(net, f"[{basic.VIP[6]}]") == even
    # checks go on, and what is not balanced is still refused by the host's own rules
    net.run("rs1", ["nft", "-f", "-"], stdin=CLOSED)
    wait_for(lambda: len(balancer.loads()) == 4, STATE_S, "rs1 out of both tables")
    chain = net.run("director", ["nft", "list", "chain", "inet", "filter", "forward"]).stdout
    assert "packets 0 bytes 0" in chain, "no balanced packet was the host's to forward"
    if method == "nat":
        words = ["curl", "-sS", "-m2", f"http://{basic.rip('nat', 'rs2', 4)}/"]
        assert net.run("client1", words, check=False).returncode == 28  # in vain, as before


CLOSED = """\
table inet filter {
    chain input {
        type filter hook input priority filter;
        tcp dport 80 reject with tcp reset
    }
}
"""


# ---- IPv6 disabled by sysctl


def without_ipv6(topology: Topology, host: str) -> Topology:
    """Return the network with IPv6 switched off in one host, before its interfaces come."""
    off = tuple(
        Sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", "1") for scope in ("all", "default", "lo")
    )
    hosts = tuple(
        replace(
            each,
            sysctls=(*each.sysctls, *off),
            addresses=tuple(a for a in each.addresses if not a.is_v6),
            routes=tuple(r for r in each.routes if ":" not in r.to + r.via),
        )
        if each.name == host
        else each
        for each in topology.hosts
    )
    return replace(topology, hosts=hosts)


@pytest.mark.parametrize("method", basic.METHODS)
def test_host_without_ipv6_balances_ipv4(
    method: str, network: Networks, director: Directors
) -> None:
    net = network(without_ipv6(basic.topology(method), "director"))
    balancer = balance(net, director, method, (4,))
    assert answering(net, basic.VIP[4]) == dict.fromkeys(basic.REAL_SERVERS, 3)
    said = balancer.process.stderr()
    assert "Traceback" not in said
    assert "IPv6" not in said


VRRP6 = """\
vrrp_instance SIX {
    interface eth1
    virtual_router_id 6
    priority 100
    virtual_ipaddress {
        fd00:70::100
    }
}
"""
SERVICE6 = """\
virtual_server fd00:70::100 80 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server fd00:70::4 80 {
        TCP_CHECK {
            connect_timeout 1
            retry 0
            warmup 0
        }
    }
}
"""


def test_ipv6_in_a_file_is_told_of_and_the_rest_works(
    network: Networks, director: Directors
) -> None:
    net = network(without_ipv6(recipes_r4.topology(), "master"))
    for name in recipes_r4.WEB:
        assert realserver(net, name, "add", recipes_r4.VIP).returncode == 0
        start_web(net, name)
    file = net.scratch / "keepalived.conf"
    file.write_text(recipes_r4.connected() + VRRP6 + SERVICE6)
    master = director(net, "master", "-f", str(file))
    wait_for(lambda: recipes_r4.VIP in net.run("master", ["ip", "addr"]).stdout, STATE_S, "VIP")
    answers = fetch(net, "client", recipes_r4.VIP, 6)
    assert {answer.host for answer in answers} == set(recipes_r4.WEB)
    said = master.process.stderr().splitlines()
    about = [line for line in said if "IPv6 is disabled on this host" in line]
    assert len(about) == 1
    assert "expected it enabled for fd00:70::100, fd00:70::4: IPv4 goes on alone" in about[0]
    assert "Traceback" not in master.process.stderr()
    assert sum("no connection to [fd00:70::4]:80 begun" in line for line in said) == 1
