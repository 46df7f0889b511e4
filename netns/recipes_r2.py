"""Tunnelling: the real servers beside the director, then each in a network of its own.

beside
```
client ── 10.10.10.0/24 ── router eth1 .1 ─┬── 192.168.56.0/24 ──┬──────┬──────┐
                                    director eth0 .100          rs1    rs2    rs3
                                    VIP .110 on eth0            .101   .102   .103
```
apart: a router of its own before each real server
```
client ── router eth1 ── 192.168.56.0/24 ── director eth0 .100
            │ eth2 10.20.1.1 ── 10.20.1.2 gw1 192.168.101.1 ── rs1 192.168.101.101
            │ eth3 10.20.2.1 ── 10.20.2.2 gw2 192.168.102.1 ── rs2 192.168.102.102
            │ eth4 10.20.3.1 ── 10.20.3.2 gw3 192.168.103.1 ── rs3 192.168.103.103
```
"""

from __future__ import annotations

from netns.topo import (
    FORWARDING,
    Address,
    Host,
    Route,
    Topology,
    addresses,
    default_via,
    link,
)

VIP = "192.168.56.110"
DIP = "192.168.56.100"
CIP = "10.10.10.2"
BESIDE = {f"rs{n}": f"192.168.56.10{n}" for n in (1, 2, 3)}
APART = {f"rs{n}": f"192.168.10{n}.10{n}" for n in (1, 2, 3)}
WEIGHTS = {"rs1": 3, "rs2": 2, "rs3": 1}


def beside() -> Topology:
    """Return the network of recipe R2 with everything on one segment."""
    servers = tuple(
        Host(name, addresses("eth0", f"{rip}/24"), default_via("192.168.56.1"))
        for name, rip in BESIDE.items()
    )
    lan = link("router:eth1", "director:eth0", *(f"{name}:eth0" for name in BESIDE))
    router = Host("router", _router_addresses(), sysctls=FORWARDING)
    hosts = (_client(), router, _director(), *servers)
    return Topology("r2-beside", hosts, (link("client:eth0", "router:eth0"), lan))


def apart() -> Topology:
    """Return the network of recipe R2 with a routed network for each real server."""
    own, routes, hosts, links = list(_router_addresses()), [], [], []
    for n, (name, rip) in enumerate(APART.items(), 1):
        own.append(Address(f"eth{n + 1}", f"10.20.{n}.1/24"))
        routes.append(Route(f"192.168.10{n}.0/24", via=f"10.20.{n}.2"))
        near = addresses("eth0", f"10.20.{n}.2/24") + addresses("eth1", f"192.168.10{n}.1/24")
        hosts.append(Host(f"gw{n}", near, default_via(f"10.20.{n}.1"), FORWARDING))
        hosts.append(Host(name, addresses("eth0", f"{rip}/24"), default_via(f"192.168.10{n}.1")))
        links.append(link(f"router:eth{n + 1}", f"gw{n}:eth0"))
        links.append(link(f"gw{n}:eth1", f"{name}:eth0"))
    router = Host("router", tuple(own), tuple(routes), FORWARDING)
    front = (link("client:eth0", "router:eth0"), link("router:eth1", "director:eth0"))
    return Topology("r2-apart", (_client(), router, _director(), *hosts), (*front, *links))


def _client() -> Host:
    return Host("client", addresses("eth0", f"{CIP}/24"), default_via("10.10.10.1"))


def _router_addresses() -> tuple[Address, ...]:
    return addresses("eth0", "10.10.10.1/24") + addresses("eth1", "192.168.56.1/24")


def _director() -> Host:
    own = addresses("eth0", f"{DIP}/24", f"{VIP}/32")
    return Host("director", own, default_via("192.168.56.1"))
