"""FULLNAT's part in steering: what the data path takes is what the rules keep from the host."""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from lbfast.control import steering
from lbfast.control.steering import Facts, LocalAddresses, taken
from lbfast.model import AF_INET, AF_INET6
from tests.fast.fulllab import LIP, LIP6, RIP, RIP6, answer, ask, ends, lab
from tests.fast.path import VIP, Lab

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
HOST_PORTS = (20000, 30000)


@FAMILIES
def test_only_a_servers_packets_to_our_ports_are_taken(v6: bool) -> None:
    world = lab("u")
    lport = ends(ask(world, 4000, v6))[1]
    net = IPv6 if v6 else IP
    rip, lip, other = (RIP6, LIP6, "fd00:2::9") if v6 else (RIP, LIP, "10.2.0.9")
    back = net(src=rip, dst=lip)
    assert world.verdict(back / UDP(sport=8080, dport=lport), "real") == "sent"
    unknown = lport + 1 if lport < 32000 else 1500
    assert world.verdict(back / UDP(sport=8080, dport=unknown), "real") == "host"
    for packet in (
        back / UDP(sport=8080, dport=32768),  # of the host's own range
        back / UDP(sport=8080, dport=60999),
        back / UDP(sport=8080, dport=1024),
        back / UDP(sport=53, dport=lport),
        back / TCP(sport=8080, dport=lport),
        net(src=other, dst=lip) / UDP(sport=8080, dport=lport),
        net(src=rip, dst="fd00:2::fffe" if v6 else "10.2.255.254") / UDP(sport=8080, dport=lport),
    ):
        assert world.verdict(packet, "real") == "ignore"


def test_what_no_connection_has_is_given_back_as_it_came() -> None:
    world = lab()
    sent = answer(False, 2000, TCP(flags="SA"))
    out = world.one(sent, "real")
    assert out.to_host
    assert bytes(out.packet) == bytes(sent)


# ---- the same predicate, twice


def mixed() -> Lab:
    """FULLNAT with every kind of port, beside NAT, and a deleted server."""
    world = Lab(
        f"-A -u {VIP}:80", f"-a -u {VIP}:80 -r 10.2.0.7:8080 --fullnat",
        f"-a -u {VIP}:80 -r 10.2.0.8:0 --fullnat", f"--add-laddr -u {VIP}:80 -z {LIP}",
        f"-A -t {VIP}:80", f"-a -t {VIP}:80 -r 10.2.0.9:8080 -m",
        f"-a -t {VIP}:80 -r 10.2.0.10:8080 --fullnat", f"--add-laddr -t {VIP}:80 -z 10.2.255.22",
        "-A -t [fd00:9::1]:80", "-a -t [fd00:9::1]:80 -r [fd00:2::7]:8080 --fullnat",
        f"--add-laddr -t [fd00:9::1]:80 -z {LIP6}", "-A -u [fd00:9::1]:80",
        "-a -u [fd00:9::1]:80 -r [fd00:2::8]:8080 -m",
    )  # fmt: skip
    world.engine.reserve_ports(*HOST_PORTS)
    return world


def plan_of(world: Lab) -> steering.SteeringPlan:
    states = world.tables.services()
    return steering.plan(
        [s.service for s in states],
        [(s.service.key, d.server) for s in states for d in s.servers],
        lingering=world.tables.lingering(),
        local=LocalAddresses(frozenset(world.engine.local_addresses()), HOST_PORTS),
    )


ADDRESSES = {
    False: ("10.2.0.7", "10.2.0.8", "10.2.0.9", "10.2.0.10", "10.2.0.11"),
    True: ("fd00:2::7", "fd00:2::8", "fd00:2::9"),
}
TARGETS = {False: (LIP, "10.2.255.22", "10.1.0.1", VIP), True: (LIP6, "fd00:1::1", "fd00:9::1")}
PORTS = (80, 1024, 1025, 19999, 20000, 30000, 30001, 65535)


@FAMILIES
@pytest.mark.parametrize("edited", [False, True], ids=["as added", "edited and deleted"])
def test_data_path_agrees_with_the_predicate(v6: bool, edited: bool) -> None:
    world = mixed()
    if edited:
        world.words(f"-e -t {VIP}:80 -r 10.2.0.10:8080 -m")
        world.words("-e -t [fd00:9::1]:80 -r [fd00:2::7]:8080 -m")
        world.words(f"-d -u {VIP}:80 -r 10.2.0.7:8080")
        world.words(f"--del-laddr -t {VIP}:80 -z 10.2.255.22")
    made = plan_of(world)
    net = IPv6 if v6 else IP
    counted = 0
    for src, dst in itertools.product(ADDRESSES[v6], TARGETS[v6]):
        base = Facts(
            AF_INET6 if v6 else AF_INET, 17, ip_address(src).packed, ip_address(dst).packed,
            daddr_local=dst in (VIP, "fd00:9::1"),
        )  # fmt: skip
        for facts, packet in frames(v6, net(src=src, dst=dst), base):
            expected = bool(taken(made, facts))
            assert (world.verdict(packet, "real") != "ignore") is expected, packet.summary()
            counted += expected
    assert counted > 10


def frames(v6: bool, head: Packet, base: Facts) -> list[tuple[Facts, Packet]]:
    """Frames of every kind between two addresses, and the facts about them."""
    error = head / (ICMPv6DestUnreach() if v6 else ICMP(type=3, code=1)) / Raw(bytes(40))
    piece = (
        head / IPv6ExtHdrFragment(offset=9, nh=17) / Raw(bytes(16))
        if v6
        else IP(src=head.src, dst=head.dst, frag=9, proto=17) / Raw(bytes(16))
    )
    found = [
        (replace(base, protocol=58 if v6 else 1, icmp_type=1 if v6 else 3), error),
        (replace(base, fragment=True), piece),
    ]
    for sport, dport in itertools.product((8080, 9), PORTS):
        for number, layer in ((6, TCP), (17, UDP)):
            facts = replace(base, protocol=number, sport=sport, dport=dport)
            found.append((facts, head / layer(sport=sport, dport=dport)))
    return found
