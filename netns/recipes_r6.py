"""Nodes that are director and web server at once: recipe R6; without balancing recipe R10.

```
client .200     node1 .133      node2 .134      node3 .135     (ens33)
   │               │               │               │
───┴───────────────┴───────────────┴───────────────┴── 192.168.46.0/24, VIP .100
```
For R6 the VIP is also on lo of every node (`lbfast realserver`).
"""

from __future__ import annotations

from netns.topo import Host, Topology, addresses, link

VIP = "192.168.46.100"
NODES = {"node1": "192.168.46.133", "node2": "192.168.46.134", "node3": "192.168.46.135"}
CLIENTS = ("192.168.46.200", "192.168.46.201", "192.168.46.202", "192.168.46.203")

INSTANCE = """\
vrrp_instance VI_1 {{
    state {state}
    interface ens33
    virtual_router_id 51
    priority {priority}
    advert_int 1
{more}    virtual_ipaddress {{
        192.168.46.100
    }}
}}
"""
SERVER = """\
    real_server {address} 80 {{
        weight 3
        TCP_CHECK {{
            connect_timeout 10
            nb_get_retry 3
            delay_before_retry 3
            connect_port 80
        }}
    }}
"""
SERVICE = """\
virtual_server 192.168.46.100 80 {{
    delay_loop 6
    lb_algo rr
    lb_kind DR
    nat_mask 255.255.255.0
    persistence_timeout 50
    protocol TCP
{servers}}}
"""


def topology(nodes: int = 3) -> Topology:
    """Return the network drawn above, with so many of the nodes."""
    hosts = [
        Host(name, addresses("ens33", f"{address}/24"))
        for name, address in list(NODES.items())[:nodes]
    ]
    hosts.append(Host("client", addresses("ens33", *(f"{address}/24" for address in CLIENTS))))
    return Topology("r6", tuple(hosts), (link(*(f"{host.name}:ens33" for host in hosts)),))


def instance(node: str, more: str = "") -> str:
    """Return a node's vrrp_instance; `more` are further lines of it."""
    first = node == "node1"
    state, priority = ("MASTER", 50) if first else ("BACKUP", 30)
    return INSTANCE.format(state=state, priority=priority, more=more)


def balanced(node: str) -> str:
    """Return a node's whole file of recipe R6."""
    servers = "".join(SERVER.format(address=address) for address in NODES.values())
    return instance(node) + SERVICE.format(servers=servers)


def watched(node: str, script: str, more: str = "") -> str:
    """Return a node's whole file of recipe R10, its web server watched by a script."""
    check = (
        f'vrrp_script chk {{\n    script "{script}"\n    interval 2\n    fall 2\n    rise 2\n'
        "    weight -30\n}\n"
    )
    return check + instance(node, f"    track_script {{\n        chk\n    }}\n{more}")
