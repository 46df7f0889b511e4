"""Frames to an address that another director serves are the host's."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Raw

from lbfast.control.steering import Facts, plan, taken, with_standby
from lbfast.model import AF_INET, AF_INET6, ServiceKey, VirtualService
from lbfast.replay.network import packed
from tests.fast.path import CLIENT, VIP, VIP6, Lab, head

SYN = TCP(sport=4000, dport=80, flags="S")


def lab() -> Lab:
    return Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -m",
        f"-A -t [{VIP6}]:80 -s rr", f"-a -t [{VIP6}]:80 -r [fd00:2::7]:80 -m",
    )  # fmt: skip


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_standby_address_is_left_to_the_host_until_it_is_taken_back(v6: bool) -> None:
    world = lab()
    addr = packed(VIP6 if v6 else VIP)
    assert world.verdict(head(v6) / SYN) == "sent"
    world.engine.standby_set(addr, True)
    world.engine.standby_set(addr, True)  # again changes nothing
    assert world.verdict(head(v6) / SYN) == "ignore"
    assert world.verdict(head(not v6) / SYN) == "sent"
    world.engine.standby_set(addr, False)
    assert world.verdict(head(v6) / SYN) == "sent"


def test_fragments_and_errors_to_a_standby_address_are_the_hosts_too() -> None:
    world = lab()
    world.engine.standby_set(packed(VIP), True)
    piece = IP(src=CLIENT, dst=VIP, flags="MF", proto=6) / Raw(bytes(64))
    error = IP(src=CLIENT, dst=VIP) / ICMP(type=3, code=1) / IP(src=VIP, dst=CLIENT) / SYN
    assert world.verdict(piece) == "ignore"
    assert world.verdict(error) == "ignore"


def test_replies_of_servers_are_taken_though_the_address_is_on_standby() -> None:
    world = lab()
    world.verdict(head(False) / SYN)
    world.engine.standby_set(packed(VIP), True)
    reply = IP(src="10.2.0.7", dst=CLIENT) / TCP(sport=80, dport=4000, flags="SA")
    assert world.verdict(reply) == "sent"


def test_plan_takes_nothing_that_is_sent_to_a_standby_address() -> None:
    addr = socket.inet_pton(AF_INET, VIP)
    whole = plan([VirtualService(ServiceKey(AF_INET, 6, addr, 80))], [])
    facts = Facts(AF_INET, 6, packed(CLIENT), addr, 4000, 80)
    assert taken(whole, facts) == "service"
    assert taken(with_standby(whole, [addr, bytes(16)]), facts) == ""
    assert taken(with_standby(whole, []), replace(facts, dport=80)) == "service"
    assert with_standby(whole, [addr, bytes(16)]).of(AF_INET6).standby == {bytes(16)}
