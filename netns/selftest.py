"""The network of the kernel's own test of IPVS (tools/testing/selftests/net/netfilter/ipvs.sh).

```
ns0 client                          ns1 load balancer             ns2 server
┌───────────────────────┐          ┌──────────────────┐          ┌──────────────────┐
│ br0 10.0.0.2/24       │          │                  │          │                  │
│  ├ veth01 ────────────┼──────────┤ veth10 10.0.0.1  │          │                  │
│  │                    │          │ veth12 172.16.0.1├──────────┤ veth21 172.16.0.2│
│  └ veth02 ────────────┼──────────┼──────────────────┼──────────┤ veth20 10.0.0.3  │
└───────────────────────┘          └──────────────────┘          └──────────────────┘
```
The VIP 207.175.44.110 is on the loopback of the load balancer; the client has a route to it
through 10.0.0.1.  In the NAT case veth20 goes and the server's way out is the load balancer.
"""

from __future__ import annotations

from netns.topo import Address, Bridge, Host, Route, Sysctl, Topology, addresses, link

VIP = "207.175.44.110"
PORT = 8080
SERVER = "172.16.0.2"
CASES = ("dr", "nat", "tun")
QUIET_ARP = (
    Sysctl("net.ipv4.conf.all.arp_ignore", "1"),
    Sysctl("net.ipv4.conf.all.arp_announce", "2"),
)


def topology(case: str) -> Topology:
    """Return the network of a case: dr, nat or tun.

    In the tun case the server's VIP, arp settings and decapsulation are left to
    `lbfast realserver --tunnel`, in place of the ipip device of the original.
    """
    client = Host(
        "ns0",
        addresses("br0", "10.0.0.2/24"),
        (Route(VIP, via="10.0.0.1"),),
        bridges=(Bridge("br0", ("veth01", "veth02")),),
    )
    balancer = Host(
        "ns1",
        (
            Address("veth10", "10.0.0.1/24"),
            Address("veth12", "172.16.0.1/24"),
            Address("lo", f"{VIP}/32"),
        ),
        sysctls=(
            Sysctl("net.ipv4.ip_forward", "0" if case == "tun" else "1"),
            Sysctl("net.ipv4.conf.all.send_redirects", "0" if case == "tun" else "1"),
        ),
    )
    links = [link("ns0:veth01", "ns1:veth10"), link("ns1:veth12", "ns2:veth21")]
    if case != "nat":
        links.append(link("ns0:veth02", "ns2:veth20"))
        return Topology(f"selftest-{case}", (client, balancer, _server(case)), tuple(links))
    alone = Host("ns0", client.addresses, client.routes, bridges=(Bridge("br0", ("veth01",)),))
    return Topology("selftest-nat", (alone, balancer, _server(case)), tuple(links))


def _server(case: str) -> Host:
    own = addresses("veth21", f"{SERVER}/24")
    if case == "nat":
        return Host("ns2", own, (Route("default", via="172.16.0.1"),))
    own += addresses("veth20", "10.0.0.3/24")
    if case == "dr":
        return Host("ns2", own + addresses("lo", f"{VIP}/32"), sysctls=QUIET_ARP)
    return Host("ns2", own)
