"""Persistence by hand: two real servers beside the director, clients on the same network.

```
client1 .11  client2 .12  director ens33 .135  rs1 .133  rs2 .137
   └────────────┴──────── 192.168.55.0/24 ────────┴─────────┘
                          VIP .150 on ens33:1
```
The real servers' own preparation (VIP on lo:0, arp settings) is left to `lbfast realserver`.
"""

from __future__ import annotations

from netns.topo import Address, Host, Topology, addresses, link

VIP = "192.168.55.150"
RIPS = {"rs1": "192.168.55.133", "rs2": "192.168.55.137"}
CLIENTS = {"client1": "192.168.55.11", "client2": "192.168.55.12"}


def topology() -> Topology:
    """Return the network of recipe R7."""
    director = Host(
        "director",
        (Address("ens33", "192.168.55.135/24"), Address("ens33", f"{VIP}/24", "ens33:1")),
    )
    others = tuple(
        Host(name, addresses("ens33", f"{addr}/24")) for name, addr in {**CLIENTS, **RIPS}.items()
    )
    hosts = (director, *others)
    return Topology("r7", hosts, (link(*(f"{host.name}:ens33" for host in hosts)),))
