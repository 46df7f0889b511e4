"""FULLNAT: clients, director and real servers in networks of their own; the servers no gateway.

```
client ── 10.10.9.0/24 ── router eth1 .1 ── 172.16.9.0/24 ── eth0 .2  director  eth1 .2 ─┬─ rs1 .11
 .2                   .1                             VIP .100    LIPs .250, .251         ├─ rs2 .12
                                                                    10.9.0.0/24          └─ rs3 .13
```
The real servers know their own network and nothing else: what is not answered to a local address
of the director is answered to nobody.  The director's host does not forward.  Each address has its
twin: fd00:10::2, fd00:16::100, fd00:9::250 and so on.
"""

from __future__ import annotations

from netns.topo import FORWARDING, Address, Host, Topology, addresses, default_via, link

VIP = {4: "172.16.9.100", 6: "fd00:16::100"}
CIP = {4: "10.10.9.2", 6: "fd00:10::2"}
LIPS = {4: ("10.9.0.250", "10.9.0.251"), 6: ("fd00:9::250", "fd00:9::251")}
DIP = {4: "10.9.0.2", 6: "fd00:9::2"}
SERVERS = ("rs1", "rs2", "rs3")


def rip(server: str, family: int) -> str:
    """Return the address of a real server, `family` being 4 or 6."""
    number = server.removeprefix("rs")
    return f"10.9.0.1{number}" if family == 4 else f"fd00:9::1{number}"


def topology() -> Topology:
    """Return the network of recipe R9."""
    client = Host(
        "client",
        addresses("eth0", f"{CIP[4]}/24", f"{CIP[6]}/64"),
        default_via("10.10.9.1", "fd00:10::1"),
    )
    router = Host(
        "router",
        addresses("eth0", "10.10.9.1/24", "fd00:10::1/64")
        + addresses("eth1", "172.16.9.1/24", "fd00:16::1/64"),
        (),
        FORWARDING,
    )
    outside = addresses("eth0", "172.16.9.2/24", "fd00:16::2/64", f"{VIP[4]}/32", f"{VIP[6]}/128")
    inside = addresses("eth1", f"{DIP[4]}/24", f"{DIP[6]}/64")
    local = (
        *(Address("eth1", f"{lip}/32") for lip in LIPS[4]),
        *(Address("eth1", f"{lip}/128", is_source=False) for lip in LIPS[6]),
    )
    director = Host(
        "director", (*outside, *inside, *local), default_via("172.16.9.1", "fd00:16::1")
    )
    servers = tuple(
        Host(name, addresses("eth0", f"{rip(name, 4)}/24", f"{rip(name, 6)}/64"))
        for name in SERVERS
    )
    links = (
        link("client:eth0", "router:eth0"),
        link("router:eth1", "director:eth0"),
        link("director:eth1", *(f"{name}:eth0" for name in SERVERS)),
    )
    return Topology("r9", (client, router, director, *servers), links)
