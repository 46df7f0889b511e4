"""Direct routing by hand: four real servers beside the director.

```
client ── 10.10.10.0/24 ── router eth1 ─┬── 172.16.16.0/24 ──┬─────┬─────┬─────┐
 .2                   .1            .1  │                    rs1   rs2   rs3   rs4
                                     director eth0 .173     .177  .178  .179  .180
                                     VIP .172 on eth0:0
```
The real servers' own preparation (VIP on lo:0, arp settings) is left to `lbfast realserver`.
"""

from __future__ import annotations

from netns.topo import FORWARDING, Address, Host, Topology, addresses, default_via, link

VIP = "172.16.16.172"
DIP = "172.16.16.173"
RIPS = {f"rs{n}": f"172.16.16.{176 + n}" for n in range(1, 5)}
GATEWAY = "172.16.16.1"


def topology() -> Topology:
    """Return the network of recipe R1."""
    client = Host("client", addresses("eth0", "10.10.10.2/24"), default_via("10.10.10.1"))
    router = Host(
        "router",
        addresses("eth0", "10.10.10.1/24") + addresses("eth1", f"{GATEWAY}/24"),
        sysctls=FORWARDING,
    )
    director = Host(
        "director",
        (Address("eth0", f"{DIP}/24"), Address("eth0", f"{VIP}/24", "eth0:0")),
        default_via(GATEWAY),
    )
    servers = tuple(
        Host(name, addresses("eth0", f"{rip}/24"), default_via(GATEWAY))
        for name, rip in RIPS.items()
    )
    lan = link("router:eth1", "director:eth0", *(f"{name}:eth0" for name in RIPS))
    hosts = (client, router, director, *servers)
    return Topology("r1", hosts, (link("client:eth0", "router:eth0"), lan))
