"""The world around: neighbours, routes, policy rules, VLANs, a full table."""

from __future__ import annotations

import os

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from lbfast._fastpath import Engine
from lbfast.control.tables import Tables
from lbfast.replay import network
from lbfast.replay.network import D0, D0_MAC, D1, ROUTER_MAC, packed, server_mac
from tests.fast.path import CLIENT, NEEDS_CSUM, VIP, Lab, head, partial, sums_right

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SYN = TCP(sport=4000, dport=80, flags="S")
VLAN, VLAN_MAC, PEER = 9, bytes.fromhex("020000000909"), "10.66.0.1"


def lab(how: str = "-g", rip: str = "10.2.0.7", rip6: str = "fd00:2::7") -> Lab:
    return Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r {rip}:80 {how}",
        "-A -t [fd00:9::1]:80 -s rr", f"-a -t [fd00:9::1]:80 -r [{rip6}]:80 {how}",
    )  # fmt: skip


# ---- neighbours


@FAMILIES
def test_packet_waits_for_its_neighbour_and_leaves_when_it_is_known(v6: bool) -> None:
    rip = "fd00:2::99" if v6 else "10.2.0.99"
    world = lab(rip="10.2.0.99", rip6="fd00:2::99")
    ready = world.engine.request_fd()
    assert world.verdict(head(v6) / SYN) == "held"
    assert world.engine.requests() == [("neigh", D1, packed(rip))]
    os.read(ready, 8)  # readable: it would block otherwise
    world.engine.neigh_set(D1, packed(rip), server_mac(99))
    (out,) = world.frames()
    assert (out.ifindex, out.macs[0]) == (D1, server_mac(99))
    assert out.packet[TCP].sport == 4000
    assert sums_right(out.packet)


def test_packet_waits_a_second_for_its_neighbour_at_most() -> None:
    world = lab(rip="10.2.0.99")
    assert world.verdict(head(False) / SYN) == "held"
    world.wait(1)
    assert world.engine.reasons() == {}
    world.wait(1)
    assert world.engine.reasons() == {"no-neighbour": 1}
    world.engine.neigh_set(D1, packed("10.2.0.99"), server_mac(99))
    assert world.frames() == []


def test_neighbour_is_asked_for_once_a_while_not_per_packet() -> None:
    world = lab(rip="10.2.0.99")
    for sport in range(4000, 4010):
        world.send(head(False) / TCP(sport=sport, dport=80, flags="S"))
    assert len(world.engine.requests()) == 1
    assert world.engine.requests() == []


def test_neighbour_in_use_is_told_every_three_seconds() -> None:
    world = lab()
    world.ask(4000)
    world.engine.requests()
    world.ask(4001)
    assert world.engine.requests() == []
    world.wait(4)
    world.ask(4002)
    assert world.engine.requests() == [("used", D1, packed("10.2.0.7"))]


def test_neighbour_that_is_forgotten_is_asked_for_again() -> None:
    world = lab()
    assert world.verdict(head(False) / SYN) == "sent"
    world.engine.requests()
    world.engine.neigh_del(D1, packed("10.2.0.7"))
    assert world.verdict(head(False) / SYN) == "held"
    assert world.engine.requests() == [("neigh", D1, packed("10.2.0.7"))]


# ---- routes


def test_route_changes_reach_running_connections() -> None:
    world = lab()
    assert world.one(head(False) / SYN).macs[0] == server_mac(7)
    world.engine.route_add(1, packed("10.2.0.7"), 32, 1, D1, packed("10.2.0.9"))
    assert world.one(head(False) / SYN).macs[0] == server_mac(9)
    assert world.engine.route_del(1, packed("10.2.0.7"), 32)
    assert not world.engine.route_del(1, packed("10.2.0.7"), 32)
    assert world.one(head(False) / SYN).macs[0] == server_mac(7)


def test_longest_prefix_wins_then_the_lowest_metric() -> None:
    world = lab()
    for metric, gateway in ((20, 3), (10, 4), (30, 5)):
        via = packed(f"10.2.0.{gateway}")
        world.engine.route_add(1, packed("10.2.0.0"), 24, 1, D1, via, b"", 0, metric)
    assert world.one(head(False) / SYN).macs[0] == server_mac(4)
    assert world.engine.route_del(1, packed("10.2.0.0"), 24, 10)
    assert world.one(head(False) / SYN).macs[0] == server_mac(3)


def test_mtu_of_the_route_counts_when_it_is_smaller_than_the_links() -> None:
    world = lab()
    world.engine.route_add(1, packed("10.2.0.7"), 32, 1, D1, b"", b"", 1000)
    out = world.one(head(False, flags="DF") / SYN / Raw(bytes(961)))
    assert bytes(out.packet.payload)[:8][-2:] == (1000).to_bytes(2, "big")
    world.engine.route_add(1, packed("10.2.0.7"), 32, 1, D1, b"", b"", 9000)
    assert world.one(head(False, flags="DF") / SYN / Raw(bytes(1460))).ifindex == D1


def test_routes_replace_takes_all_or_nothing() -> None:
    world = lab()
    whole = (1, packed("10.2.0.0"), 16, 1, D1, packed("10.2.0.9"), b"", 0, 0)
    with pytest.raises(ValueError, match="prefix length"):
        world.engine.routes_replace([whole, (1, b"\1\2\3\4", 99, 1, D1, b"", b"", 0, 0)])
    assert world.one(head(False) / SYN).macs[0] == server_mac(7)
    world.engine.routes_replace([whole])
    assert world.one(head(False) / SYN).macs[0] == server_mac(9)


@FAMILIES
def test_policy_rule_sends_replies_by_the_virtual_address(v6: bool) -> None:
    """snat_reroute: the reply is routed as from the VIP (spec 2.4)."""
    world = lab("-m")
    vip, via = ("fd00:9::1", "fd00:2::9") if v6 else (VIP, "10.2.0.9")
    af, bits = (10, 128) if v6 else (2, 32)
    world.engine.route_add(5, bytes(16 if v6 else 4), 0, 1, D1, packed(via))
    plain = [(a, table, 1, b"", 0, b"", 0) for table in (0, 1, 2) for a in (2, 10)]
    world.engine.rules_replace([(af, 5, 1, packed(vip), bits, b"", 0), *plain])
    world.send(head(v6) / SYN)
    client = "fd00:1::1" if v6 else CLIENT
    reply = (IPv6 if v6 else IP)(src="fd00:2::7" if v6 else "10.2.0.7", dst=client)
    reply = reply / TCP(sport=80, dport=4000, flags="SA")
    assert world.one(reply, "real").macs[0] == server_mac(9)
    world.engine.set_setting("snat_reroute", 0)
    assert world.one(reply, "real").macs[0] == ROUTER_MAC


def test_policy_rule_may_prohibit() -> None:
    world = lab()
    world.engine.rules_replace([(2, 0, 1, b"", 0, b"", 0),
                                (2, 0, 8, b"", 0, packed("10.2.0.0"), 16),
                                (2, 1, 1, b"", 0, b"", 0)])  # fmt: skip
    out = world.one(head(False) / SYN)
    assert (out.ifindex, bytes(out.packet.payload)[:2]) == (D0, b"\3\1")
    assert world.engine.reasons() == {"no-route": 1}


# ---- VLANs


def vlan_lab() -> Lab:
    """A client behind VLAN 9 of d0: the interface d0.9 has index 20."""
    world = lab("-m")
    world.engine.link_set(20, VLAN_MAC, 1500, 1, D0, VLAN)
    world.engine.addr_add(20, packed("10.66.255.254"), 16)
    world.engine.route_add(1, packed("10.66.0.0"), 16, 1, 20)
    world.engine.neigh_set(20, packed(PEER), ROUTER_MAC)
    return world


def tagged(packet: Packet, vlan: int = VLAN, dst: bytes = VLAN_MAC) -> bytes:
    return bytes(Ether(dst=dst, src=ROUTER_MAC) / Dot1Q(vlan=vlan) / packet)


@pytest.mark.covers("C-453")
def test_tag_is_taken_off_and_put_back() -> None:
    world = vlan_lab()
    sent = head(False, src=PEER) / SYN
    (out,) = world.frames((D0, b"", tagged(sent)))
    assert (out.ifindex, out.macs[0], out.frame[12:14]) == (D1, server_mac(7), b"\x08\x00")
    assert sums_right(out.packet)
    reply = IP(src="10.2.0.7", dst=PEER) / TCP(sport=80, dport=4000, flags="SA")
    back = world.one(reply, "real")
    frame = Ether(back.frame)
    assert (back.ifindex, back.macs) == (D0, (ROUTER_MAC, VLAN_MAC))
    assert (frame[Dot1Q].vlan, frame[IP].src) == (VLAN, VIP)
    assert sums_right(frame[IP])


@pytest.mark.covers("C-453")
def test_frame_of_the_host_keeps_the_priority_of_its_tag() -> None:
    world = vlan_lab()
    frame = bytearray(tagged(head(False, src=PEER) / TCP(sport=4000, dport=80, flags="A")))
    frame[14] |= 0xA0
    (out,) = world.frames((D0, b"", bytes(frame)))
    assert (out.to_host, out.frame) == (True, bytes(frame))


def test_partial_checksum_moves_with_the_tag() -> None:
    world = vlan_lab()
    raw, vnet = partial(head(False, src=PEER) / SYN)
    into = vnet._replace(csum_start=vnet.csum_start + 4)
    (out,) = world.frames((D0, into.pack(), tagged(IP(raw))))
    assert out.vnet == vnet
    raw, vnet = partial(IP(src="10.2.0.7", dst=PEER) / TCP(sport=80, dport=4000, flags="SA"))
    back = world.one(raw, "real", vnet)
    assert back.vnet.flags == NEEDS_CSUM
    assert back.vnet.csum_start == vnet.csum_start + 4


def test_given_back_frame_has_its_tag_again() -> None:
    world = vlan_lab()
    frame = tagged(head(False, src=PEER) / TCP(sport=4000, dport=80, flags="A"))
    (out,) = world.frames((D0, b"", frame))
    assert (out.to_host, out.ifindex, out.frame) == (True, D0, frame)


def test_tag_without_an_interface_and_foreign_mac_are_left_alone() -> None:
    world = vlan_lab()
    sent = head(False, src=PEER) / SYN
    frames = [tagged(sent, vlan=10), tagged(sent, dst=D0_MAC)]
    assert world.frames(*((D0, b"", frame) for frame in frames)) == []
    assert world.engine.verdicts()["ignore"] == 2
    priority = tagged(sent, vlan=0, dst=D0_MAC)  # a priority tag: the interface itself
    assert len(world.frames((D0, b"", priority))) == 1


# ---- a full table, and links


def test_full_table_drops_new_connections_and_keeps_the_others() -> None:
    engine = Engine(conns=4, dests=4, services=4, seed=1)
    tables = Tables(engine)
    world = lab()
    world.engine = world.director.engine = engine
    world.tables = world.director.tables = tables
    network.build(engine, network.MTU)
    for line in (f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -g"):
        world.words(line)
    went = [world.ask(sport) for sport in range(4000, 4006)]
    assert went == ["10.2.0.7:80"] * 4 + ["drop"] * 2
    assert engine.reasons() == {"table-full": 2}
    assert world.ask(4000, "A") == "10.2.0.7:80"
    world.wait(1000)
    assert world.ask(4005) == "10.2.0.7:80"


def test_full_tables_of_services_and_servers_are_refused() -> None:
    engine = Engine(conns=4, dests=1, services=1)
    engine.service_put((2, 6, packed(VIP), 80, 0), b"rr", 0, 0, 0xFFFFFFFF, b"")
    with pytest.raises(OSError, match="No space left"):
        engine.service_put((2, 6, packed(VIP), 81, 0), b"rr", 0, 0, 0xFFFFFFFF, b"")
    key = (2, 6, packed(VIP), 80, 0)
    engine.server_put(key, (2, packed("10.2.0.1"), 80), 3, 1, 0, 0, 0, 0, 0)
    with pytest.raises(OSError, match="No space left"):
        engine.server_put(key, (2, packed("10.2.0.2"), 80), 3, 1, 0, 0, 0, 0, 0)


def test_link_that_is_gone_takes_its_routes_with_it() -> None:
    world = lab()
    world.ask(4000)
    world.engine.link_del(D1)
    out = world.one(head(False) / SYN)
    assert (out.ifindex, bytes(out.packet.payload)[:2]) == (D0, b"\3\1")
    with pytest.raises(ValueError, match="no link"):
        world.frames((D1, b"", bytes(60)))


def test_link_without_neighbours_needs_none() -> None:
    world = lab(rip="10.88.0.1")
    world.engine.link_set(30, b"", 1400, 1 | 4)
    world.engine.route_add(1, packed("10.88.0.0"), 16, 1, 30)
    out = world.one(head(False) / SYN)
    assert (out.ifindex, out.macs[0]) == (30, bytes(6))
