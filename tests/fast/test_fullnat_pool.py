"""Local addresses and ports: whose turn it is, which are free, which are never used."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP

from lbfast.control.tables import Engine, Tables
from lbfast.errors import ControlError, KernelError
from lbfast.model import AF_INET, AF_INET6, Method, RealServer, ServerKey, ServiceKey
from tests.fast.fulllab import LIP, LIP6, RIP, RIP6, Flow, answer, ask, ends, lab, words
from tests.fast.path import CLIENT, VIP, VIP6, Lab, head

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
KEY = ServiceKey(AF_INET, 17, socket.inet_aton(VIP), 80)
KEY6 = ServiceKey(AF_INET6, 17, socket.inet_pton(AF_INET6, VIP6), 80)
SIZES: dict[str, Any] = {"conns": 256, "dests": 16, "services": 8}


@pytest.mark.covers("C-149")
@FAMILIES
def test_local_addresses_take_turns(v6: bool) -> None:
    world = lab("u", lips=3)
    prefix = "fd00:2::ff2" if v6 else "10.2.255.2"
    seen = [ask(world, port, v6).src for port in range(4000, 4009)]
    assert seen == [f"{prefix}{n}" for n in (1, 2, 3)] * 3


@pytest.mark.covers("C-149")
@pytest.mark.parametrize(("scheduler", "met"), [("rr", 4), ("wrr", 4), ("lc", 2)])
def test_servers_in_rotation_meet_every_local_address(scheduler: str, met: int) -> None:
    world = Lab(
        f"-A -u {VIP}:80 -s {scheduler}",
        *(f"--add-laddr -u {VIP}:80 -z 10.2.255.2{n}" for n in (1, 2)),
        *(f"-a -u {VIP}:80 -r 10.2.0.{n}:80 --fullnat" for n in (7, 8)),
    )
    pairs = {(p.src, p.dst) for p in (ask(world, port) for port in range(4000, 4060))}
    assert len(pairs) == met


@pytest.mark.covers("C-149", "C-151")
@pytest.mark.parametrize(("addresses", "sent_at_once"), [(16, 1), (17, 0)])
def test_sixteen_local_addresses_are_tried(addresses: int, sent_at_once: int) -> None:
    world = Lab(f"-A -u {VIP}:80 -s lc", f"-a -u {VIP}:80 -r {RIP}:80 --fullnat")
    world.engine.reserve_ports(1026, 65535)  # one port each
    for n in range(addresses):
        world.words(f"--add-laddr -u {VIP}:80 -z 10.2.255.{n}")
    assert len({ask(world, 4000 + n).src for n in range(addresses)}) == addresses
    # it is the first one's turn, and only the last of the list has a free port
    world.words(f"--del-laddr -u {VIP}:80 -z 10.2.255.0")
    world.words(f"--add-laddr -u {VIP}:80 -z 10.2.254.1")
    packet = head(False) / UDP(sport=5000, dport=80)
    assert len(world.send(packet)) == sent_at_once
    world.wait(0.02)
    assert world.one(packet).packet.src == "10.2.254.1"


@pytest.mark.covers("C-150")
@FAMILIES
def test_no_two_connections_to_a_server_have_the_same_local_end(v6: bool) -> None:
    world = lab("u")
    world.engine.reserve_ports(1030, 65535)  # five ports are left
    seen = [ends(ask(world, 4000 + n, v6)) for n in range(5)]
    assert {e[1] for e in seen} == set(range(1025, 1030))
    assert world.send(head(v6) / UDP(sport=4005, dport=80)) == []
    # towards another server, and by another service, the same ports are free
    vip, rip = (f"[{VIP6}]", "[fd00:2::8]:8080") if v6 else (VIP, "10.2.0.8:8080")
    world.words(f"-a -u {vip}:80 -r {rip} --fullnat")
    assert [ends(ask(world, 4010 + n, v6))[2] for n in range(5)] == [
        rip[1:10] if v6 else rip[:8]
    ] * 5
    world.words(f"-A -t {vip}:80")
    lip = LIP6 if v6 else LIP
    world.words(f"--add-laddr -t {vip}:80 -z {lip}")
    world.words(f"-a -t {vip}:80 -r {f'[{RIP6}]' if v6 else RIP}:8080 --fullnat")
    assert 1025 <= ends(ask(world, 4000, v6, TCP))[1] < 1030


@pytest.mark.covers("C-151")
@FAMILIES
def test_without_a_port_the_packet_is_dropped_and_nothing_made(v6: bool) -> None:
    world = lab("u")
    world.engine.reserve_ports(1026, 65535)
    ask(world, 4000, v6)
    for _ in range(3):
        assert world.send(head(v6) / UDP(sport=4001, dport=80)) == []
    assert world.engine.reasons() == {"no-local-address": 3}
    assert len(world.connections()) == 1
    world.wait(301)  # the connection expires: its port is free
    assert ends(ask(world, 4001, v6))[1] == 1025


@pytest.mark.covers("C-151")
@pytest.mark.parametrize("how", ["", "-p 60"])
def test_without_a_local_address_the_packet_is_dropped_and_nothing_made(how: str) -> None:
    world = Lab(f"-A -u {VIP}:80 -s rr {how}", f"-a -u {VIP}:80 -r {RIP}:80 --fullnat")
    assert world.send(head(False) / UDP(sport=4000, dport=80)) == []
    assert world.engine.reasons() == {"no-local-address": 1}
    assert world.connections() == []
    assert set(world.loads(f"udp {VIP}:80").values()) == {(0, 0, 0)}
    world.words(f"--add-laddr -u {VIP}:80 -z {LIP}")
    assert ask(world, 4000).src == LIP


def test_ports_of_the_host_and_of_services_are_never_used() -> None:
    world = lab("u")
    world.engine.reserve_ports(1030, 65500)
    world.words(f"-A -u {LIP}:1027")
    world.words(f"-A -u {LIP}:65510")
    used = {ends(ask(world, 4000 + n))[1] for n in range(38)}
    free = {*range(1025, 1030), *range(65501, 65536)} - {1027, 65510}
    assert used == free


def test_port_that_was_used_is_not_the_next_one() -> None:
    world = lab()
    first = Flow(world, port=4000)
    first.request("R")
    world.wait(61)
    assert world.connections() == []
    assert Flow(world, port=4000).lport != first.lport


# ---- words and errors


@pytest.mark.parametrize(
    ("key", "addr", "code"),
    [
        (KEY, LIP, errno.EEXIST),
        (KEY, LIP6, errno.EINVAL),
        (KEY6, LIP, errno.EINVAL),
        (KEY, "0.0.0.0", errno.EINVAL),
        (KEY, "224.0.0.1", errno.EINVAL),
        (KEY, "127.0.0.1", errno.EINVAL),
        (KEY, "255.255.255.255", errno.EINVAL),
        (KEY6, "::", errno.EINVAL),
        (KEY6, "ff02::1", errno.EINVAL),
        (ServiceKey(AF_INET, fwmark=9), LIP, errno.ESRCH),
    ],
)
def test_local_address_that_cannot_be_added(key: ServiceKey, addr: str, code: int) -> None:
    tables = lab("u").tables
    before = tables.services()
    with pytest.raises(KernelError) as refused:
        tables.add_laddr(key, ip_address(addr).packed)
    assert refused.value.errno == code
    assert tables.services() == before


@pytest.mark.parametrize(
    ("key", "addr", "code"),
    [
        (KEY, "10.2.255.99", errno.ENOENT),
        (KEY, LIP6, errno.ENOENT),
        (ServiceKey(AF_INET, fwmark=9), LIP, errno.ESRCH),
    ],
)
def test_local_address_that_cannot_be_deleted(key: ServiceKey, addr: str, code: int) -> None:
    tables = lab("u").tables
    with pytest.raises(KernelError) as refused:
        tables.del_laddr(key, ip_address(addr).packed)
    assert refused.value.errno == code
    assert tables.laddrs(KEY) == [socket.inet_aton(LIP)]


def test_local_addresses_of_an_absent_service_are_no_service() -> None:
    with pytest.raises(KernelError) as refused:
        lab("u").tables.laddrs(ServiceKey(AF_INET, fwmark=9))
    assert refused.value.errno == errno.ESRCH


def test_more_local_addresses_than_records_are_refused() -> None:
    engine = Engine(conns=64, dests=4, services=2, seed=1)
    tables = Tables(engine)
    engine.service_put((AF_INET, 17, KEY.addr, 80, 0), b"rr", 0, 0, 0xFFFFFFFF, b"")
    for n in range(64 + 8):
        tables.add_laddr(KEY, bytes((10, 3, 0, n)))
    with pytest.raises(KernelError) as refused:
        tables.add_laddr(KEY, bytes((10, 3, 1, 0)))
    assert refused.value.errno == errno.ENOSPC
    tables.del_laddr(KEY, bytes((10, 3, 0, 7)))
    tables.add_laddr(KEY, bytes((10, 3, 1, 0)))


def test_range_of_the_host_that_leaves_no_port_is_named() -> None:
    world = lab("u")
    world.engine.reserve_ports(1024, 65535)
    with pytest.raises(ControlError, match=r"net\.ipv4\.ip_local_port_range"):
        world.tables.add_laddr(KEY, ip_address("10.2.255.30").packed)
    assert world.send(head(False) / UDP(sport=4000, dport=80)) == []
    with pytest.raises(ValueError, match="expected a range"):
        world.engine.reserve_ports(5, 70000)


def test_listing_shows_the_local_end() -> None:
    world = lab("u")
    lport = ends(ask(world, 4000))[1]
    line = world.words("-Lnc").splitlines()[2]
    assert line.split()[-2:] == [f"{RIP}:8080", f"{LIP}:{lport}"]
    (row,) = world.tables.connections()
    assert (row.laddr, row.lport) == (socket.inet_aton(LIP), lport)


# ---- coming and going


@FAMILIES
def test_connections_outlive_their_local_address(v6: bool) -> None:
    world = lab("u")
    lport = ends(ask(world, 4000, v6))[1]
    vip, lip = (f"[{VIP6}]", LIP6) if v6 else (VIP, LIP)
    world.words(f"--del-laddr -u {vip}:80 -z {lip}")
    assert world.send(head(v6) / UDP(sport=4001, dport=80)) == []
    assert ends(ask(world, 4000, v6))[:2] == (lip, lport)
    assert not world.one(answer(v6, lport, UDP()), "real").to_host
    packed = ip_address(lip).packed
    assert packed in world.engine.local_addresses()
    world.wait(301)
    world.engine.trash(world.now_ns)
    assert packed not in world.engine.local_addresses()
    assert world.verdict(answer(v6, lport, UDP()), "real") == "ignore"


def test_local_address_without_connections_goes_at_once() -> None:
    world = lab("u")
    world.words(f"--del-laddr -u {VIP}:80 -z {LIP}")
    assert world.engine.local_addresses() == {ip_address(LIP6).packed}
    world.words(f"-D -u [{VIP6}]:80")
    assert world.engine.local_addresses() == set()


def test_local_address_of_two_services_stays_with_the_other() -> None:
    world = Lab(*words("u"), f"-A -t {VIP}:80", f"--add-laddr -t {VIP}:80 -z {LIP}")
    lport = ends(ask(world, 4000))[1]
    world.words(f"-D -t {VIP}:80")
    assert not world.one(answer(False, lport, UDP()), "real").to_host


@pytest.mark.parametrize("old", ["-m", "--fullnat"])
def test_edited_method_is_that_of_new_connections(old: str) -> None:
    new = "--fullnat" if old == "-m" else "-m"
    world = Lab(
        f"-A -u {VIP}:80 -s rr", f"--add-laddr -u {VIP}:80 -z {LIP}",
        f"-a -u {VIP}:80 -r {RIP}:8080 {old}",
    )  # fmt: skip
    first = ends(ask(world, 4000))
    world.words(f"-e -u {VIP}:80 -r {RIP}:8080 {new}")
    second = ends(ask(world, 4001))
    assert ends(ask(world, 4000)) == first
    for source, port in (first[:2], second[:2]):
        if source == LIP:
            back = world.one(answer(False, port, UDP()), "real")
        else:
            back = world.one(IP(src=RIP, dst=source) / UDP(sport=8080, dport=port), "real")
        assert (back.to_host, back.packet.src, back.packet.dst) == (False, VIP, CLIENT)
    assert {first[0], second[0]} == {LIP, CLIENT}


def test_mixed_families_are_refused() -> None:
    world = lab("u")
    said = world.words(f"-a -u {VIP}:80 -r [{RIP6}]:80 --fullnat", 2)
    assert "only for tunneling" in said
    server = RealServer(ServerKey(AF_INET6, ip_address(RIP6).packed, 80), Method.FULLNAT)
    with pytest.raises(KernelError) as refused:
        world.tables.add_server(KEY, server)
    assert refused.value.errno == errno.EINVAL
