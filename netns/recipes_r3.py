"""NAT on two interfaces: the director is the gateway of the real servers.

```
client ── 10.10.10.0/24 ── router eth1 .1 ── 172.16.16.0/24 ── eth0 .172 director eth1 .254
 .2                   .1     │ eth2 10.53.0.1                  (VIP)               │
                           dns 10.53.0.53                            192.168.7.0/24┼─ rs1 .1 :80
                                                                                   ├─ rs2 .2 :80
                                                                                   └─ rs3 .3 :8080
```
`dns` stands for whatever the real servers talk to on their own; the host of the director
forwards that.  The router knows 192.168.7.0/24 as a route, so that traffic comes back.
"""

from __future__ import annotations

from netns.topo import FORWARDING, Host, Route, Topology, addresses, default_via, link

VIP = "172.16.16.172"
CIP = "10.10.10.2"
DNS = "10.53.0.53"
RIPS = {f"rs{n}": f"192.168.7.{n}" for n in (1, 2, 3)}
PORTS = {"rs1": 80, "rs2": 80, "rs3": 8080}


def topology() -> Topology:
    """Return the network of recipe R3."""
    client = Host("client", addresses("eth0", f"{CIP}/24"), default_via("10.10.10.1"))
    router = Host(
        "router",
        addresses("eth0", "10.10.10.1/24")
        + addresses("eth1", "172.16.16.1/24")
        + addresses("eth2", "10.53.0.1/24"),
        (Route("192.168.7.0/24", via=VIP),),
        FORWARDING,
    )
    dns = Host("dns", addresses("eth0", f"{DNS}/24"), default_via("10.53.0.1"))
    director = Host(
        "director",
        addresses("eth0", f"{VIP}/24") + addresses("eth1", "192.168.7.254/24"),
        default_via("172.16.16.1"),
        FORWARDING,
    )
    servers = tuple(
        Host(name, addresses("eth0", f"{rip}/24"), default_via("192.168.7.254"))
        for name, rip in RIPS.items()
    )
    links = (
        link("client:eth0", "router:eth0"),
        link("router:eth1", "director:eth0"),
        link("router:eth2", "dns:eth0"),
        link("director:eth1", *(f"{name}:eth0" for name in RIPS)),
    )
    return Topology("r3", (client, router, dns, director, *servers), links)
