"""FULLNAT with several workers and after a kill: whose a connection is, which ports are in use."""

from __future__ import annotations

import os
import random
from collections import Counter
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

from lbfast.control.tables import Engine
from lbfast.replay.scenario import START_NS
from tests.fast.arenalab import put
from tests.fast.fulllab import LIP, Flow, answer, ask, ends, words
from tests.fast.hashes import conn_hash, local_hash
from tests.fast.path import CLIENT, VIP, Lab

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SIZES: dict[str, Any] = {"conns": 256, "dests": 16, "services": 8}


@FAMILIES
@pytest.mark.parametrize("workers", [2, 3, 7])
def test_replies_reach_the_worker_of_the_connection(v6: bool, workers: int) -> None:
    seed = 99
    world = put(Lab(), Engine(**SIZES, workers=workers, seed=seed, now_ns=START_NS))
    for line in words("u"):
        world.words(line)
    owners = Counter[int]()
    for port in range(4000, 4100):
        packet = ask(world, port, v6)
        src, lport, dst, dport = ends(packet)
        flow = (ip_address(src).packed, lport, ip_address(dst).packed, dport)
        client = ip_address("fd00:1::1" if v6 else CLIENT).packed
        mask = world.engine.table_size - 1
        owner = (conn_hash(seed, client, port, 17) & mask) % workers
        assert (local_hash(seed, 17, flow) & mask) % workers == owner
        owners[owner] += 1
    assert len(owners) == workers


# ---- killed and started again


def lived(number: int) -> Lab:
    """A director with FULLNAT services on that file, and few ports for them."""
    world = put(Lab(), Engine(**SIZES, fd=number, seed=3, boot_id=b"boot", now_ns=START_NS))
    world.engine.reserve_ports(1055, 65535)
    for line in (*words("t", lips=2), f"-A -u {VIP}:80", f"--add-laddr -u {VIP}:80 -z {LIP}"):
        world.words(line)
    return world


def again(world: Lab, number: int, workers: int = 1) -> Lab:
    engine = Engine(**SIZES, workers=workers, fd=number, boot_id=b"boot", now_ns=world.now_ns)
    engine.reserve_ports(1055, 65535)
    new = put(Lab(), engine)
    new.director.now_ns = world.now_ns
    return new


@pytest.mark.parametrize("workers", [1, 4])
@FAMILIES
def test_ports_in_use_are_known_after_a_kill(fd: int, v6: bool, workers: int) -> None:
    world = lived(fd)
    flows = [Flow(world, v6, port).shaken() for port in range(4000, 4010)]
    before = world.tables.services()
    new = again(world, fd, workers)
    assert new.engine.found == {"services": 3, "dests": 2, "conns": 10, "broken": 0}
    assert new.tables.services() == before
    for flow in flows:
        flow.world = new
        went = flow.request("A", ack=9000)
        assert (went.packet.src, went.packet[TCP].sport) == (flow.lip, flow.lport)
        assert went.packet[TCP].seq == (flow.isn + 1 + flow.delta) % 2**32
        back = flow.reply("A")
        assert (back.to_host, back.packet[TCP].dport) == (False, flow.port)
        assert back.packet[TCP].ack == flow.isn + 1
    more = [Flow(new, v6, port) for port in range(4100, 4102)]
    taken = [(f.lip, f.lport) for f in (*flows, *more)]
    assert len(set(taken)) == len(taken)


def test_deleted_local_address_with_connections_is_known_after_a_kill(fd: int) -> None:
    world = lived(fd)
    flow = Flow(world).shaken()
    world.words(f"--del-laddr -t {VIP}:80 -z {flow.lip}")
    new = again(world, fd)
    assert ip_address(flow.lip).packed in new.engine.local_addresses()
    assert new.words("-Sn").count("--add-laddr") == 4
    flow.world = new
    assert not flow.reply("A").to_host


@pytest.mark.parametrize("workers", [(1, 4), (4, 1), (2, 3)])
def test_connections_of_another_number_of_workers_are_found(
    fd: int, workers: tuple[int, int]
) -> None:
    world = lived(fd)
    world = again(world, fd, workers[0])
    flows = [Flow(world, port=port).shaken() for port in range(4000, 4008)]
    new = again(world, fd, workers[1])
    for flow in flows:
        flow.world = new
        assert flow.reply("A").packet[TCP].dport == flow.port


# ---- damage


def exercise(world: Lab, flows: list[Flow]) -> None:
    """Touch everything that damage may have reached; only a crash can fail."""
    list(world.tables.connections())
    world.tables.services()
    world.engine.lingering()
    world.engine.local_addresses()
    for flow in flows:
        syn = TCP(sport=flow.port, dport=80, flags="S")
        world.send(IP(src=CLIENT, dst=VIP) / syn)
        world.send(IP(src=CLIENT, dst=VIP) / TCP(sport=flow.port + 100, dport=80, flags="S"))
        world.send(answer(False, flow.lport, TCP(flags="A", seq=1, ack=1), flow.lip), "real")
    for line in (f"--del-laddr -t {VIP}:80 -z {LIP}", f"--add-laddr -t {VIP}:80 -z {LIP}", "-Lnc"):
        world.director.play(["cmd", line, None])
    for seconds in (61, 1000):
        world.director.now_ns += seconds * 10**9
        world.frames()
        world.engine.trash(world.now_ns)
    world.words("-C")
    world.director.now_ns += 10**12
    world.frames()
    world.engine.trash(world.now_ns)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_records_never_crash(fd: int, seed: int) -> None:
    world = lived(fd)
    flows = [Flow(world, port=port).shaken() for port in range(4000, 4008)]
    world.words(f"--del-laddr -t {VIP}:80 -z {flows[0].lip}")
    raw = bytearray(os.pread(fd, os.fstat(fd).st_size, 0))
    rng = random.Random(seed)
    places = [at for at in range(4096, len(raw)) if any(raw[at & ~63 : (at & ~63) + 64])]
    for at in rng.choices(places, k=1 << rng.randrange(9)):
        raw[at] ^= 1 << rng.randrange(8)
    os.pwrite(fd, raw, 0)
    exercise(again(world, fd), flows)


def test_two_connections_with_the_same_local_end_are_not_both_taken_over(fd: int) -> None:
    world = lived(fd)
    first, second = (Flow(world, port=port).shaken() for port in (4000, 4002))
    raw = bytearray(os.pread(fd, os.fstat(fd).st_size, 0))
    ours, theirs = (
        ip_address(f.lip).packed + bytes(12) + f.lport.to_bytes(2, "big") for f in (first, second)
    )
    at = raw.index(theirs)
    raw[at : at + 18] = ours
    raw[at + 20 : at + 24] = raw[raw.index(ours) + 20 : raw.index(ours) + 24]
    os.pwrite(fd, raw, 0)
    new = again(world, fd)
    assert new.engine.found == {"services": 3, "dests": 2, "conns": 1, "broken": 1}
