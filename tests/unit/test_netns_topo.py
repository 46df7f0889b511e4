"""Descriptions of networks: what they expand to, what is wrong with a bad one."""

from __future__ import annotations

import pytest

from netns import basic, recipes_r1, recipes_r2, recipes_r3, selftest
from netns.topo import (
    Bridge,
    End,
    Host,
    Link,
    Route,
    Topology,
    addresses,
    check,
    link,
    with_switches,
)

OURS = [
    *(basic.topology(method) for method in basic.METHODS),
    *(selftest.topology(case) for case in selftest.CASES),
    recipes_r1.topology(),
    recipes_r2.beside(),
    recipes_r2.apart(),
    recipes_r3.topology(),
]
A, B = Host("a"), Host("b")


@pytest.mark.parametrize("topology", OURS, ids=[topology.name for topology in OURS])
def test_every_topology_can_be_built(topology: Topology) -> None:
    assert check(topology) == []
    assert check(with_switches(topology)) == []


def test_link_of_two_ends_stays_a_pair() -> None:
    topology = Topology("t", (A, B), (link("a:eth0", "b:eth0"),))
    assert with_switches(topology) == topology


def test_link_of_three_ends_becomes_a_switch() -> None:
    shared = link("a:eth0", "b:eth0", "b:eth1", mtu=1400)
    topology = with_switches(Topology("t", (A, B), (shared,)))
    assert topology.host("sw1").bridges == (Bridge("br0", ("port1", "port2", "port3")),)
    assert topology.links[1] == Link((End("b", "eth0"), End("sw1", "port2")), 1400)
    assert topology.interfaces("b") == ("eth0", "eth1")


@pytest.mark.parametrize(
    ("hosts", "links", "sentence"),
    [
        pytest.param((A, A), (), "a: a host twice", id="a host twice"),
        pytest.param(
            (A, B), (link("a:e", "b:e"), link("a:e", "b:f")), "a:e: on two links", id="two links"
        ),
        pytest.param((A,), (link("a:e", "c:e"),), "c: on a link, but no such host", id="no host"),
        pytest.param(
            (Host("a", addresses("eth9", "10.0.0.1/24")),),
            (),
            "a:eth9: no such interface",
            id="address nowhere",
        ),
        pytest.param(
            (Host("a", routes=(Route("default", interface="eth9"),)),),
            (),
            "a:eth9: no such interface",
            id="route nowhere",
        ),
        pytest.param(
            (A, B),
            (link("a:sixteen-letters-", "b:e"),),
            "a:sixteen-letters-: name longer than 15",
            id="long name",
        ),
    ],
)
def test_what_cannot_be_built_is_told(
    hosts: tuple[Host, ...], links: tuple[Link, ...], sentence: str
) -> None:
    assert sentence in check(Topology("t", hosts, links))


@pytest.mark.parametrize("method", basic.METHODS)
@pytest.mark.parametrize("server", basic.REAL_SERVERS)
def test_rip_is_the_address_of_the_server(method: str, server: str) -> None:
    held = [address.value for address in basic.topology(method).host(server).addresses]
    assert [f"{basic.rip(method, server, 4)}/24", f"{basic.rip(method, server, 6)}/64"] == held
