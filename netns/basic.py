"""Clients behind a router, a director, three real servers; one shape for each method.

nat: the director stands between the clients and the real servers, which have it as gateway
```
client1 .11 ┐ 10.1.0.0/24  ┌────────┐ front 10.2.0.0/24 ┌──────────┐ back 10.3.0.0/24 ┌ rs1 .11
client2 .12 ┴──────── eth0 ┤ router ├ eth1 ─────── eth0 ┤ director ├ eth1 ────────────┼ rs2 .12
                        .1 └────────┘ .1             .2 └──────────┘ .2               └ rs3 .13
```
dr: the real servers stand beside the director and answer past it, through the router
```
client1 ┐      ┌──────────┐ eth1 .1    front 10.2.0.0/24
client2 ┴──────┤  router  ├────┬─────────┬────────┬────────┐
               └──────────┘  director   rs1      rs2      rs3
                              .2        .11      .12      .13
```
tun: each real server in a network of its own behind the router, which carries the tunnels
```
client1 ┐      ┌──────────┐ eth1 .1  front 10.2.0.0/24   eth0 .2 ┌──────────┐
client2 ┴──────┤  router  ├──────────────────────────────────────┤ director │
               └──────────┘                                      └──────────┘
   eth2 10.4.1.1 │   │   │ eth4 10.4.3.1
           rs1 .11  rs2 .12  rs3 .13          (10.4.1.11, 10.4.2.12, 10.4.3.13)
```
Each address 10.N.… has its twin fd00:N::…; the VIP is 10.2.0.100 and fd00:2::100.
"""

from __future__ import annotations

from netns.topo import (
    FORWARDING,
    Address,
    Host,
    Link,
    Route,
    Topology,
    addresses,
    default_via,
    link,
)

METHODS = ("nat", "dr", "tun")
CLIENTS = ("client1", "client2")
REAL_SERVERS = ("rs1", "rs2", "rs3")
VIP = {4: "10.2.0.100", 6: "fd00:2::100"}


def rip(method: str, server: str, family: int) -> str:
    """Return the address of a real server, `family` being 4 or 6."""
    number = int(server.removeprefix("rs"))
    v4, v6 = {
        "nat": (f"10.3.0.1{number}", f"fd00:3::1{number}"),
        "dr": (f"10.2.0.1{number}", f"fd00:2::1{number}"),
        "tun": (f"10.4.{number}.1{number}", f"fd00:4:{number}::1{number}"),
    }[method]
    return v4 if family == 4 else v6


def topology(method: str) -> Topology:
    """Return the network of a method: nat, dr or tun; both families at once."""
    shape = {"nat": _nat, "dr": _dr, "tun": _tun}[method]
    hosts, links = shape()
    clients = tuple(_client(name, number) for number, name in enumerate(CLIENTS, 11))
    access = link("router:eth0", *(f"{name}:eth0" for name in CLIENTS))
    return Topology(f"basic-{method}", (*clients, *hosts), (access, *links))


def _client(name: str, number: int) -> Host:
    return Host(
        name,
        addresses("eth0", f"10.1.0.{number}/24", f"fd00:1::{number}/64"),
        default_via("10.1.0.1", "fd00:1::1"),
    )


def _router(*more: tuple[str, str, str], routes: tuple[Route, ...] = ()) -> Host:
    """Return the router; `more` are further interfaces with their two addresses."""
    own = [*addresses("eth0", "10.1.0.1/24", "fd00:1::1/64")]
    own += addresses("eth1", "10.2.0.1/24", "fd00:2::1/64")
    for name, v4, v6 in more:
        own += addresses(name, v4, v6)
    return Host("router", tuple(own), routes, FORWARDING)


def _director(*more: tuple[str, str, str]) -> Host:
    own = [*addresses("eth0", "10.2.0.2/24", "fd00:2::2/64")]
    own += addresses("eth0", f"{VIP[4]}/32")
    # longer than the prefix of ::2, it would be preferred as the source of health checks
    own.append(Address("eth0", f"{VIP[6]}/128", is_source=False))
    for name, v4, v6 in more:
        own += addresses(name, v4, v6)
    return Host("director", tuple(own), default_via("10.2.0.1", "fd00:2::1"), FORWARDING)


def _server(method: str, name: str, *gateways: str) -> Host:
    v4, v6 = rip(method, name, 4), rip(method, name, 6)
    return Host(name, addresses("eth0", f"{v4}/24", f"{v6}/64"), default_via(*gateways))


def _nat() -> tuple[tuple[Host, ...], tuple[Link, ...]]:
    servers = tuple(_server("nat", name, "10.3.0.2", "fd00:3::2") for name in REAL_SERVERS)
    back = link("director:eth1", *(f"{name}:eth0" for name in REAL_SERVERS))
    director = _director(("eth1", "10.3.0.2/24", "fd00:3::2/64"))
    behind = (Route("10.3.0.0/24", via="10.2.0.2"), Route("fd00:3::/64", via="fd00:2::2"))
    router = _router(routes=behind)
    return (router, director, *servers), (link("router:eth1", "director:eth0"), back)


def _dr() -> tuple[tuple[Host, ...], tuple[Link, ...]]:
    servers = tuple(_server("dr", name, "10.2.0.1", "fd00:2::1") for name in REAL_SERVERS)
    front = link("router:eth1", "director:eth0", *(f"{name}:eth0" for name in REAL_SERVERS))
    return (_router(), _director(), *servers), (front,)


def _tun() -> tuple[tuple[Host, ...], tuple[Link, ...]]:
    numbered = list(enumerate(REAL_SERVERS, 1))
    legs = ((f"eth{n + 1}", f"10.4.{n}.1/24", f"fd00:4:{n}::1/64") for n, _ in numbered)
    servers = tuple(_server("tun", name, f"10.4.{n}.1", f"fd00:4:{n}::1") for n, name in numbered)
    own = tuple(link(f"router:eth{n + 1}", f"{name}:eth0") for n, name in numbered)
    return (_router(*legs), _director(), *servers), (link("router:eth1", "director:eth0"), *own)
