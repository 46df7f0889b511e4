"""cache_bypass: marked traffic goes on to where it was sent when no real server takes it."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet, Raw

from lbfast.control.tables import Engine, Tables
from lbfast.model import AF_INET, AF_INET6, Method
from lbfast.model.marks import FwmarkRule
from lbfast.replay import network
from lbfast.replay.network import D0, ROUTER_MAC
from tests.fast.path import CLIENT, CLIENT6, VIP, Lab, head, hops

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
FAR = {False: "198.51.100.7", True: "2001:db8::7"}
LOCAL = {False: VIP, True: "fd00:9::1"}
METHOD = 7  # bits of Connection.flags


def lab(v6: bool = False, service: str = "-s rr", server: str = "", **sysctls: int) -> Lab:
    family = " -6" if v6 else ""
    world = Lab(f"-A -f 1{family} {service}", **{"cache_bypass": 1, **sysctls})
    if server:
        world.words(f"-a -f 1{family} {server}")
    world.tables.set_marks([FwmarkRule(1, AF_INET6 if v6 else AF_INET)])
    return world


def syn(v6: bool = False, dst: str = "", sport: int = 4000, **fields: Any) -> Packet:
    return head(v6, dst=dst or FAR[v6], **fields) / TCP(sport=sport, dport=80, flags="S")


@pytest.mark.covers("C-074", "C-077")
@FAMILIES
@pytest.mark.parametrize("with_server", [False, True], ids=["no server", "weight 0"])
def test_packet_goes_on_as_it_was_but_for_its_ttl(v6: bool, with_server: bool) -> None:
    rip = "[fd00:2::1]:0" if v6 else "10.2.0.1"
    world = lab(v6, server=f"-r {rip} -g -w 0" if with_server else "")
    out = world.one(syn(v6, **hops(v6, 9)))
    assert (out.to_host, out.ifindex, out.macs[0]) == (False, D0, ROUTER_MAC)
    assert bytes(out.packet) == bytes(syn(v6, **hops(v6, 8)))
    (made,) = world.tables.connections()
    assert made.flags & METHOD == Method.BYPASS
    assert (made.daddr, made.dport) == (bytes(16 if v6 else 4), 0)
    assert made.state == "SYN_RECV"


@pytest.mark.covers("C-074")
@FAMILIES
def test_connection_stays_bypassed_when_a_server_comes(v6: bool) -> None:
    world = lab(v6)
    world.one(syn(v6))
    world.words(f"-a -f 1{' -6' if v6 else ''} -r {'[fd00:2::1]:0' if v6 else '10.2.0.1'} -g")
    more = head(v6, dst=FAR[v6]) / TCP(sport=4000, dport=80, flags="A")
    assert world.one(more).macs[0] == ROUTER_MAC
    assert world.one(syn(v6, sport=4001)).macs[0] != ROUTER_MAC
    assert len(world.connections()) == 2


@pytest.mark.covers("C-074")
def test_bypassed_connection_counts_as_nobodys() -> None:
    world = lab()
    world.one(syn())
    world.engine.estimate()
    assert world.service("fwm 1").stats.conns == 0
    assert world.engine.total()[:2] == (0, 0)


@pytest.mark.covers("C-074")
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("what", ["off", "local"])
def test_without_bypass_the_client_is_told(v6: bool, what: str) -> None:
    world = lab(v6, cache_bypass=0) if what == "off" else lab(v6)
    out = world.one(syn(v6, LOCAL[v6] if what == "local" else ""))
    assert (ICMPv6DestUnreach if v6 else ICMP) in out.packet
    assert world.connections() == []


@pytest.mark.covers("C-074")
@pytest.mark.parametrize("dst", ["255.255.255.255", "224.0.0.9"])
def test_what_is_no_hosts_address_is_not_bypassed(dst: str) -> None:
    world = lab()
    world.engine.route_add(0, b"\xff" * 4, 32, 3, 1)  # as the kernel's table local has it
    world.send(syn(dst=dst))
    assert world.connections() == []


@pytest.mark.covers("C-074")
@pytest.mark.parametrize("vip", [VIP, FAR[False]], ids=["local", "elsewhere"])
def test_address_service_is_not_bypassed(vip: str) -> None:
    world = Lab(f"-A -t {vip}:80 -s rr", cache_bypass=1)
    assert ICMP in world.one(syn(dst=vip)).packet
    assert world.connections() == []


@pytest.mark.covers("C-074")
def test_icmp_error_makes_no_bypass() -> None:
    world = lab(schedule_icmp=1)
    about = IP(src=FAR[False], dst=CLIENT) / TCP(sport=80, dport=4000)
    world.send(head(False, dst=FAR[False]) / ICMP(type=3, code=3) / about)
    assert world.connections() == []


@pytest.mark.covers("C-077")
@FAMILIES
def test_icmp_error_about_a_bypassed_connection_goes_on_too(v6: bool) -> None:
    world = lab(v6)
    world.one(syn(v6))
    inside = IPv6 if v6 else IP
    about = inside(src=FAR[v6], dst=CLIENT6 if v6 else CLIENT) / TCP(sport=80, dport=4000)
    kind = ICMPv6DestUnreach(code=4) if v6 else ICMP(type=3, code=3)
    sent = head(v6, dst=FAR[v6], **hops(v6, 9)) / kind / about
    out = world.one(sent)
    assert (out.to_host, out.macs[0]) == (False, ROUTER_MAC)
    assert bytes(out.packet) == bytes(head(v6, dst=FAR[v6], **hops(v6, 8)) / kind / about)


def test_one_packet_service_keeps_no_bypassed_connection() -> None:
    world = lab(service="-s rr -o")
    out = world.one(head(False, dst=FAR[False]) / UDP(sport=4000, dport=53) / Raw(b"who"))
    assert out.macs[0] == ROUTER_MAC
    assert world.connections() == []


def test_bypass_without_a_route_is_answered() -> None:
    world = lab()
    world.engine.routes_replace([])
    world.send(syn())
    assert world.engine.reasons().get("no-route") == 1


def test_bypassed_connection_is_found_again_after_a_kill(tmp_path: Any) -> None:
    with (tmp_path / "arena").open("w+b") as file:
        sizes: dict[str, Any] = {"conns": 64, "dests": 4, "services": 4, "fd": file.fileno()}
        world = lab()
        world.engine = world.director.engine = Engine(**sizes, now_ns=world.now_ns)
        world.tables = world.director.tables = Tables(world.engine)
        network.build(world.engine, network.MTU)
        world.words("-A -f 1 -s rr")
        world.tables.set_sysctl("cache_bypass", "1")
        world.tables.set_marks([FwmarkRule(1)])
        world.one(syn())
        found = Engine(**sizes, now_ns=world.now_ns)
        assert found.found["conns"] == 1
        assert found.found["broken"] == 0
