"""The program that spreads frames over the workers names the owner that the data path computes."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import platform
import random
import socket
import struct
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Packet

from lbfast import bpf
from lbfast.control.fanout import FULLNAT, NAT, Fanout, replying
from lbfast.control.steering import FamilyPlan, SteeringPlan
from tests.fast.hashes import conn_hash, local_hash

SEED, MASK, WORKERS = 0xF00D_FEED_8BAD_CAFE, (1 << 16) - 1, 5
PROG_TEST_RUN = 10
CLIENTS = ("10.1.0.7", "fd00:1::7")
VIPS = ("10.9.0.1", "fd00:9::1")
SERVERS = ("10.2.0.1", "fd00:2::1")
FULL = ("10.2.0.9", "fd00:2::9")
LOCAL = ("10.3.0.3", "fd00:3::3")


@pytest.fixture(scope="module")
def fanout() -> Iterator[Fanout]:
    made = Fanout((SEED, MASK, WORKERS))
    if made.program < 0:
        pytest.skip("no BPF here")
    made.set_servers({packed(a): NAT for a in SERVERS} | {packed(a): FULLNAT for a in FULL})
    yield made
    made.close()


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed.ljust(16, b"\0")


def named(fanout: Fanout, packet: Packet) -> int:
    """Return the worker that the program names for a packet."""
    kind = b"\x08\x00" if packet.version == 4 else b"\x86\xdd"
    data = bytes(12) + kind + bytes(packet)
    code = ctypes.create_string_buffer(data, len(data))
    attr = struct.pack(
        "=IIIIQQII", fanout.program, 0, len(data), 0, ctypes.addressof(code), 0, 1, 0
    )
    attr += bytes(64)
    buf = ctypes.create_string_buffer(attr, len(attr))
    libc = ctypes.CDLL(None, use_errno=True)
    number = bpf._SYSCALL.get(platform.machine(), 280)
    assert libc.syscall(number, PROG_TEST_RUN, buf, len(attr)) == 0, os.strerror(
        ctypes.get_errno()
    )
    return int(struct.unpack_from("=I", buf.raw, 4)[0])


def head(v6: bool, src: str, dst: str) -> Packet:
    return IPv6(src=src, dst=dst) if v6 else IP(src=src, dst=dst)


def owner(addr: str, port: int, protocol: int) -> int:
    return (conn_hash(SEED, ipaddress.ip_address(addr).packed, port, protocol) & MASK) % WORKERS


@pytest.mark.parametrize("layer", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_both_directions_of_a_connection_come_to_its_owner(
    fanout: Fanout, v6: bool, layer: type[Packet]
) -> None:
    chosen = random.Random(1)
    protocol = socket.IPPROTO_TCP if layer is TCP else socket.IPPROTO_UDP
    met = set()
    for _ in range(100):
        port = chosen.randrange(1024, 65536)
        request = head(v6, CLIENTS[v6], VIPS[v6]) / layer(sport=port, dport=80)
        reply = head(v6, SERVERS[v6], CLIENTS[v6]) / layer(sport=8080, dport=port)
        expected = owner(CLIENTS[v6], port, protocol)
        assert (named(fanout, request), named(fanout, reply)) == (expected, expected)
        met.add(expected)
    assert met == set(range(WORKERS))


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_reply_of_a_fullnat_server_goes_by_its_ends(fanout: Fanout, v6: bool) -> None:
    ends = [ipaddress.ip_address(a[v6]).packed for a in (LOCAL, FULL)]
    for port in range(5000, 5050):
        reply = head(v6, FULL[v6], LOCAL[v6]) / TCP(sport=80, dport=port)
        hashed = local_hash(SEED, 6, (ends[0], port, ends[1], 80))
        assert named(fanout, reply) == (hashed & MASK) % WORKERS


def test_options_of_the_header_are_passed_over(fanout: Fanout) -> None:
    packet = IP(src=CLIENTS[0], dst=VIPS[0], options=[b"\x01"] * 8) / UDP(sport=4001, dport=53)
    assert named(fanout, packet) == owner(CLIENTS[0], 4001, 17)


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=CLIENTS[0], dst=VIPS[0], flags="MF") / UDP(sport=4001, dport=53),
        IP(src=CLIENTS[0], dst=VIPS[0], frag=5) / b"12345678",
        IP(src=CLIENTS[0], dst=VIPS[0]) / ICMP(),
        IPv6(src=CLIENTS[1], dst=VIPS[1]) / IPv6ExtHdrDestOpt() / UDP(sport=4001, dport=53),
        IP(src=CLIENTS[0], dst=VIPS[0], proto=6) / b"12",
    ],
    ids=["first fragment", "later fragment", "icmp", "extension header", "no ports"],
)
def test_what_has_no_ports_to_read_goes_to_the_first_worker(
    fanout: Fanout, packet: Packet
) -> None:
    assert named(fanout, packet) == 0


def test_servers_of_a_plan_are_told_apart_and_nat_comes_first() -> None:
    plan = SteeringPlan(
        FamilyPlan(source_addrs=frozenset((b"\1\1\1\1",)), full_addrs=frozenset((b"\2\2\2\2",))),
        FamilyPlan(source_addrs=frozenset((b"6" * 16,)), full_addrs=frozenset((b"6" * 16,))),
    )
    assert replying(plan) == {
        b"\1\1\1\1".ljust(16, b"\0"): NAT, b"\2\2\2\2".ljust(16, b"\0"): FULLNAT, b"6" * 16: NAT,
    }  # fmt: skip


def test_without_bpf_the_flow_hash_spreads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> int:
        raise PermissionError(1, "making an eBPF map: Operation not permitted")

    monkeypatch.setattr(bpf, "create_hash", refused)
    fanout = Fanout((SEED, MASK, 2))
    assert fanout.program == -1
    assert fanout.option >> 16 & 0xFF == 0
    fanout.set_servers({packed(SERVERS[0]): NAT})
    fanout.close()


def test_deleted_server_is_a_client_again(fanout: Fanout) -> None:
    own = Fanout((SEED, MASK, WORKERS))
    own.set_servers({packed(SERVERS[0]): NAT})
    own.set_servers({})
    for port in range(5000, 5020):
        packet = IP(src=SERVERS[0], dst=CLIENTS[0]) / UDP(sport=80, dport=port)
        assert named(own, packet) == owner(SERVERS[0], 80, 17)
    own.close()
