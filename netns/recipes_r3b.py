"""NAT with one arm: clients, directors and real servers on one wire: recipe R3b.

```
far .2 ── 10.10.10.0/24 ── router .1      near .9      one .1      two .2
                              │             │            │           │
───────────────────────── 192.168.20.0/24 ──┴─────┬──────┴───────────┴── (eth0)
                                              ┌───┼───┐
                                        rs1 .11  .12  .13
```
VIP .100; the real servers' default gateway .254 is an address of the same instance, so that it
moves with the VIP.  The router knows nothing of the directors but the VIP's network.
"""

from __future__ import annotations

from netns.topo import (
    FORWARDING,
    Host,
    Sysctl,
    Topology,
    addresses,
    default_via,
    link,
)

VIP, GATEWAY = "192.168.20.100", "192.168.20.254"
FAR, NEAR = "10.10.10.2", "192.168.20.9"
DIRECTORS = {"one": "192.168.20.1", "two": "192.168.20.2"}
RIPS = {f"rs{n}": f"192.168.20.1{n}" for n in (1, 2, 3)}
ROUTER = "192.168.20.251"

# A director that told real servers of the shorter way would lose their replies to it.
NO_REDIRECTS = tuple(
    Sysctl(f"net.ipv4.conf.{scope}.send_redirects", "0") for scope in ("all", "default")
)

INSTANCE = """\
vrrp_instance ONE_ARM {{
    state {state}
    interface eth0
    virtual_router_id 20
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        192.168.20.100
        192.168.20.254
    }}
}}
"""
SERVER = """\
    real_server {rip} 80 {{
        weight 1
        HTTP_GET {{
            url {{
                path /
                status_code 200
            }}
            connect_timeout 3
            retry 1
            delay_before_retry 1
        }}
    }}
"""
SERVICE = """\
virtual_server 192.168.20.100 80 {{
    delay_loop 2
    lb_algo rr
    lb_kind NAT
{more}    protocol TCP
{servers}}}
"""


def configuration(director: str, more: str = "") -> str:
    """Return a director's file; `more` are further lines of its virtual_server."""
    state, priority = ("MASTER", 150) if director == "one" else ("BACKUP", 100)
    servers = "".join(SERVER.format(rip=rip) for rip in RIPS.values())
    instance = INSTANCE.format(state=state, priority=priority)
    return instance + SERVICE.format(more=more, servers=servers)


def topology(*, redirects: bool = False) -> Topology:
    """Return the network drawn above."""
    settings = () if redirects else NO_REDIRECTS
    hosts = [
        Host("far", addresses("eth0", f"{FAR}/24"), default_via("10.10.10.1")),
        Host(
            "router",
            addresses("eth0", "10.10.10.1/24") + addresses("eth1", f"{ROUTER}/24"),
            sysctls=(*FORWARDING, *NO_REDIRECTS),
        ),
        Host("near", addresses("eth0", f"{NEAR}/24"), default_via(ROUTER)),
    ]
    hosts += [
        Host(name, addresses("eth0", f"{own}/24"), default_via(ROUTER), (*FORWARDING, *settings))
        for name, own in DIRECTORS.items()
    ]
    hosts += [
        Host(name, addresses("eth0", f"{rip}/24"), default_via(GATEWAY))
        for name, rip in RIPS.items()
    ]
    wire = link("router:eth1", *(f"{n}:eth0" for n in ("near", *DIRECTORS, *RIPS)))
    return Topology("r3b", tuple(hosts), (link("far:eth0", "router:eth0"), wire))
