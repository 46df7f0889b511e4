"""Recipe R8: the schedulers' promises, with real clients and servers.

The exact order of each scheduler is held by tests/fast and by the recordings; here it is what a
user sees of it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from netns import recipes_r1 as r1
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import fetch, hold
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

SERVICE = f"{r1.VIP}:80"
CLIENTS = tuple(f"10.10.10.{n}" for n in range(20, 36))


@pytest.fixture
def net(network: Networks) -> Net:
    net = network(r1.topology())
    for name in r1.RIPS:
        assert realserver(net, name, "add", r1.VIP).returncode == 0
        start_web(net, name)
    for addr in CLIENTS:
        net.run("client", ["ip", "addr", "add", f"{addr}/24", "dev", "eth0"])
    return net


def balance(balancer: Director, scheduler: str, **weights: int) -> None:
    """Begin anew with a scheduler and these weights; the table of connections goes on."""
    balancer.rules(
        "-C",
        f"-A -t {SERVICE} -s {scheduler}",
        *(f"-a -t {SERVICE} -r {r1.RIPS[name]} -g -w {w}" for name, w in weights.items()),
    )


def shares(net: Net, count: int) -> Counter[str]:
    return Counter(answer.host for answer in fetch(net, "client", r1.VIP, count))


def homes(net: Net) -> dict[str, str]:
    """Return which server each client's address gets."""
    found = {}
    for addr in CLIENTS:
        words = ["curl", "-sSfm10", "--interface", addr, f"http://{r1.VIP}/"]
        found[addr] = net.run("client", words).stdout.split()[0]
    return found


def held(net: Net, balancer: Director, count: int) -> list[Process]:
    """Hold so many connections open, each seen as active before the next."""
    processes: list[Process] = []

    def all_are_active() -> bool:
        return sum(active(balancer).values()) == len(processes)

    for _ in range(count):
        processes.append(hold(net, "client", SERVICE))
        wait_for(all_are_active, what="the connection is active")
    return processes


def active(balancer: Director) -> dict[str, int]:
    names = {f"{rip}:80": name for name, rip in r1.RIPS.items()}
    return {names[addr]: load.active for addr, load in balancer.loads().items()}


def test_shares_follow_the_weights(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "rr", rs1=1, rs2=5, rs3=1, rs4=0)
    assert shares(net, 12) == {"rs1": 4, "rs2": 4, "rs3": 4}
    balance(balancer, "wrr", rs1=4, rs2=2, rs3=1, rs4=0)
    assert shares(net, 14) == {"rs1": 8, "rs2": 4, "rs3": 2}


@pytest.mark.parametrize(
    ("scheduler", "wanted"),
    [
        ("lc", {"rs1": 2, "rs2": 2, "rs3": 2}),
        ("wlc", {"rs1": 3, "rs2": 2, "rs3": 1}),
        ("sed", {"rs1": 3, "rs2": 2, "rs3": 1}),
        ("nq", {"rs1": 3, "rs2": 2, "rs3": 1}),
    ],
)
def test_connections_held_open_are_followed(
    net: Net, director: Directors, scheduler: str, wanted: dict[str, int]
) -> None:
    balancer = director(net)
    balance(balancer, scheduler, rs1=3, rs2=2, rs3=1)
    processes = held(net, balancer, 6)
    assert active(balancer) == wanted
    for process in processes:
        process.stop()


def test_nq_prefers_an_idle_server_whatever_its_weight(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "nq", rs1=100, rs2=1)
    held(net, balancer, 2)
    assert active(balancer) == {"rs1": 1, "rs2": 1}


def test_source_hashing_keeps_a_client_on_its_server(net: Net, director: Directors) -> None:
    balancer = director(net)
    for scheduler in ("sh", "mh"):
        balance(balancer, scheduler, rs1=1, rs2=1, rs3=1, rs4=1)
        first = homes(net)
        assert len(set(first.values())) > 1
        balance(balancer, scheduler, rs1=1, rs2=1, rs3=1, rs4=1)
        assert homes(net) == first, scheduler


def test_maglev_moves_few_clients_when_a_server_goes(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "mh", rs1=1, rs2=1, rs3=1, rs4=1)
    first = homes(net)
    gone = first[CLIENTS[0]]
    balancer.ipvsadm(f"-d -t {SERVICE} -r {r1.RIPS[gone]}")
    after = homes(net)
    stayed = [addr for addr in CLIENTS if first[addr] != gone and after[addr] == first[addr]]
    others = [addr for addr in CLIENTS if first[addr] != gone]
    assert gone not in after.values()
    assert len(stayed) >= len(others) * 2 / 3


def test_one_destination_address_stays_on_one_server(net: Net, director: Directors) -> None:
    balancer = director(net)
    for scheduler in ("dh", "lblc", "lblcr"):
        balance(balancer, scheduler, rs1=1, rs2=1, rs3=1, rs4=1)
        assert len(set(homes(net).values())) == 1, scheduler


def test_lblc_leaves_an_overloaded_server(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "lblc", rs1=3, rs2=3)
    held(net, balancer, 4)
    ((home, _),) = [row for row in active(balancer).items() if row[1]]
    (second,) = shares(net, 1)
    assert second != home


def test_fo_uses_the_heaviest_server_until_it_is_out(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "fo", rs1=1, rs2=9, rs3=5)
    assert shares(net, 4) == {"rs2": 4}
    balancer.ipvsadm(f"-e -t {SERVICE} -r {r1.RIPS['rs2']} -g -w 0")
    assert shares(net, 4) == {"rs3": 4}
    balancer.ipvsadm(f"-e -t {SERVICE} -r {r1.RIPS['rs2']} -g -w 9")
    assert shares(net, 4) == {"rs2": 4}


def test_ovf_overflows_to_the_next_server(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "ovf", rs1=1, rs2=3, rs3=2)
    held(net, balancer, 5)
    assert active(balancer) == {"rs1": 0, "rs2": 4, "rs3": 1}, "once above its weight"


def test_twos_uses_every_server(net: Net, director: Directors) -> None:
    balancer = director(net)
    balance(balancer, "twos", rs1=1, rs2=1, rs3=1, rs4=0)
    seen = shares(net, 45)
    assert set(seen) == {"rs1", "rs2", "rs3"}
    assert min(seen.values()) >= 5
