"""Two directors with NAT: the VIP, and the real server's gateway, are where the master is.

```
client .9 ──┬── 10.1.0.0/24, VIP .100 ──┬── eth0 one .1 eth1 ──┬── 10.2.0.0/24, VIP .254 ── rs .9
            │                           └── eth0 two .2 eth1 ──┘
```
"""

from __future__ import annotations

from netns.topo import Host, Sysctl, Topology, addresses, default_via, link

VIP, INNER = "10.1.0.100", "10.2.0.254"
DIRECTORS = ("one", "two")
SERVER = "10.2.0.9"

CONFIGURATION = """\
vrrp_instance V {{
    version 3
    interface eth0
    virtual_router_id 7
    priority {priority}
    advert_int {interval}
    virtual_ipaddress {{
        10.1.0.100/24
        10.2.0.254/24 dev eth1
    }}
}}
virtual_server 10.1.0.100 80 {{
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.2.0.9 80 {{
        TCP_CHECK {{
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }}
    }}
}}
"""


def topology() -> Topology:
    """Return the network drawn above."""
    hosts = [
        Host("client", addresses("eth0", "10.1.0.9/24")),
        Host("rs", addresses("eth0", f"{SERVER}/24"), default_via(INNER)),
    ]
    for number, name in enumerate(DIRECTORS, 1):
        own = addresses("eth0", f"10.1.0.{number}/24") + addresses("eth1", f"10.2.0.{number}/24")
        hosts.append(Host(name, own, (), (Sysctl("net.ipv4.ip_forward", "1"),)))
    outer = link("client:eth0", *(f"{name}:eth0" for name in DIRECTORS))
    inner = link("rs:eth0", *(f"{name}:eth1" for name in DIRECTORS))
    return Topology("pair", tuple(hosts), (outer, inner))
