"""The network around the director of the recordings: two interfaces, a router, real servers.

clients -- router 10.1.255.1 -- d0 [director] d1 -- real servers 10.2.0.N, fd00:2::N
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from lbfast.control.tables import Engine

D0, D1 = 2, 3
D0_MAC = bytes.fromhex("020000010001")
D1_MAC = bytes.fromhex("020000020101")
ROUTER_MAC = bytes.fromhex("0200000100fe")
SERVERS = 32
LOCAL_TABLE, MAIN_TABLE = 0, 1
UNICAST, LOCAL = 1, 2
MTU = 1500

LOCAL_NETS = ("10.1.255.254/32", "10.2.255.254/32", "10.9.0.0/16", "127.0.0.0/8",
              "fd00:1::fffe/128", "fd00:2::fffe/128", "fd00:9::/64", "::1/128")  # fmt: skip
VIA_ROUTER = ("0.0.0.0/0", "10.1.0.0/17", "::/0", "fd00:1::/64")
ON_LINK = (("10.1.0.0/16", D0), ("10.2.0.0/16", D1), ("fd00:2::/64", D1), ("fd00:1::ff/128", D0))
ADDRESSES = (
    (D0, "10.1.255.254", 16),
    (D1, "10.2.255.254", 16),
    (D0, "fd00:1::fffe", 128),
    (D1, "fd00:2::fffe", 64),
)


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def _net(text: str) -> tuple[bytes, int]:
    net = ipaddress.ip_network(text)
    return net.network_address.packed, net.prefixlen


def server_mac(number: int) -> bytes:
    return bytes((2, 0, 0, 2, 0, number))


def build(engine: Engine, mtu: int) -> None:
    """Tells the engine of links, addresses, routes and neighbours."""
    engine.link_set(D0, D0_MAC, MTU, 1)
    engine.link_set(D1, D1_MAC, mtu, 1)
    for ifindex, addr, prefixlen in ADDRESSES:
        engine.addr_add(ifindex, packed(addr), prefixlen)
    for text in LOCAL_NETS:
        engine.route_add(LOCAL_TABLE, *_net(text), LOCAL, 1)
    for text, ifindex in ON_LINK:
        engine.route_add(MAIN_TABLE, *_net(text), UNICAST, ifindex)
    for text in VIA_ROUTER:
        router = "fd00:1::ff" if ":" in text else "10.1.255.1"
        engine.route_add(MAIN_TABLE, *_net(text), UNICAST, D0, packed(router))
    for router in ("10.1.255.1", "fd00:1::ff"):
        engine.neigh_set(D0, packed(router), ROUTER_MAC)
    for n in range(1, SERVERS + 1):
        engine.neigh_set(D1, packed(f"10.2.0.{n}"), server_mac(n))
        engine.neigh_set(D1, packed(f"fd00:2::{n:x}"), server_mac(n))


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that left the director: "client" or "real:N", and the bytes of its IP packet."""

    to: str
    packet: bytes


def frame(side: str, packet: bytes) -> tuple[int, bytes, bytes]:
    """Makes the frame in which a packet of the clients' or the servers' side arrives."""
    ethertype = b"\x86\xdd" if packet and packet[0] >> 4 == 6 else b"\x08\x00"
    if side == "client":
        return D0, b"", D0_MAC + ROUTER_MAC + ethertype + packet
    return D1, b"", D1_MAC + server_mac(1) + ethertype + packet


def sent(ifindex: int, data: bytes) -> Sent:
    """Says where a frame on a director's interface goes."""
    if ifindex == D1:
        return Sent(f"real:{data[5]}", data[14:])
    return Sent("client", data[14:])
