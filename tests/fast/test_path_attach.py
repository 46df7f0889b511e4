"""A killed director's region taken over by the next one, whole or damaged."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw

from lbfast.control import arena
from lbfast.control.tables import Engine, Tables, open_engine
from lbfast.replay.scenario import START_NS
from tests.fast.arenalab import put
from tests.fast.path import CLIENT, VIP, Lab, head

SIZES: dict[str, Any] = {"conns": 64, "dests": 16, "services": 8}
HEADER = 4096


def lived(number: int) -> Lab:
    """A director with services, connections and settings of many kinds on that file."""
    world = put(Lab(), Engine(**SIZES, fd=number, seed=3, boot_id=b"boot", now_ns=START_NS))
    for line in (
        f"-A -t {VIP}:80 -s wrr", f"-a -t {VIP}:80 -r 10.2.0.1:8080 -m -w 2",
        f"-a -t {VIP}:80 -r 10.2.0.2:80 -m -x 9 -y 4", f"-A -u {VIP}:53 -s sh -b sh-port -p 99",
        f"-a -u {VIP}:53 -r 10.2.0.3:53 -g", "-A -t [fd00:9::1]:80 -s mh -p 60 -M 64",
        "-a -t [fd00:9::1]:80 -r [fd00:2::4]:80 -i --tun-type gue --tun-port 6080",
        f"-A -u {VIP}:5060 -s rr -p 30 --pe sip", f"-a -u {VIP}:5060 -r 10.2.0.5:5060 -m",
        f"-A -t {VIP}:21 -s lblc", f"-a -t {VIP}:21 -r 10.2.0.6:21 -m",
        "--set 800 70 200",
    ):  # fmt: skip
        world.words(line)
    world.tables.set_sysctl("conn_reuse_mode", "3")
    for port in range(4000, 4006):
        world.ask(port)
        world.ask(port, "A")
    world.answer("10.2.0.1:8080", f"{CLIENT}:4000")
    world.ask(4010, dst=f"{VIP}:53", proto="udp")
    world.ask(4011, dst=f"{VIP}:21")
    world.send(head(True) / TCP(sport=4012, dport=80, flags="S"))
    world.send(head(False) / UDP(sport=5060, dport=5060) / Raw(b"A\nCall-ID: x\n\n"))
    world.words(f"-d -t {VIP}:21 -r 10.2.0.6:21")
    world.wait(4.0)
    return world


def seen(world: Lab) -> tuple[Any, ...]:
    """What control shows: all of it has to be there after a kill."""
    return (
        world.tables.services(), sorted(map(str, world.tables.connections())),
        world.tables.timeouts(), world.engine.total(), world.engine.lingering(),
        {name: world.engine.setting(name) for name in ("conn_reuse_mode", "pmtu_disc")},
    )  # fmt: skip


def taken_over(world: Lab, number: int) -> Lab:
    """The same file under a second engine, at the same time."""
    engine = Engine(**SIZES, fd=number, boot_id=b"boot", now_ns=world.now_ns)
    new = put(Lab(), engine)
    new.director.now_ns = world.now_ns
    new.frames()
    return new


def test_everything_is_there_after_a_kill(fd: int) -> None:
    world = lived(fd)
    before = seen(world)
    assert len(before[1]) == 13
    world.engine = world.director.engine = world.tables = world.director.tables = None  # type: ignore[assignment]
    new = taken_over(world, fd)
    assert seen(new) == before
    # the server that was deleted and has a connection still is not counted
    assert new.engine.found == {"services": 5, "dests": 5, "conns": 13, "broken": 0}


def test_connections_and_templates_go_on_after_a_kill(fd: int) -> None:
    world = lived(fd)
    went = {port: world.ask(port, "A") for port in range(4000, 4006)}
    new = taken_over(world, fd)
    assert {port: new.ask(port, "A") for port in range(4000, 4006)} == went
    assert new.answer(went[4000], f"{CLIENT}:4000", "A") == f"{VIP}:80"
    sticky = {new.ask(port, dst=f"{VIP}:53", proto="udp") for port in range(4100, 4105)}
    assert sticky == {"10.2.0.3:53"}
    assert new.ask(4011, "A", dst=f"{VIP}:21") == "drop"  # of a deleted server
    new.words(f"-a -t {VIP}:21 -r 10.2.0.6:21 -m")
    assert new.ask(4011, "A", dst=f"{VIP}:21") == "10.2.0.6:21"


def test_timers_go_on_after_a_kill(fd: int) -> None:
    world = lived(fd)
    new = taken_over(world, fd)
    new.wait(57)
    assert [r for r in new.connections() if r[1] == f"{CLIENT}:4011"] == []
    assert new.state(4000)[0] == "ESTABLISHED"
    new.wait(900)
    assert new.connections() == []
    assert set(new.loads().values()) == {(0, 0, 0)}


def test_what_expired_while_nobody_ran_is_gone_at_once(fd: int) -> None:
    world = lived(fd)
    world.director.now_ns += 3600 * 10**9
    new = taken_over(world, fd)
    new.wait(1)
    assert new.connections() == []
    assert new.ask(4000) in {"10.2.0.1:8080", "10.2.0.2:80"}


def test_order_of_servers_and_numbers_of_new_ones_go_on(fd: int) -> None:
    world = lived(fd)
    new = taken_over(world, fd)
    new.words(f"-a -t {VIP}:80 -r 10.2.0.9:80 -m")
    assert list(new.loads()) == ["10.2.0.9:80", "10.2.0.2:80", "10.2.0.1:8080"]


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_workers_may_differ(fd: int, workers: int) -> None:
    world = lived(fd)
    before = sorted(map(str, world.tables.connections()))
    engine = Engine(**SIZES, workers=workers, fd=fd, boot_id=b"boot", now_ns=world.now_ns)
    assert engine.found["conns"] == 13
    engine.process([], world.now_ns)
    assert sorted(map(str, Tables(engine).connections())) == before


@pytest.mark.parametrize("at", [0, 8, 12, 16, 20, 24, 28, 32])
def test_region_of_another_layout_or_size_is_refused(fd: int, at: int) -> None:
    lived(fd)
    byte = os.pread(fd, 1, at)[0]
    os.pwrite(fd, bytes((byte ^ 1,)), at)
    with pytest.raises(ValueError, match="layout"):
        Engine(**SIZES, fd=fd)
    with pytest.raises(ValueError, match="another size"):
        Engine(conns=128, dests=16, services=8, fd=fd)


def test_region_of_another_layout_or_boot_is_emptied_by_control(fd: int) -> None:
    lived(fd)
    sizes = (64, 16, 8)
    same = open_engine(fd, sizes, workers=1, boot_id=b"boot", now_ns=START_NS)
    assert same.found["services"] == 5
    other = open_engine(fd, sizes, workers=1, boot_id=b"later", now_ns=START_NS)
    assert (other.found, other.services()) == ({}, [])
    assert arena.sizes_in(fd) == (arena.LAYOUT_VERSION, *sizes)
    os.pwrite(fd, b"\x63", 8)
    assert open_engine(fd, sizes, workers=1, boot_id=b"later", now_ns=START_NS).found == {}


# ---- damage


def exercise(world: Lab) -> None:
    """Touch everything that damage may have reached; only a crash can fail."""
    list(world.tables.connections())
    world.tables.services()
    world.engine.lingering()
    for packet, side in traffic():
        world.send(packet, side)
    world.engine.estimate()
    world.engine.defend(0)
    for line in ("-Ln", "-Lnc", "-Ln --stats", f"-a -t {VIP}:80 -r 10.2.0.11:80 -m"):
        world.director.play(["cmd", line, None])
    for service in world.tables.services():
        for one in service.servers[:1]:
            world.tables.delete_server(service.service.key, one.server.key)
    for seconds in (61, 1000):
        world.director.now_ns += seconds * 10**9
        world.frames()
        world.engine.trash(world.now_ns)
    world.engine.zero()
    world.words("-C")


def traffic() -> list[tuple[Packet, str]]:
    return [
        *((head(False) / TCP(sport=port, dport=80, flags=flags), "client")
          for port in range(4000, 4008) for flags in ("A", "S", "FA")),
        (IP(src="10.2.0.1", dst=CLIENT) / TCP(sport=8080, dport=4000, flags="A"), "real"),
        (head(False) / UDP(sport=4010, dport=53), "client"),
        (head(False) / TCP(sport=4011, dport=21, flags="A") / Raw(b"PASV\r\n"), "client"),
        (head(True) / TCP(sport=4012, dport=80, flags="A"), "client"),
        (head(False) / UDP(sport=5060, dport=5060) / Raw(b"A\nCall-ID: x\n\n"), "client"),
    ]  # fmt: skip


REGION: list[bytes] = []


def region() -> bytes:
    if not REGION:
        number = os.memfd_create("arena")
        lived(number)
        REGION.append(os.pread(number, os.fstat(number).st_size, 0))
        os.close(number)
    return REGION[0]


def attach_damaged(raw: bytes) -> None:
    number = os.memfd_create("arena")
    try:
        os.pwrite(number, raw, 0)
        engine = Engine(**SIZES, fd=number, boot_id=b"boot", now_ns=START_NS + 5 * 10**9)
        world = put(Lab(), engine)
        world.director.now_ns = START_NS + 5 * 10**9
        exercise(world)
    finally:
        os.close(number)


def used(raw: bytes) -> list[int]:
    """Offsets behind the header of bytes in records that were written to."""
    return [at for at in range(HEADER, len(raw)) if any(raw[at & ~63 : (at & ~63) + 64])]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), flips=st.integers(1, 200))
def test_damaged_records_never_crash(seed: int, flips: int) -> None:
    raw = bytearray(region())
    rng = random.Random(seed)
    places = used(bytes(raw))
    for at in rng.choices(places, k=flips):
        raw[at] ^= 1 << rng.randrange(8)
    attach_damaged(bytes(raw))


@pytest.mark.parametrize("seed", range(6))
def test_records_of_noise_never_crash(seed: int) -> None:
    raw = bytearray(region())
    raw[HEADER:] = random.Random(seed).randbytes(len(raw) - HEADER)
    attach_damaged(bytes(raw))


def test_noise_in_the_numbers_of_the_header_never_crashes() -> None:
    for seed in range(20):
        raw = bytearray(region())
        raw[36:600] = random.Random(seed).randbytes(564)
        attach_damaged(bytes(raw))
