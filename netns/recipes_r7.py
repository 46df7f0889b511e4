"""Persistence and time-outs by hand, then a keepalived.conf for the same service: recipe R7.

```
old ens33 .10   new ens33 .11     director ens33 .135, VIP .150 on ens33:1
   │               │                 │
───┴───────────────┴────────┬────────┴──────── 192.168.55.0/24
                 ┌──────────┼──────────┐
            web133 .133  web137 .137  web139 .139
```
The web servers' own preparation (VIP on lo:0, arp settings) is left to `lbfast realserver`.
"""

from __future__ import annotations

from netns.topo import Address, Host, Topology, addresses, link

VIP = "192.168.55.150"
CLIENTS = {"old": "192.168.55.10", "new": "192.168.55.11"}
WEB = {f"web{last}": f"192.168.55.{last}" for last in (133, 137, 139)}
DIRECTOR = "192.168.55.135"

CONFIGURATION = """\
global_defs {
   router_id keep_135
}
vrrp_instance VI_1 {
    state MASTER
    interface ens33
    virtual_router_id 41
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        192.168.55.150
    }
}
virtual_server 192.168.55.150 80 {
    delay_loop 6
    lb_algo rr
    lb_kind DR
    persistence_timeout 10
    protocol TCP
"""
SERVER = """\
    real_server {} 80 {{
        weight 1
        TCP_CHECK {{
            nb_get_retry 2
            connect_timeout 5
            delay_before_retry 3
        }}
    }}
"""


def configuration() -> str:
    """Return the recipe's file."""
    servers = "".join(SERVER.format(WEB[name]) for name in ("web139", "web137"))
    return f"{CONFIGURATION}{servers}}}\n"


def topology(*, with_vip: bool) -> Topology:
    """Return the network drawn above; keepalived puts the VIP there by itself."""
    own = addresses("ens33", f"{DIRECTOR}/24")
    if with_vip:
        own += (Address("ens33", f"{VIP}/24", "ens33:1"),)
    others = tuple(
        Host(name, addresses("ens33", f"{ip}/24")) for name, ip in {**CLIENTS, **WEB}.items()
    )
    lan = link("director:ens33", *(f"{host.name}:ens33" for host in others))
    return Topology("r7", (Host("director", own), *others), (lan,))
