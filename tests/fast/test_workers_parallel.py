"""Workers in threads of their own at the same time: no update is lost, nothing counted twice.

Frames come to whichever worker, as the kernel's flow hash would deliver them, so most are handed
over.  A frame may be dropped when the queue to its owner is full: then it is counted, and the sums
are exact with it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest

from bench.bench_instructions import packet, segment
from lbfast._fastpath import drive
from lbfast.control.tables import Engine
from lbfast.replay import network
from lbfast.replay.network import D0, D0_MAC, D1, D1_MAC, packed
from tests.fast.hashes import conn_hash

START_NS, MS = 1_000_000_000_000, 1_000_000
S = 1000 * MS
AF, TCP, UDP = int(socket.AF_INET), 6, 17
VIP, PORT = packed("10.9.0.1"), 80
MASQ, TUNNEL = 0, 2
PERSISTENT, ONE_PACKET = 1, 4
SYN, ACK, FIN = 0x02, 0x10, 0x01
WORKERS = pytest.mark.parametrize("workers", [2, 4])
ACTIVE = 8  # of a server's row: active, inactive, persistent, counters and rates
Frames = list[tuple[int, bytes, bytes]]


def director(
    workers: int, protocol: int = UDP, scheduler: bytes = b"rr", flags: int = 0,
    servers: int = 4, threshold: int = 0, conns: int = 1 << 16, method: int = MASQ, fd: int = -1,
) -> Engine:  # fmt: skip
    made = Engine(seed=1, now_ns=START_NS, workers=workers, conns=conns, fd=fd)
    network.build(made, network.MTU)
    made.service_put((AF, protocol, VIP, PORT, 0), scheduler, flags, 300, 0xFFFFFFFF, b"")
    for number in range(1, servers + 1):
        made.neigh_set(D1, server(number), network.server_mac(number))
        row = (AF, server(number), PORT)
        made.server_put((AF, protocol, VIP, PORT, 0), row, method, 1, threshold, 0, 0, 0, 0)
    return made


def server(number: int) -> bytes:
    return packed("10.2.0.0")[:-1] + bytes([number])


def client(number: int) -> bytes:
    return packed("10.1.0.0")[:-2] + (256 + number).to_bytes(2, "big")


def from_client(raw: bytes) -> tuple[int, bytes, bytes]:
    return D0, b"", D0_MAC + network.ROUTER_MAC + b"\x08\x00" + raw


def from_server(raw: bytes) -> tuple[int, bytes, bytes]:
    return D1, b"", D1_MAC + network.server_mac(1) + b"\x08\x00" + raw


class Group:
    """Workers of one engine that begin at the same moment, each in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._met = engine, 0

    def run(self, parts: Sequence[Frames], rounds: int, now_ns: int, step_ns: int = 0) -> None:
        """Let each run its part, then settle what they handed over."""
        self._met += len(parts)

        def work(index: int) -> None:
            drive(self._engine, index, parts[index], rounds, now_ns, step_ns, self._met)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(parts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(2):
            for index in range(len(parts)):
                drive(self._engine, index, [], 1000, now_ns)


def dealt(frames: Frames, workers: int) -> list[Frames]:
    """Deal frames out to the workers, whoever owns their connections."""
    return [frames[n::workers] for n in range(workers)]


def owned(engine: Engine, frames: Frames, workers: int) -> list[Frames]:
    """Deal frames of clients out to the owners of their connections."""
    parts: list[Frames] = [[] for _ in range(workers)]
    seed, mask, _ = engine.spread()
    for row in frames:
        raw = row[2][14:]
        hashed = conn_hash(seed, raw[12:16], int.from_bytes(raw[20:22], "big"), raw[9])
        parts[(hashed & mask) % workers].append(row)
    return parts


def lost(engine: Engine) -> int:
    """Return how many packets found a queue between workers full; nothing else was dropped."""
    reasons = engine.reasons()
    assert set(reasons) <= {"handover-full"}
    return reasons.get("handover-full", 0)


def shown(engine: Engine, protocol: int = UDP) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return a service's counters, and (active, inactive, persistent, counters) of its servers."""
    engine.estimate()
    row = engine.service((AF, protocol, VIP, PORT, 0))
    assert row[6][:5] == engine.total()[:5]
    return row[6][:5], [(*r[ACTIVE : ACTIVE + 3], *r[ACTIVE + 3][:5]) for r in row[7]]


@WORKERS
def test_both_directions_are_counted_exactly(workers: int) -> None:
    engine, flows, rounds = director(workers), 4000, 60
    group = Group(engine)
    ask = [from_client(packet(client(f), VIP, 1024 + f, PORT)) for f in range(flows)]
    group.run(owned(engine, ask, workers), 1, START_NS)
    servers_of = {(r[2], r[3]): r[6] for r in engine.connections()[0]}
    answer = [
        from_server(packet(servers_of[client(f), 1024 + f], client(f), PORT, 1024 + f))
        for f in range(flows)
    ]
    in_and_out = dealt(ask, workers // 2) + dealt(answer, workers // 2)
    group.run(in_and_out, rounds, START_NS + S)
    total, servers = shown(engine)
    assert total[0] == flows == len(engine.connections()[0])
    assert total[1] + total[2] + lost(engine) == flows * (1 + 2 * rounds)
    assert total[3] == total[1] * 46
    assert total[4] == total[2] * 46
    assert [sum(column) for column in zip(*(s[3:] for s in servers), strict=True)] == list(total)
    assert [s[:4] for s in servers] == [(0, flows // 4, 0, flows // 4)] * 4


@pytest.mark.parametrize("after", [1, 2, 4])
def test_counters_outlive_workers(after: int, fd: int) -> None:
    engine, flows = director(4, fd=fd), 1000
    ask = [from_client(packet(client(f), VIP, 1024 + f, PORT)) for f in range(flows)]
    Group(engine).run(owned(engine, ask, 4), 3, START_NS)
    before = shown(engine)
    assert before[0][:2] == (flows, 3 * flows)
    del engine
    for workers in (after, 4):
        again = Engine(now_ns=START_NS, workers=workers, conns=1 << 16, fd=fd)
        assert shown(again) == before
        rates = [again.total()[5:], again.service((AF, UDP, VIP, PORT, 0))[6][5:]]
        assert max(rate for each in rates for rate in each) < 1 << 32
        del again


@WORKERS
def test_no_two_workers_give_the_same_identification(workers: int) -> None:
    engine = director(workers, method=TUNNEL)
    ask = [from_client(packet(client(f), VIP, 1024 + f, PORT)) for f in range(100)]
    outs = [out for _ in range(4) for out in engine.process(ask, START_NS)]
    assert engine.plain() > 0
    assert len({out[3][14 + 4 : 14 + 6] for out in outs}) == len(outs) == 400


@WORKERS
def test_millions_of_changes_of_state_come_out_even(workers: int) -> None:
    engine, flows, rounds = director(workers, TCP, b"wlc"), 1000, 700
    group = Group(engine)
    walk = [
        from_client(segment(client(f), VIP, 1024 + f, PORT, flags))
        for flags in (SYN, ACK, FIN | ACK)
        for f in range(flows)
    ]
    group.run(owned(engine, walk, workers), rounds, START_NS)
    total, servers = shown(engine, TCP)
    assert lost(engine) == engine.handed() == 0
    assert total[:2] == (flows, 3 * flows * rounds)
    assert [s[:2] for s in servers] == [(0, s[3]) for s in servers]
    assert least_loaded_is_next(engine, [s[1] for s in servers])
    group.run(owned(engine, walk[: flows + flows // 2], workers), 1, START_NS)
    servers = shown(engine, TCP)[1]
    assert sum(s[0] for s in servers) == flows + 1
    assert sum(s[1] for s in servers) == 0


def least_loaded_is_next(engine: Engine, before: list[int]) -> bool:
    """Make one more connection: whether wlc gives it to a server with the fewest."""
    frame = from_client(segment(packed("10.1.0.1"), VIP, 1024, PORT, SYN))
    engine.process([frame], START_NS)
    after = [s[0] + s[1] for s in shown(engine, TCP)[1]]
    chosen = next(n for n in range(len(before)) if after[n] > before[n])
    return before[chosen] == min(before)


@WORKERS
def test_millions_of_connections_of_one_packet_leave_nothing_behind(workers: int) -> None:
    engine, flows, rounds = director(workers, flags=ONE_PACKET), 4000, 700
    group = Group(engine)
    ask = [from_client(packet(client(f), VIP, 1024 + f, PORT)) for f in range(flows)]
    group.run(owned(engine, ask, workers), rounds, START_NS)
    total, servers = shown(engine)
    assert total[:2] == (flows * rounds, flows * rounds)
    assert [s[:4] for s in servers] == [(0, 0, 0, flows * rounds // 4)] * 4
    assert engine.connections()[0] == []


@WORKERS
def test_expiry_beside_new_connections_loses_no_record(workers: int) -> None:
    room, flows = 1 << 13, 60_000
    engine = director(workers, conns=room)
    group = Group(engine)
    engine.set_setting("udp_timeout_s", 1)
    ask = [
        from_client(packet(client(f >> 14), VIP, 1024 + (f & 0x3FFF), PORT)) for f in range(flows)
    ]
    group.run(owned(engine, ask, workers), 1, START_NS, 80 * MS)
    later = START_NS + 3600 * S
    for index in range(workers):
        drive(engine, index, [], 1, later)
    total, servers = shown(engine)
    assert engine.connections()[0] == []
    assert total[0] == total[1] == flows
    assert [s[:4] for s in servers] == [(0, 0, 0, flows // 4)] * 4
    group.run(owned(engine, ask[: room + 100], workers), 1, later)
    assert len(engine.connections()[0]) == room
    assert engine.reasons() == {"table-full": 100}


@WORKERS
def test_upper_threshold_is_never_passed(workers: int) -> None:
    engine, flows, threshold = director(workers, threshold=500), 4000, 500
    group = Group(engine)
    ask = [from_client(packet(client(f), VIP, 1024 + f, PORT)) for f in range(flows)]
    group.run(owned(engine, ask, workers), 1, START_NS)
    assert [s[:4] for s in shown(engine)[1]] == [(0, threshold, 0, threshold)] * 4
    assert engine.reasons() == {"no-server": flows - 4 * threshold}


@WORKERS
def test_templates_of_persistence_are_made_once_a_client(workers: int) -> None:
    engine, clients, ports = director(workers, flags=PERSISTENT), 400, 20
    group = Group(engine)
    ask = [
        from_client(packet(client(c), VIP, 1024 + n, PORT))
        for n in range(ports)
        for c in range(clients)
    ]
    group.run(owned(engine, ask, workers), 2, START_NS)
    rows = [r for r in engine.connections()[0] if r[3]]
    total, servers = shown(engine)
    assert total[:2] == (clients * ports, 2 * clients * ports)
    assert len({(r[2], r[6]) for r in rows}) == clients
    assert [s[:3] for s in servers] == [(0, clients * ports // 4, clients // 4)] * 4
