"""Rules that give packets a fwmark, and transit traffic to many destinations behind them."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from lbfast.control import steering
from lbfast.control.marking import NO_INTERFACE, engine_row
from lbfast.control.tables import Engine, Tables
from lbfast.errors import KernelError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.marks import MAX_MARK_RULES, FwmarkRule
from lbfast.replay.network import D0, D1, packed, server_mac
from tests.fast.path import CLIENT, CLIENT6, VIP, Lab, head, hops

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
FAR = {False: "198.51.100.7", True: "2001:db8::7"}
OTHER = {False: "198.51.100.8", True: "2001:db8::8"}
RIP = {False: "10.2.0.1", True: "[fd00:2::1]:0"}  # as ipvsadm takes it


def rip(v6: bool) -> str:
    return "fd00:2::1" if v6 else "10.2.0.1"


def rule(v6: bool = False, mark: int = 1, dst: str = "", **fields: Any) -> FwmarkRule:
    prefix: dict[str, Any] = {}
    if dst:
        prefix = {"dst": packed(dst), "dst_len": 128 if v6 else 32}
    return FwmarkRule(mark, AF_INET6 if v6 else AF_INET, **prefix, **fields)


def lab(v6: bool, *rules: FwmarkRule, how: str = "-g", service: str = "-s rr") -> Lab:
    """A cache cluster of one: mark 1 goes to the first real server."""
    family = " -6" if v6 else ""
    world = Lab(f"-A -f 1{family} {service}", f"-a -f 1{family} -r {RIP[v6]} {how}")
    world.tables.set_marks(list(rules))
    return world


def syn(v6: bool, dst: str = "", sport: int = 4000, dport: int = 80, **fields: Any) -> Packet:
    return head(v6, dst=dst or FAR[v6], **fields) / TCP(sport=sport, dport=dport, flags="S")


@FAMILIES
def test_transit_traffic_is_balanced_whatever_its_destination(v6: bool) -> None:
    world = lab(v6, rule(v6, protocol=6, dport=(80, 80)))
    for number in range(9):
        dst = f"{FAR[v6][:-1]}{number}"
        out = world.one(syn(v6, dst, **hops(v6, 9)))
        assert (out.to_host, out.ifindex, out.macs[0]) == (False, D1, server_mac(1))
        assert bytes(out.packet) == bytes(syn(v6, dst, **hops(v6, 8)))
    assert world.verdict(syn(v6, dport=443)) == "ignore"
    assert world.verdict(head(v6, dst=FAR[v6]) / UDP(sport=4000, dport=80)) == "ignore"
    assert len(world.connections()) == 9


def test_rules_of_one_family_leave_the_other_alone() -> None:
    world = lab(False, rule(False))
    world.words("-A -f 1 -6 -s rr")
    assert world.verdict(syn(True)) == "ignore"
    assert world.verdict(syn(False)) == "sent"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        pytest.param({"dport": (80, 90)}, "sent", id="within a range of ports"),
        pytest.param({"dport": (81, 90)}, "ignore", id="below a range of ports"),
        pytest.param({"dport": (70, 79)}, "ignore", id="above a range of ports"),
        pytest.param({"sport": (4000, 4000)}, "sent", id="the source port"),
        pytest.param({"sport": (0, 3999)}, "ignore", id="another source port"),
        pytest.param({"src": packed("10.1.0.0"), "src_len": 16}, "sent", id="the source's net"),
        pytest.param({"src": packed("10.2.0.0"), "src_len": 16}, "ignore", id="another source"),
        pytest.param({"protocol": 17}, "ignore", id="another protocol"),
    ],
)
def test_rule_matches(fields: dict[str, Any], verdict: str) -> None:
    assert lab(False, rule(False, **fields)).verdict(syn(False)) == verdict


def test_last_rule_that_applies_decides_and_mark_0_excepts() -> None:
    world = lab(False, rule(), rule(mark=0, dst=FAR[False]), rule(mark=9, dst=OTHER[False]))
    assert world.verdict(syn(False, FAR[False])) == "ignore"
    assert world.verdict(syn(False, OTHER[False])) == "ignore"
    assert world.verdict(syn(False, "198.51.100.9")) == "sent"


def test_rule_of_an_interface_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"d0": D1}
    monkeypatch.setattr(
        "lbfast.control.marking.interface_index", lambda name: where.get(name, NO_INTERFACE)
    )
    monkeypatch.setattr(engine_row, "__defaults__", (lambda n: where.get(n, NO_INTERFACE),))
    world = lab(False, rule(interface="d0"))
    assert world.verdict(syn(False)) == "ignore"
    where["d0"] = D0
    assert world.tables.find_interfaces()
    assert not world.tables.find_interfaces()
    assert world.verdict(syn(False)) == "sent"
    del where["d0"]
    assert world.tables.find_interfaces()
    assert world.verdict(syn(False, sport=1)) == "ignore"
    assert world.tables.marks() == [rule(interface="d0")]


# ---- what has no ports of its own


def pieces(v6: bool, dport: int = 53) -> list[Packet]:
    data = bytes(UDP(sport=4000, dport=dport) / Raw(bytes(60)))
    return [piece(v6, 0, 1, data[:40]), piece(v6, 5, 0, data[40:])]


def piece(v6: bool, offset: int, more: int, data: bytes) -> Packet:
    if v6:
        header = IPv6ExtHdrFragment(offset=offset, m=more, id=5, nh=17)
        return IPv6(src=CLIENT6, dst=FAR[v6]) / header / Raw(data)
    return IP(src=CLIENT, dst=FAR[v6], id=5, proto=17, frag=offset, flags=more) / Raw(data)


@FAMILIES
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "last first"])
def test_fragments_of_marked_traffic_reach_the_server(v6: bool, order: tuple[int, ...]) -> None:
    world = lab(v6, rule(v6, protocol=17, dport=(53, 53)))
    outs = [out for at in order for out in world.send(pieces(v6)[at])]
    assert outs
    assert {(out.to_host, out.macs[0]) for out in outs} == {(False, server_mac(1))}


@FAMILIES
def test_fragments_that_turn_out_unmarked_come_back_as_they_came(v6: bool) -> None:
    world = lab(v6, rule(v6, protocol=17, dport=(53, 53)))
    outs = [out for each in pieces(v6, dport=54) for out in world.send(each)]
    assert [out.to_host for out in outs] == [True, True]
    assert [bytes(out.packet) for out in outs] == [bytes(each) for each in pieces(v6, 54)]


def test_fragments_of_other_protocols_and_destinations_are_left_alone() -> None:
    world = lab(False, rule(protocol=6), rule(dst=OTHER[False]))
    assert [world.verdict(each) for each in pieces(False)] == ["ignore", "ignore"]


def error(v6: bool, about: Packet, src: str = "") -> Packet:
    outer = head(v6, src=src, dst=about.src)
    return outer / (ICMPv6DestUnreach(code=4) if v6 else ICMP(type=3, code=3)) / about


def reply(v6: bool, sport: int = 80) -> Packet:
    inside = IPv6 if v6 else IP
    return inside(src=FAR[v6], dst=CLIENT6 if v6 else CLIENT) / TCP(sport=sport, dport=4000)


@FAMILIES
def test_icmp_error_about_marked_traffic_reaches_the_server(v6: bool) -> None:
    world = lab(v6, rule(v6, protocol=6, dport=(80, 80)))
    world.one(syn(v6))
    out = world.one(error(v6, reply(v6)))
    assert (out.to_host, out.macs[0], out.packet.dst) == (False, server_mac(1), FAR[v6])
    other = error(v6, reply(v6, sport=81))
    back = world.one(other)
    assert (back.to_host, bytes(back.packet)) == (True, bytes(other))


def test_icmp_errors_are_left_alone_without_a_marked_service() -> None:
    world = lab(False, rule(mark=2), rule(dst=OTHER[False]))
    assert world.verdict(error(False, reply(False))) == "ignore"


def test_icmp_error_to_a_local_virtual_address_of_marked_traffic_is_relayed() -> None:
    world = lab(False, rule(dport=(80, 80)), how="-m")
    world.one(syn(False, VIP))
    about = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=4000)
    out = world.one(error(False, about))
    assert (out.to_host, out.packet.dst) == (False, "10.2.0.1")


# ---- services


@FAMILIES
def test_reply_of_a_nat_server_of_marked_traffic_comes_from_the_address_asked(v6: bool) -> None:
    world = lab(v6, rule(v6, protocol=6, dport=(80, 80)), how="-m")
    out = world.one(syn(v6))
    assert out.packet.dst == rip(v6)
    inside = IPv6 if v6 else IP
    answer = inside(src=rip(v6), dst=CLIENT6 if v6 else CLIENT)
    back = world.one(answer / TCP(sport=80, dport=4000, flags="SA"), side="real")
    assert (back.to_host, back.ifindex, back.packet.src) == (False, D0, FAR[v6])


def test_connections_of_a_deleted_fwmark_service_are_not_the_hosts() -> None:
    world = lab(False, rule(dport=(80, 80)))
    world.words("-A -t 10.9.0.9:80 -s rr")
    world.one(syn(False))
    world.words("-D -f 1")
    assert world.verdict(head(False, dst=FAR[False]) / TCP(sport=4000, dport=80)) == "drop"
    assert world.verdict(syn(False, sport=4001)) == "host"
    world.words("-A -f 1 -s rr")
    world.words("-a -f 1 -r 10.2.0.1 -g")
    assert world.verdict(head(False, dst=FAR[False]) / TCP(sport=4000, dport=80)) == "sent"


@pytest.mark.covers("C-116")
@pytest.mark.parametrize("how", ["-g", "-i"], ids=["direct routing", "tunnel"])
def test_transit_traffic_is_not_redirected_to_a_local_server(how: str) -> None:
    world = lab(False, rule(dport=(80, 80)), how=how)
    world.words("-d -f 1 -r 10.2.0.1")
    world.words(f"-a -f 1 -r 10.2.255.254 {how}")
    assert world.verdict(syn(False)) == "drop"
    assert world.verdict(syn(False, VIP)) == "host"


# ---- the list of rules


def test_rules_are_kept_for_whoever_attaches() -> None:
    fd = os.memfd_create("arena")
    sizes: dict[str, Any] = {"conns": 64, "dests": 4, "services": 4, "fd": fd}
    rules = [rule(interface="lo"), rule(True, dst="fd00::1", dport=(1, 9)), rule(mark=0)]
    try:
        first = Tables(Engine(**sizes))
        first.set_marks(rules[:1])
        for each in rules[1:]:
            first.add_mark(each)
        second = Tables(Engine(**sizes))
        assert second.marks() == rules
        assert second.engine.marks()[0][3] == socket.if_nametoindex("lo")
        second.delete_mark(rules[0])
        assert Tables(Engine(**sizes)).marks() == rules[1:]
    finally:
        os.close(fd)


def test_damaged_rules_are_given_up_and_the_others_kept() -> None:
    fd = os.memfd_create("arena")
    sizes: dict[str, Any] = {"conns": 64, "dests": 4, "services": 4, "fd": fd}
    try:
        Tables(Engine(**sizes)).set_marks([rule(mark=0x11223344), rule(mark=2)])
        raw = os.pread(fd, 1 << 16, 0)
        at = raw.index((0x11223344).to_bytes(4, "little"))
        os.pwrite(fd, b"\xff\xff", at + 40)  # its first source port behind its last
        os.pwrite(fd, b"\x00\x00", at + 42)
        found = Engine(**sizes)
        assert Tables(found).marks() == [rule(mark=2)]
        assert found.found["broken"] == 1
    finally:
        os.close(fd)


def test_list_of_rules_is_judged_as_a_whole() -> None:
    tables = lab(False, rule()).tables
    with pytest.raises(KernelError, match="exists"):
        tables.add_mark(rule())
    with pytest.raises(KernelError, match="No such"):
        tables.delete_mark(rule(mark=2))
    many = [rule(mark=n) for n in range(MAX_MARK_RULES)]
    tables.set_marks(many)
    with pytest.raises(KernelError, match="space"):
        tables.add_mark(rule(mark=MAX_MARK_RULES))
    assert tables.marks() == many


# ---- the same predicate twice

_ADDRS = ("198.51.100.7", "198.51.100.8", VIP, "10.2.0.1", "10.1.0.1")
_ADDRS6 = ("2001:db8::7", "2001:db8::8", "fd00:9::1", "fd00:2::1", "fd00:1::1")
_KINDS = ("tcp", "udp", "icmp", "ping", "fragment")


@st.composite
def marks(draw: Any) -> FwmarkRule:
    v6 = draw(st.booleans())
    addrs = _ADDRS6 if v6 else _ADDRS
    nets: dict[str, Any] = {}
    for side in ("src", "dst"):
        length = draw(st.sampled_from((0, 0, 0, 32, 128) if v6 else (0, 0, 0, 24, 32)))
        value = int.from_bytes(packed(draw(st.sampled_from(addrs))), "big")
        bits = 128 if v6 else 32
        value = value >> (bits - length) << (bits - length)
        nets[side] = value.to_bytes(bits // 8, "big") if length else b""
        nets[f"{side}_len"] = length
    dport = draw(st.sampled_from(((0, 65535), (80, 80), (53, 80))))
    protocol = draw(st.sampled_from((0, 6, 17)))
    af = AF_INET6 if v6 else AF_INET
    return FwmarkRule(
        draw(st.sampled_from((1, 1, 1, 1, 2, 3, 0))), af, protocol, dport=dport, **nets
    )


def packet(v6: bool, kind: str, src: str, dst: str, dport: int) -> Packet:
    outer = IPv6(src=src, dst=dst) if v6 else IP(src=src, dst=dst)
    if kind == "icmp":
        return outer / (ICMPv6TimeExceeded() if v6 else ICMP(type=11)) / Raw(bytes(40))
    if kind == "ping":
        return outer / (Raw(bytes((128, *[0] * 7))) if v6 else ICMP())
    if kind == "fragment":
        if v6:
            return outer / IPv6ExtHdrFragment(offset=3, m=1, nh=17) / Raw(bytes(40))
        return IP(src=src, dst=dst, frag=3, flags=1, proto=17) / Raw(bytes(40))
    layer = TCP if kind == "tcp" else UDP
    return outer / layer(sport=4000, dport=dport)


def facts(v6: bool, kind: str, src: str, dst: str, dport: int) -> steering.Facts:
    ports = {"sport": 4000, "dport": dport} if kind in ("tcp", "udp") else {}
    icmp = {"icmp": 3 if v6 else 11, "ping": 128 if v6 else 8}.get(kind)
    number = {"tcp": 6, "udp": 17, "fragment": 17}.get(kind, 58 if v6 else 1)
    return steering.Facts(
        AF_INET6 if v6 else AF_INET, number, packed(src), packed(dst), **ports,
        fragment=kind == "fragment", icmp_type=icmp, ifindex=D0,
        daddr_local=dst in (VIP, "fd00:9::1"),
    )  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(marks(), unique=True, max_size=4), st.booleans(), st.sampled_from(_KINDS),
    st.integers(0, 4), st.integers(0, 4), st.sampled_from((22, 53, 80)),
    st.sets(st.sampled_from((("2", "-m"), ("2 -6", "-m"), ("3 -6", "-g")))),
)  # fmt: skip
def test_data_path_takes_just_what_the_rules_keep_from_the_host(
    rules: list[FwmarkRule], v6: bool, kind: str, src: int, dst: int, dport: int,
    services: set[tuple[str, str]],
) -> None:  # fmt: skip
    world = Lab()
    for mark, how in [("1", "-g"), ("1 -6", "-g"), *sorted(services)]:
        rip = "[fd00:2::1]:0" if "-6" in mark else "10.2.0.1"
        world.words(f"-A -f {mark} -s rr")
        world.words(f"-a -f {mark} -r {rip} {how}")
    world.tables.set_marks(rules)
    states = world.tables.services()
    made = steering.plan(
        [s.service for s in states],
        [(s.service.key, d.server) for s in states for d in s.servers],
        [steering.MarkRule(*engine_row(each)[:-1]) for each in rules],
    )
    addrs = _ADDRS6 if v6 else _ADDRS
    frame = (v6, kind, addrs[src], addrs[dst], dport)
    taken = steering.taken(made, facts(*frame))
    assert (world.verdict(packet(*frame)) != "ignore") == bool(taken), taken
