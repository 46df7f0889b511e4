"""The nftables rules agree with the predicate, frame by frame; nothing is left behind."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lbfast.control.nft import Rules, table_name
from lbfast.control.steering import (
    Facts,
    LocalAddresses,
    MarkRule,
    SteeringPlan,
    plan,
    taken,
)
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    VirtualService,
)
from lbfast.nftlib import NftError, library_runner, program_runner
from tests.e2e.worldlib import Lab, Tap, entered, ip, lab, run
from tests.steered_lab import SERVICES, Steered, between, random_edit, service

pytestmark = pytest.mark.net_admin


def packed(text: str) -> bytes:
    return socket.inet_pton(AF_INET6 if ":" in text else AF_INET, text)


def services(*texts: str) -> list[ServiceKey]:
    """Reads services written `tcp 10.9.0.1 80`."""
    found = []
    for text in texts:
        protocol, addr, port = text.split()
        number = {"tcp": 6, "udp": 17}[protocol]
        af = AF_INET6 if ":" in addr else AF_INET
        found.append(ServiceKey(af, number, packed(addr), int(port)))
    return found


def masq(addr: str, port: int) -> RealServer:
    raw = packed(addr)
    return RealServer(ServerKey(AF_INET if len(raw) == 4 else AF_INET6, raw, port), Method.MASQ)


def full(addr: str, port: int) -> RealServer:
    return replace(masq(addr, port), method=Method.FULLNAT)


KEYS = services(
    "tcp 10.9.0.1 80", "udp 10.9.0.1 0", "tcp 10.9.0.2 21", "tcp fd09::1 80", "udp fd09::1 53"
)
MARKED = [ServiceKey(AF_INET, fwmark=7), ServiceKey(AF_INET6, fwmark=7)]
RULES = [
    MarkRule(7, AF_INET, 6, dst=packed("10.8.0.0"), dst_len=16, dport=(100, 200)),
    MarkRule(9, AF_INET, 0, src=packed("10.1.0.3"), src_len=32),
    MarkRule(7, AF_INET6, 17, dst=packed("fd08::"), dst_len=32),
]
PLAN = plan(
    [VirtualService(k) for k in KEYS + MARKED],
    [
        (KEYS[0], masq("10.2.0.2", 8080)),
        (KEYS[0], masq("10.2.0.3", 0)),
        (KEYS[3], masq("fd02::2", 8080)),
        (KEYS[0], full("10.2.0.4", 8080)),
        (KEYS[0], full("10.2.0.5", 0)),
        (KEYS[3], full("fd02::4", 8080)),
    ],
    RULES,
    local=LocalAddresses(frozenset((packed("10.9.0.21"), packed("fd09::21"))), (5000, 6000)),
)

FRAMES: dict[str, Packet] = {
    "request": IP(dst="10.9.0.1") / TCP(dport=80),
    "request to another port": IP(dst="10.9.0.1") / TCP(dport=81),
    "any port": IP(dst="10.9.0.1") / UDP(dport=999),
    "protocol without ports": IP(dst="10.9.0.1", proto=47) / b"\x00\x50\x00\x50",
    "ports cut off": IP(dst="10.9.0.1", proto=6) / b"\x00\x50",
    "ftp control": IP(dst="10.9.0.2") / TCP(dport=21),
    "ftp data": IP(dst="10.9.0.2") / TCP(dport=20),
    "ftp passive": IP(dst="10.9.0.2") / TCP(dport=1024),
    "ftp neither": IP(dst="10.9.0.2") / TCP(dport=1023),
    "reply": IP(src="10.2.0.2", dst="10.7.0.1") / TCP(sport=8080),
    "reply of any port": IP(src="10.2.0.3", dst="10.7.0.1") / TCP(sport=5),
    "reply to the host": IP(src="10.2.0.2", dst="10.1.0.1") / TCP(sport=8080),
    "other port of a server": IP(src="10.2.0.2", dst="10.7.0.1") / TCP(sport=22),
    "first fragment": IP(dst="10.9.0.1", flags="MF") / TCP(dport=81),
    "later fragment": IP(dst="10.9.0.1", frag=9) / b"\x00\x50\x00\x50abcd",
    "fragment to the host": IP(dst="10.1.0.1", frag=9) / b"\x00\x50\x00\x50abcd",
    "fragment of a server": IP(src="10.2.0.2", dst="10.7.0.1", frag=9, proto=17) / b"abcdefgh",
    "fragment of a server to the host": IP(src="10.2.0.2", dst="10.1.0.1", frag=9) / b"abcdefgh",
    "fragment of ICMP": IP(dst="10.7.0.1", frag=9, proto=1) / b"abcdefgh",
    "error to the VIP": IP(dst="10.9.0.1") / ICMP(type=3, code=1) / b"abcdefgh",
    "error passing": IP(dst="10.7.0.1") / ICMP(type=11) / b"abcdefgh",
    "error to the host": IP(dst="10.1.0.1") / ICMP(type=11) / b"abcdefgh",
    "ping of the VIP": IP(dst="10.9.0.1") / ICMP(type=8),
    "marked": IP(dst="10.8.1.1") / TCP(dport=150),
    "marked, other port": IP(dst="10.8.1.1") / TCP(dport=99),
    "marked for no service": IP(src="10.1.0.3", dst="10.8.1.1") / TCP(dport=150),
    "local": IP(src="10.2.0.4", dst="10.9.0.21") / TCP(sport=8080, dport=1025),
    "local of any port": IP(src="10.2.0.5", dst="10.9.0.21") / TCP(sport=5, dport=65535),
    "local, low port": IP(src="10.2.0.4", dst="10.9.0.21") / TCP(sport=8080, dport=1024),
    "local, port of the host": IP(src="10.2.0.4", dst="10.9.0.21") / TCP(sport=8080, dport=5000),
    "local, other port": IP(src="10.2.0.4", dst="10.9.0.21") / TCP(sport=80, dport=1025),
    "local, other sender": IP(src="10.2.0.2", dst="10.9.0.21") / TCP(sport=8080, dport=1025),
    "local server elsewhere": IP(src="10.2.0.4", dst="10.7.0.1") / TCP(sport=8080, dport=1025),
    "local fragment": IP(src="10.2.0.4", dst="10.9.0.21", frag=9, proto=6) / b"abcdefgh",
    "local fragment of others": IP(src="10.2.0.2", dst="10.9.0.21", frag=9, proto=6) / b"abcdefgh",
    "error to a local address": IP(dst="10.9.0.21") / ICMP(type=3, code=1) / b"abcdefgh",
    "local6": IPv6(src="fd02::4", dst="fd09::21") / TCP(sport=8080, dport=7000),
    "local6, port of the host": IPv6(src="fd02::4", dst="fd09::21") / TCP(sport=8080, dport=6000),
    "local6 fragment": IPv6(src="fd02::4", dst="fd09::21")
    / IPv6ExtHdrFragment(offset=9, nh=6)
    / b"abcdefgh",
    "error6 to a local address": IPv6(dst="fd09::21") / ICMPv6DestUnreach() / b"abcdefgh",
    "options": IP(dst="10.9.0.1", options=b"\x01\x01\x01\x00") / TCP(dport=80),
    "request6": IPv6(dst="fd09::1") / TCP(dport=80),
    "request6 to another port": IPv6(dst="fd09::1") / TCP(dport=81),
    "extension6": IPv6(dst="fd09::1") / IPv6ExtHdrDestOpt() / UDP(dport=53),
    "reply6": IPv6(src="fd02::2", dst="fd07::1") / TCP(sport=8080),
    "reply6 to the host": IPv6(src="fd02::2", dst="fd01::1") / TCP(sport=8080),
    "first fragment6": IPv6(dst="fd09::1") / IPv6ExtHdrFragment(m=1) / TCP(dport=81),
    "later fragment6": IPv6(dst="fd09::1") / IPv6ExtHdrFragment(offset=9, nh=6) / b"abcdefgh",
    "atomic fragment6": IPv6(dst="fd09::1") / IPv6ExtHdrFragment() / TCP(dport=81),
    "error6 to the VIP": IPv6(dst="fd09::1") / ICMPv6DestUnreach() / b"abcdefgh",
    "error6 passing": IPv6(dst="fd07::1") / ICMPv6DestUnreach() / b"abcdefgh",
    "error6 to the host": IPv6(dst="fd01::1") / ICMPv6DestUnreach() / b"abcdefgh",
    "ping6 of the VIP": IPv6(dst="fd09::1") / ICMPv6EchoRequest(),
    "marked6": IPv6(dst="fd08::1") / UDP(dport=9),
}
LOCAL = {"10.9.0.1", "10.9.0.2", "10.9.0.21", "10.1.0.1", "fd09::1", "fd09::21", "fd01::1"}


def facts_of(packet: Packet) -> Facts:
    """Reads a frame of FRAMES the slow way, by scapy."""
    v6 = IPv6 in packet
    head = packet[IPv6] if v6 else packet[IP]
    if v6:
        fragment = IPv6ExtHdrFragment in packet
        protocol = 58 if "ICMPv6" in packet.summary() else head.nh
    else:
        fragment, protocol = bool(head.frag or "MF" in head.flags), head.proto
    ports = next((packet[c] for c in (TCP, UDP) if c in packet), None)
    if ports is not None:
        protocol = 6 if TCP in packet else 17
    icmp: Any = next(
        (packet[c] for c in (ICMP, ICMPv6DestUnreach, ICMPv6EchoRequest) if c in packet), 0
    )
    return Facts(
        AF_INET6 if v6 else AF_INET,
        protocol,
        packed(head.src),
        packed(head.dst),
        ports.sport if ports else None,
        ports.dport if ports else None,
        fragment,
        icmp.type if icmp else None,
        head.dst in LOCAL,
    )


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with lab() as made:
        ip(
            made.director,
            *(f"addr add {a}/{128 if ':' in a else 32} dev lo" for a in sorted(LOCAL)
              if a.split(".")[0] != "10" or a.startswith("10.9")
              if not a.startswith("fd01")),
        )  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def rules(net: Lab) -> Iterator[Rules]:
    with entered(net.director):
        made = Rules("test", net.interfaces())
        made.install(SteeringPlan())
        made.update(between(SteeringPlan(), PLAN))
        yield made
        made.remove()


@pytest.fixture(scope="module")
def wire(net: Lab) -> Iterator[tuple[Tap, str]]:
    mac = run(net.director, "ip", "-br", "link", "show", "eth0").split()[2]
    with entered(net.client):
        tap = Tap(net.client, socket.if_nametoindex("eth0"), mark=0)
    yield tap, mac
    tap.sock.close()


@pytest.mark.parametrize("name", FRAMES)
def test_rules_agree_with_predicate(
    net: Lab, rules: Rules, wire: tuple[Tap, str], name: str
) -> None:
    packet = FRAMES[name].copy()
    layer = packet[IPv6] if IPv6 in packet else packet[IP]
    if "src" not in layer.fields:
        layer.src = "fd01::2" if IPv6 in packet else "10.1.0.2"
    expected = taken(PLAN, facts_of(packet))
    with entered(net.director):
        before = rules.counters()
        wire[0].sock.send(bytes(10) + bytes(Ether(dst=wire[1]) / packet))
        after = rules.counters()
    changed = [n.removeprefix("taken_") for n in after if after[n] != before[n]]
    assert changed == ([expected] if expected else [])


def test_frame_for_another_host_is_left_alone(
    net: Lab, rules: Rules, wire: tuple[Tap, str]
) -> None:
    with entered(net.director):
        before = rules.counters()
        frame = Ether(dst="02:00:00:00:00:99") / IP(src="10.1.0.2", dst="10.9.0.1") / TCP(dport=80)
        wire[0].sock.send(bytes(10) + bytes(frame))
        assert rules.counters() == before


@pytest.mark.parametrize("runner", [library_runner, program_runner])
def test_updates_lead_to_what_a_fresh_install_has(net: Lab, runner: object) -> None:
    assert callable(runner)
    with entered(net.director):
        plans = [PLAN, plan([VirtualService(KEYS[0])], []), plan([], []), PLAN]
        changed = Rules("changed", {}, runner())
        changed.install(SteeringPlan())
        for before, step in pairwise((SteeringPlan(), *plans)):
            changed.update(between(before, step))
            fresh = Rules("fresh", {}, runner())
            fresh.install(step)
            assert listing(net, "changed") == listing(net, "fresh")
        changed.remove()
        fresh.remove()


def listing(net: Lab, director: str) -> list[str]:
    """Returns the table's lines in order of text: sets have no order of their own."""
    text = run(net.director, "nft", "list", "table", "netdev", table_name(director))
    words = text.replace(table_name(director), "").replace(",", " ").split()
    return sorted(words)


def test_any_edits_lead_to_the_table_made_from_nothing(net: Lab) -> None:
    chance = random.Random(1)
    with entered(net.director):
        made = Steered(library_runner())
        fresh = Rules("fresh", {})
        for _ in range(250):
            made.edit(*random_edit(chance))
            if made.steer.is_held:
                continue
            made.taking.watch()
            fresh.install(made.plan())
            assert listing(net, "lab") == listing(net, "fresh")
        made.rules.remove()
        fresh.remove()


def test_lost_table_is_made_again(net: Lab) -> None:
    with entered(net.director):
        made = Steered(library_runner())
        fresh = Rules("fresh", {})
        assert made.rules.intact()
        for notices in ("an edit", "a look"):
            run(net.director, "nft", "delete", "table", "netdev", "lbfast-lab")
            assert not made.rules.intact()
            if notices == "an edit":
                made.edit("add_service", service(SERVICES[0]))
            else:
                made.taking.watch()
            fresh.install(made.plan())
            assert listing(net, "lab") == listing(net, "fresh")
        made.rules.remove()
        fresh.remove()
        assert not made.rules.intact()


def test_looking_for_the_table_does_not_take_longer_with_many_services(net: Lab) -> None:
    many = [replace(KEYS[0], port=port) for port in range(1, 10_001)]
    taken_s = []
    with entered(net.director):
        made = Rules("looked", {})
        made.install(SteeringPlan())
        for keys in (KEYS[:1], many):
            made.install(plan([VirtualService(key) for key in keys], []))
            turns = []
            for _ in range(5):
                began = time.thread_time()
                assert made.intact()
                turns.append(time.thread_time() - began)
            taken_s.append(min(turns))
        made.remove()
    assert taken_s[1] < 5 * taken_s[0]  # reading the elements takes 20 times as long


def test_stale_table_is_replaced_and_removed(net: Lab) -> None:
    with entered(net.director):
        Rules("stale", net.interfaces()).install(PLAN)
        new = Rules("stale", net.interfaces("eth0"))
        new.install(SteeringPlan())
        text = run(net.director, "nft", "list", "table", "netdev", "lbfast-stale")
        assert "10.9.0.1" not in text
        assert '"eth1"' not in text
        new.remove()
        assert "stale" not in run(net.director, "nft", "list", "tables")


def test_interface_comes_and_goes(net: Lab) -> None:
    with entered(net.director):
        made = Rules("moving", {})
        made.install(PLAN)
        ip(net.director, "link add extra0 type veth peer name extra1")
        index = socket.if_nametoindex("extra0")
        made.add_interface(index, "extra0")
        made.add_interface(index, "extra0")
        assert '"extra0"' in run(net.director, "nft", "list", "table", "netdev", "lbfast-moving")
        ip(net.director, "link del extra0")
        made.remove_interface(index)
        assert '"extra0"' not in run(
            net.director, "nft", "list", "table", "netdev", "lbfast-moving"
        )
        made.remove()


def test_refusal_is_one_sentence(net: Lab) -> None:
    with entered(net.director), pytest.raises(NftError, match=r"^nftables: [^\n]+$"):
        Rules("none", {}).add_interface(1, "lo")


def test_name_of_a_director_becomes_a_table_name() -> None:
    assert table_name("ns-12 x;y") == "lbfast-ns-12_x_y"
