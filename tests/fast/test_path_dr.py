"""Direct routing and tunnels: what leaves, and in what it is wrapped."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, D1, D1_MAC, ROUTER_MAC, packed, server_mac
from tests.fast.path import (
    CLIENT,
    NEEDS_CSUM,
    TCPV4,
    TCPV6,
    VIP,
    Lab,
    Vnet,
    finished,
    head,
    hops,
    partial,
    sums_right,
    tos,
)

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SYN = TCP(sport=4000, dport=80, flags="S")


def lab(how: str = "-g", rip: str = "10.2.0.7", rip6: str = "[fd00:2::7]", **sysctls: int) -> Lab:
    return Lab(
        f"-A -t {VIP}:80 -s rr",
        f"-a -t {VIP}:80 -r {rip}:80 {how}",
        "-A -t [fd00:9::1]:80 -s rr",
        f"-a -t [fd00:9::1]:80 -r {rip6}:80 {how}",
        **sysctls,
    )


def less_a_hop(packet: Packet) -> Packet:
    fresh = packet.copy()
    if IPv6 in fresh:
        fresh.hlim -= 1
    else:
        fresh.ttl -= 1
        del fresh.chksum
    return type(fresh)(bytes(fresh))


@pytest.mark.covers("C-126", "C-127", "C-113")
@FAMILIES
def test_direct_routing_changes_ttl_and_macs_only(v6: bool) -> None:
    sent = head(v6) / TCP(sport=4000, dport=80, flags="S", chksum=0x1234) / Raw(b"abc")
    out = lab().one(sent)
    assert (out.to_host, out.ifindex) == (False, D1)
    assert out.macs == (server_mac(7), D1_MAC)
    assert bytes(out.packet) == bytes(less_a_hop(sent))


@pytest.mark.covers("C-127")
def test_direct_routing_keeps_the_port_where_the_server_has_another() -> None:
    world = Lab("-A -f 5 -s rr", "-a -f 5 -r 10.2.0.7:8080 -g")
    rule = (5, 2, 0, 0, b"", 0, packed(VIP), 32, (0, 65535), (0, 65535))
    world.engine.marks_replace([rule])
    assert world.one(head(False) / SYN).packet[TCP].dport == 80


@pytest.mark.covers("C-128")
@pytest.mark.parametrize("how", ["-g", "-i"], ids=["direct routing", "tunnel"])
def test_server_behind_a_gateway_gets_frames_by_the_gateways_mac(how: str) -> None:
    world = lab(how, rip="10.77.0.1")
    world.engine.route_add(1, packed("10.77.0.0"), 16, 1, D1, packed("10.2.0.9"))
    out = world.one(head(False) / SYN)
    assert (out.ifindex, out.macs[0]) == (D1, server_mac(9))


def test_ipv4_server_may_be_behind_an_ipv6_gateway() -> None:
    world = lab(rip="10.77.0.1")
    world.engine.route_add(1, packed("10.77.0.0"), 16, 1, D1, packed("fd00:2::9"))
    out = world.one(head(False) / SYN)
    assert out.macs[0] == server_mac(9)
    assert out.frame[12:14] == b"\x08\x00"


@pytest.mark.covers("C-111")
@FAMILIES
def test_local_server_gets_the_packet_as_it_came(v6: bool) -> None:
    world = lab(rip="10.9.0.99", rip6="[fd00:9::99]")
    sent = head(v6, **hops(v6, 1)) / SYN
    out = world.one(sent)
    assert (out.to_host, out.ifindex) == (True, D0)
    assert out.macs[1] == ROUTER_MAC
    assert bytes(out.packet) == bytes(sent)
    assert world.state(4000, "fd00:1::1" if v6 else CLIENT)[0] == "SYN_RECV"


@pytest.mark.covers("C-462")
@FAMILIES
def test_super_frame_stays_one_through_direct_routing(v6: bool) -> None:
    world = lab()
    world.send(head(v6) / SYN)
    raw, vnet = partial(head(v6) / TCP(sport=4000, dport=80, flags="A") / Raw(bytes(30000)))
    vnet = vnet._replace(
        gso_type=TCPV6 if v6 else TCPV4, gso_size=1300, hdr_len=vnet.csum_start + 20
    )
    out = world.one(raw, vnet=vnet)
    assert out.vnet == vnet
    assert bytes(out.packet) == bytes(less_a_hop(type(head(v6))(raw)))


# ---- tunnels


@pytest.mark.covers("C-129", "C-130", "C-131", "C-132", "C-133")
@pytest.mark.parametrize("df", [True, False])
@pytest.mark.parametrize(
    ("tos", "outer"), [(0x48, 0x48), (0x49, 0x49), (0x4A, 0x4A), (0x4B, 0x4A)],
    ids=["not ECT", "ECT(1)", "ECT(0)", "CE becomes ECT(0)"],
)  # fmt: skip
def test_ipip_header_follows_the_packet(tos: int, outer: int, df: bool) -> None:
    sent = head(False, tos=tos, ttl=17, flags="DF" if df else 0) / SYN
    out = lab("-i").one(sent).packet
    assert (out.proto, out.ihl, out.tos, out.ttl, bool(out.flags.DF)) == (4, 5, outer, 16, df)
    assert (out.src, out.dst) == ("10.2.255.254", "10.2.0.7")
    assert (out.id == 0) == df
    assert sums_right(out)
    assert bytes(out.payload) == bytes(less_a_hop(sent))


@pytest.mark.covers("C-132")
def test_ipip_header_never_has_df_without_pmtu_disc() -> None:
    out = lab("-i", pmtu_disc=0).one(head(False, flags="DF") / SYN).packet
    assert not out.flags.DF
    assert out.payload.flags.DF


@pytest.mark.covers("C-129", "C-130", "C-131", "C-137")
@pytest.mark.parametrize(
    ("v6", "outer6", "protocol"),
    [(False, False, 4), (False, True, 4), (True, False, 41), (True, True, 41)],
    ids=["4 in 4", "4 in 6", "6 in 4", "6 in 6"],
)
def test_either_family_goes_through_either_tunnel(v6: bool, outer6: bool, protocol: int) -> None:
    rip = "[fd00:2::7]" if outer6 else "10.2.0.7"
    sent = head(v6, **tos(v6, 0x48)) / SYN
    out = lab("-i", rip=rip, rip6=rip).one(sent).packet
    assert bytes(out.payload) == bytes(less_a_hop(sent))
    if outer6:
        assert (out.src, out.dst) == ("fd00:2::fffe", "fd00:2::7")
        assert (out.nh, out.hlim, out.tc, out.fl) == (protocol, 63, 0x48, 0)
    else:
        assert (out.proto, out.ttl, out.tos) == (protocol, 63, 0x48)
        assert not out.flags.DF


@pytest.mark.covers("C-133")
def test_tunnel_source_is_the_routes_preferred_one() -> None:
    world = lab("-i")
    world.engine.route_add(1, packed("10.2.0.7"), 32, 1, D1, b"", packed("10.2.255.1"))
    assert world.one(head(False) / SYN).packet.src == "10.2.255.1"


@pytest.mark.covers("C-134")
@FAMILIES
@pytest.mark.parametrize("csum", [False, True])
def test_gre_header_has_4_or_8_bytes(csum: bool, v6: bool) -> None:
    flag = "--tun-csum" if csum else "--tun-nocsum"
    out = finished(lab(f"-i --tun-type gre {flag}", rip6="10.2.0.7").one(head(v6) / SYN))
    assert out.proto == 47
    gre = bytes(out.payload)
    assert gre[:4] == (b"\x80\x00" if csum else b"\0\0") + (b"\x86\xdd" if v6 else b"\x08\x00")
    inner = gre[8 if csum else 4 :]
    assert inner == bytes(less_a_hop(head(v6) / SYN))
    if csum:
        fresh = GRE(gre)
        del fresh.chksum
        assert bytes(fresh)[4:8] == gre[4:8]


@pytest.mark.covers("C-135")
@FAMILIES
@pytest.mark.parametrize("csum", [False, True])
def test_gue_header_is_udp_and_4_bytes(csum: bool, v6: bool) -> None:
    flag = "--tun-csum" if csum else "--tun-nocsum"
    how = f"-i --tun-type gue --tun-port 6080 {flag}"
    out = finished(lab(how, rip6="10.2.0.7").one(head(v6) / SYN))
    udp = out[UDP]
    assert (out.proto, udp.dport, 32768 <= udp.sport < 61000) == (17, 6080, True)
    gue = bytes(udp.payload)
    assert gue[:4] == bytes((0, 41 if v6 else 4, 0, 0))
    assert gue[4:] == bytes(less_a_hop(head(v6) / SYN))
    assert (udp.chksum != 0) == csum
    assert not csum or sums_right(out)


@pytest.mark.covers("C-136")
@pytest.mark.parametrize("is_partial", [True, False])
def test_remote_checksum_only_for_a_partial_one(is_partial: bool) -> None:
    world = lab("-i --tun-type gue --tun-port 6080 --tun-remcsum")
    raw, vnet = partial(head(False) / SYN)
    out = world.one(raw, vnet=vnet) if is_partial else world.one(head(False) / SYN)
    gue = bytes(out.packet[UDP].payload)
    if is_partial:
        assert gue[:4] == bytes((2, 4, 0, 1))
        assert gue[4:12] == bytes((0x80, 0, 0, 0, 0, 20, 0, 36))  # start and offset, from the IP
    else:
        assert gue[:4] == bytes((0, 4, 0, 0))
    assert out.vnet == Vnet(NEEDS_CSUM, csum_start=34, csum_offset=6)  # the outer one's alone
    assert sums_right(finished(out))


@pytest.mark.covers("C-143")
def test_fragments_of_the_inner_family_do_not_bound_the_outer() -> None:
    """As in the kernel: what came in fragments leaves whole in a tunnel of the other family."""
    world = Lab("-A -u [fd00:9::1]:80 -s rr", "-a -u [fd00:9::1]:80 -r 10.2.0.7:80 -i")
    whole = head(True) / UDP(sport=4000, dport=80) / Raw(b"x" * 300)
    parts = fragment6(head(True) / IPv6ExtHdrFragment(id=1) / whole[UDP], 160)
    outs = [out for part in parts for out in world.send(part)]
    assert [(len(out.packet), out.packet.proto) for out in outs] == [(20 + len(whole), 41)]


@pytest.mark.covers("C-021")
def test_tunnel_parameters_reach_running_connections_the_method_only_new_ones() -> None:
    world = lab("-i")
    world.one(head(False) / SYN)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.7:80 -i --tun-type gre")
    assert world.one(head(False) / TCP(sport=4000, dport=80, flags="A")).packet.proto == 47
    world.words(f"-e -t {VIP}:80 -r 10.2.0.7:80 -m")  # and so the type of tunnel is the default
    assert world.one(head(False) / TCP(sport=4000, dport=80, flags="A")).packet.proto == 4
    assert world.one(head(False) / TCP(sport=4001, dport=80, flags="S")).packet.proto == 6


def test_partial_checksum_moves_with_the_outer_header() -> None:
    raw, vnet = partial(head(False) / SYN)
    out = lab("-i").one(raw, vnet=vnet)
    assert out.vnet == vnet._replace(csum_start=vnet.csum_start + 20)


@FAMILIES
def test_super_frame_is_cut_for_a_tunnel_into_finished_packets(v6: bool) -> None:
    world = lab("-i")
    world.send(head(v6) / SYN)
    data = bytes(range(250)) * 40
    raw, vnet = partial(head(v6) / TCP(sport=4000, dport=80, flags="PA", seq=1) / Raw(data))
    vnet = vnet._replace(
        gso_type=TCPV6 if v6 else TCPV4, gso_size=1400, hdr_len=vnet.csum_start + 20
    )
    outs = world.send(raw, vnet=vnet)
    assert len(outs) == -(-len(data) // 1400)
    inner = [finished(o).payload for o in outs]
    assert all(o.vnet.gso_type == 0 for o in outs)
    assert all(sums_right(p) for p in inner)
    assert b"".join(bytes(p[TCP].payload) for p in inner) == data
    assert [p[TCP].seq for p in inner] == [1 + 1400 * n for n in range(len(inner))]
    assert isinstance(inner[0], IPv6 if v6 else IP)
