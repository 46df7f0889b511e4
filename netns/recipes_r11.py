"""A transparent cache cluster: clients' web traffic to anywhere is routed to the director.

```
client1 .11 ┐ 10.10.10.0/24 ┌──────────┐ eth1 .254   192.168.1.0/24
client2 .12 ┴────────── .1  │ director ├──────┬──────────┬──────────┬──────────┐
                       eth0 └──────────┘    cache1 .11  cache2 .12  cache3 .13 origin .1
                                                                   198.51.100.1 to .20
```
A cache takes any address of 198.51.100.0/24 and 2001:db8::/64 for its own, as a transparent cache
does; the origin is where these addresses really are.  10.10.10.N has its twin fd00:10::N,
192.168.1.N fd00:1::N.
"""

from __future__ import annotations

from netns.topo import FORWARDING, Host, Route, Topology, addresses, default_via, link

CLIENTS = {"client1": "10.10.10.11", "client2": "10.10.10.12"}
CACHES = {f"cache{n}": f"192.168.1.{10 + n}" for n in (1, 2, 3)}
CACHES6 = {f"cache{n}": f"fd00:1::{10 + n}" for n in (1, 2, 3)}
SITES = tuple(f"198.51.100.{n}" for n in range(1, 21))
SITES6 = tuple(f"2001:db8::{n}" for n in range(1, 21))
ANYWHERE = ("198.51.100.0/24", "2001:db8::/64")


def topology() -> Topology:
    """Return the network of recipe R11, both families at once."""
    clients = tuple(
        Host(
            name,
            addresses("eth0", f"{addr}/24", f"fd00:10::{addr.rsplit('.', 1)[1]}/64"),
            default_via("10.10.10.1", "fd00:10::1"),
        )
        for name, addr in CLIENTS.items()
    )
    director = Host(
        "director",
        addresses("eth0", "10.10.10.1/24", "fd00:10::1/64")
        + addresses("eth1", "192.168.1.254/24", "fd00:1::254/64"),
        default_via("192.168.1.1", "fd00:1::1"),
        FORWARDING,
    )
    back = default_via("192.168.1.254", "fd00:1::254")
    caches = tuple(
        Host(name, addresses("eth0", f"{addr}/24", f"{CACHES6[name]}/64"), back)
        for name, addr in CACHES.items()
    )
    origin = Host(
        "origin",
        addresses("eth0", "192.168.1.1/24", "fd00:1::1/64")
        + addresses("lo", *(f"{site}/32" for site in SITES), *(f"{s}/128" for s in SITES6)),
        (Route("10.10.10.0/24", "192.168.1.254"), Route("fd00:10::/64", "fd00:1::254")),
    )
    links = (
        link("director:eth0", *(f"{name}:eth0" for name in CLIENTS)),
        link("director:eth1", "origin:eth0", *(f"{name}:eth0" for name in CACHES)),
    )
    return Topology("r11", (*clients, director, *caches, origin), links)
