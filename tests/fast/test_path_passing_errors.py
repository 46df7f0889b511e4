"""ICMP errors about packets in our tunnels, and errors for others that pass the director."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from tests.fast.path import CLIENT, VIP, Lab, Out

TUNNELS = pytest.mark.parametrize(
    "kind", ["", "--tun-type gre", "--tun-type gue --tun-port 6080"], ids=["ipip", "gre", "gue"]
)
REQUEST = IP(src=CLIENT, dst=VIP, ttl=9) / UDP(sport=4000, dport=80) / Raw(b"x" * 60)
DIRECTOR = "10.2.255.254"


def tunnel(kind: str) -> Lab:
    return Lab(f"-A -u {VIP}:80 -s rr", f"-a -u {VIP}:80 -r 10.2.0.7:80 -i {kind}")


def error_about(outer: bytes, code: int = 1, word: bytes = bytes(4)) -> Packet:
    """Make the error of a router on the way to the real server, quoting our packet."""
    answer = ICMP(bytes((3, code, 0, 0)) + word)
    del answer.chksum
    return IP(src="10.2.0.200", dst=DIRECTOR) / answer / Raw(outer)


def told(outs: list[Out]) -> tuple[int, int, bytes, bytes]:
    """Return type, code, the word behind and the quote of the one error for the client."""
    assert len(outs) == 1
    packet = outs[0].packet
    assert (packet.src, packet.dst) == (VIP, CLIENT)
    raw = bytes(packet.payload)
    return raw[0], raw[1], raw[4:8], raw[8:]


@pytest.mark.covers("C-087")
@TUNNELS
def test_error_about_a_tunnel_is_told_to_the_client_as_it_is(kind: str) -> None:
    world = tunnel(kind)
    outer = bytes(world.one(REQUEST).packet)
    outs = world.send(error_about(outer, 1, b"\x14\0\0\0"), "real")
    sent = bytes(REQUEST)
    assert told(outs)[:3] == (3, 1, b"\x14\0\0\0")
    quote = told(outs)[3]
    assert (quote[8], quote[12:]) == (8, sent[12 : len(quote)])


@pytest.mark.covers("C-087")
@TUNNELS
def test_the_ports_of_the_quoted_packet_are_enough(kind: str) -> None:
    world = tunnel(kind)
    outer = bytes(world.one(REQUEST).packet)
    cut = len(outer) - len(bytes(REQUEST)) + 20 + 4
    assert told(world.send(error_about(outer[:cut]), "real"))[:2] == (3, 1)
    assert world.send(error_about(outer[: cut - 1]), "real") == []


@pytest.mark.covers("C-087")
@pytest.mark.parametrize(
    "edit", ["-i --tun-type gre", "-i --tun-type gue --tun-port 6080", "-g", None]
)
def test_only_tunnels_of_the_servers_kind_are_ours(edit: str | None) -> None:
    world = tunnel("")
    outer = bytes(world.one(REQUEST).packet)
    assert len(world.send(error_about(outer), "real")) == 1
    if edit:
        world.words(f"-e -u {VIP}:80 -r 10.2.0.7:80 {edit}")
    else:
        world.words(f"-d -u {VIP}:80 -r 10.2.0.7:80")
    assert world.send(error_about(outer), "real") == []


@pytest.mark.covers("C-080")
def test_error_for_another_is_forwarded_before_it_is_ours() -> None:
    """One that passes on its way to another host loses a hop to that, and one to us."""
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -m")
    world.ask(4000)
    quote = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=4000, flags="A")
    for ttl, left in ((64, 62), (3, 1)):
        error = IP(src="192.0.2.1", dst="203.0.113.9", ttl=ttl) / ICMP(type=3, code=1) / quote
        out = world.one(error).packet
        assert (out.dst, out.ttl) == ("10.2.0.7", left)
    error[IP].ttl = 2
    assert world.send(error) == []
    error[IP].ttl = 1
    assert world.verdict(error) == "host"


@pytest.mark.covers("C-070")
def test_orphan_reply_at_its_last_hop_is_the_hosts() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -m", nat_icmp_send=1)
    orphan = IP(src="10.2.0.7", dst=CLIENT, ttl=2) / TCP(sport=80, dport=9, flags="A")
    assert len(world.send(orphan, "real")) == 1
    orphan[IP].ttl = 1
    assert world.verdict(orphan, "real") == "host"
