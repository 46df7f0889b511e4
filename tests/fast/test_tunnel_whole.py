"""A super-frame that must be tunnelled: whole where the kernel is told of the tunnel, else cut."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from lbfast.replay import network
from lbfast.replay.network import D1
from tests.fast.path import TCPV4, TCPV6, UDP_L4, VIP, Lab, Vnet, head, partial

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
WHOLE = 3  # the kind of an out that the kernel is to cut
PAYLOAD = 4000


def lab(*how: str, mtu: int = network.MTU) -> Lab:
    words = " ".join(how)
    made = Lab(
        f"-A -t {VIP}:80 -s rr",
        f"-a -t {VIP}:80 -r 10.2.0.7:80 -i {words}",
        "-A -t [fd00:9::1]:80 -s rr",
        f"-a -t [fd00:9::1]:80 -r [fd00:2::7]:80 -i {words}",
        f"-A -u {VIP}:80 -s rr",
        f"-a -u {VIP}:80 -r 10.2.0.7:80 -i",
        mtu=mtu,
    )
    made.engine.link_wraps(D1, True)
    return made


def super_frame(v6: bool, size: int = 1000, payload: int = PAYLOAD) -> tuple[bytes, Vnet]:
    packet = head(v6) / TCP(sport=4000, dport=80, flags="A") / Raw(bytes(payload))
    raw, vnet = partial(packet)
    return raw, vnet._replace(gso_type=TCPV6 if v6 else TCPV4, gso_size=size, hdr_len=vnet[4] + 20)


def sent(world: Lab, raw: bytes, vnet: Vnet) -> list[tuple[int, Vnet, bytes]]:
    """Return kind, offload header and frame of all that leaves, the connection being known."""
    v6 = raw[0] >> 4 == 6
    world.send(head(v6) / TCP(sport=4000, dport=80, flags="S"))
    ifindex, _, frame = network.frame("client", raw)
    outs = world.engine.process([(ifindex, vnet.pack(), frame)], world.now_ns)
    return [(out[0], Vnet(*struct.unpack("=BBHHHH", out[2])), out[3]) for out in outs]


@FAMILIES
def test_it_leaves_whole_behind_one_outer_header(v6: bool) -> None:
    raw, vnet = super_frame(v6)
    ((kind, after, frame),) = sent(lab(), raw, vnet)
    outer = 40 if v6 else 20
    assert kind == WHOLE
    assert after == vnet._replace(
        csum_start=vnet.csum_start + outer, hdr_len=vnet.hdr_len + outer
    )  # fmt: skip
    packet: Packet = (IPv6 if v6 else IP)(frame[14:])
    assert (packet.dst, packet.nh if v6 else packet.proto) == (
        ("fd00:2::7", 41) if v6 else ("10.2.0.7", 4)
    )  # fmt: skip
    assert (packet.plen if v6 else packet.len - 20) == len(raw)
    hop = 7 if v6 else 8
    assert frame[14 + outer + hop] == raw[hop] - 1  # one hop less, the rest as it was
    assert frame[14 + outer + 12 :] == raw[12:]


def wire(world: Lab, raw: bytes, vnet: Vnet) -> tuple[set[int], int]:
    """Return the kinds of what leaves, and how many frames these are."""
    outs = sent(world, raw, vnet)
    return {kind for kind, _, _ in outs}, len(outs)


@FAMILIES
def test_it_is_cut_where_the_kernel_cannot_be_told(v6: bool) -> None:
    world = lab()
    world.engine.link_wraps(D1, False)
    assert wire(world, *super_frame(v6)) == ({0}, PAYLOAD // 1000)


@pytest.mark.parametrize("how", ["--tun-type gre", "--tun-type gue --tun-port 6080"])
def test_it_is_cut_for_other_kinds_of_tunnels(how: str) -> None:
    assert wire(lab(how), *super_frame(v6=False)) == ({0}, PAYLOAD // 1000)


def test_it_is_cut_for_an_outer_header_of_the_other_family() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r [fd00:2::7]:80 -i")
    world.engine.link_wraps(D1, True)
    assert wire(world, *super_frame(v6=False)) == ({0}, PAYLOAD // 1000)


def test_it_is_cut_when_the_outer_length_could_not_be_told() -> None:
    longest = 0xFFFF - 40 - 40  # headers of the packet, and as much again as any outer header
    assert wire(lab(), *super_frame(False, payload=longest)) == ({WHOLE}, 1)
    raw, vnet = super_frame(False, payload=longest + 1)
    assert wire(lab(), raw, vnet) == ({0}, 66)


def test_datagrams_are_cut() -> None:
    raw, vnet = partial(head(False) / UDP(sport=4000, dport=80) / Raw(bytes(PAYLOAD)))
    vnet = vnet._replace(gso_type=UDP_L4, gso_size=1000, hdr_len=42)
    assert wire(lab(), raw, vnet) == ({0}, PAYLOAD // 1000)


def test_segments_that_do_not_fit_the_tunnel_are_answered() -> None:
    raw, vnet = super_frame(False, size=network.MTU - 40)
    fragment = bytearray(raw)
    fragment[6:8] = b"\x40\x00"  # DF
    fragment[10:12] = bytes(2)
    fragment[10:12] = struct.pack("!H", header_sum(bytes(fragment[:20])))
    world = lab()
    world.send(head(False) / TCP(sport=4000, dport=80, flags="S"))
    out = world.one(bytes(fragment), vnet=vnet)
    assert (out.packet.proto, out.packet["ICMP"].code) == (1, 4)


def header_sum(header: bytes) -> int:
    total = sum(struct.unpack("!10H", header))
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)


def test_first_packets_wait_for_a_neighbour_in_segments() -> None:
    world = lab()
    world.engine.neigh_del(D1, network.packed("10.2.0.7"))
    assert sent(world, *super_frame(v6=False)) == []
    assert world.engine.verdicts()["held"] > 0
