"""Two directors with a keepalived.conf, direct routing, a sorry server: recipes R4 and R5.

```
client eth1 .9     master eth1 .1     backup eth1 .2
   │                  │                  │
───┴──────────────────┴─────┬────────────┴── 172.16.70.0/24, VIP .100
                   ┌────────┼──────────┐
                 web4 .4  web5 .5   sorry .200
```
The web servers' own preparation (VIP on lo:0, arp settings) is left to `lbfast realserver`.
"""

from __future__ import annotations

from netns.topo import Host, Topology, addresses, link

VIP = "172.16.70.100"
HOSTS = {
    "client": "172.16.70.9",
    "master": "172.16.70.1",
    "backup": "172.16.70.2",
    "web4": "172.16.70.4",
    "web5": "172.16.70.5",
    "sorry": "172.16.70.200",
}
WEB = ("web4", "web5")

VRRP = """\
global_defs {
   router_id LVS_DEVEL
}
vrrp_instance VI_1 {
    state MASTER
    interface eth1
    virtual_router_id 100
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        172.16.70.100
    }
}
"""
CONNECTED = """\
        TCP_CHECK {
            connect_timeout 10
            retry 3
            delay_before_retry 3
            connect_port 80
        }
"""
CONTENT = """\
        HTTP_GET {
            url {
                path /testurl/test.html
                digest d41d8cd98f00b204e9800998ecf8427e
            }
            url {
                path /testurl2/test.html
                digest d41d8cd98f00b204e9800998ecf8427e
            }
            connect_timeout 3
            nb_get_retry 3
            delay_before_retry 3
        }
"""
SERVICE = """\
virtual_server 172.16.70.100 80 {{
    delay_loop 6
    lb_algo lc
    lb_kind DR
{more}{servers}}}
"""
R4_WORDS = "    #persistence_timeout 50\n    protocol TCP\n"
R5_WORDS = "    persistence_timeout 50\n    protocol TCP\n    sorry_server 172.16.70.200 80\n"


def _service(words: str, check: str) -> str:
    servers = "".join(
        f"    real_server {HOSTS[name]} 80 {{\n        weight 1\n{check}    }}\n" for name in WEB
    )
    return SERVICE.format(more=words, servers=servers)


def connected(*, backup: bool = False) -> str:
    """Return a director's file of recipe R4."""
    other = VRRP.replace("MASTER", "BACKUP").replace("priority 100", "priority 90")
    return (other if backup else VRRP) + _service(R4_WORDS, CONNECTED)


def content(more: str = "") -> str:
    """Return the master's file of recipe R5; `more` are further lines of its virtual_server."""
    return VRRP + _service(R5_WORDS + more, CONTENT)


def topology() -> Topology:
    """Return the network drawn above."""
    hosts = tuple(Host(name, addresses("eth1", f"{ip}/24")) for name, ip in HOSTS.items())
    return Topology("r4", hosts, (link(*(f"{name}:eth1" for name in HOSTS)),))
