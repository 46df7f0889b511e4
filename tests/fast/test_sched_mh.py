"""mh: a server for each client by Maglev's table."""

from __future__ import annotations

from collections import Counter
from math import gcd
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fast.schedlab import (
    SCHED1,
    SCHED2,
    STEPS,
    Lab,
    Naive,
    Play,
    Server,
    fold,
    lab_with,
)

FALLBACK, PORT = SCHED1, SCHED2
SIZE, INDEX = 4093, 12
K1, K2 = 2654435761, 2654446892
M64 = (1 << 64) - 1


def siphash13(data: bytes, k0: int, k1: int) -> int:
    """SipHash-1-3 of fewer than eight bytes."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    last = len(data) << 56 | int.from_bytes(data, "little")
    for step in range(4):
        if step == 0:
            v3 ^= last
        v0, v2 = (v0 + v1) & M64, (v2 + v3) & M64
        v1, v3 = rotated(v1, 13) ^ v0, rotated(v3, 16) ^ v2
        v0 = rotated(v0, 32)
        v0, v2 = (v0 + v3) & M64, (v2 + v1) & M64
        v3, v1 = rotated(v3, 21) ^ v0, rotated(v1, 17) ^ v2
        v2 = rotated(v2, 32)
        if step == 0:
            v0 ^= last
            v2 ^= 0xFF
    return v0 ^ v1 ^ v2 ^ v3


def rotated(x: int, bits: int) -> int:
    return (x << bits | x >> (64 - bits)) & M64


def hashed(key: int, address: str | bytes, port: int = 0, offset: int = 0) -> int:
    x = (offset + port + fold(address)) & 0xFFFFFFFF
    return siphash13(x.to_bytes(4, "little"), key, key) & 0xFFFFFFFF


class Rule(Naive):
    """Section 5.12 of the specification; tables are remembered by what they depend on."""

    def __init__(self) -> None:
        self.tables: dict[tuple[tuple[Server, int], ...], list[Server]] = {}

    def table(self, lab: Lab) -> list[Server]:
        state = tuple((server, server.last_weight) for server in lab.servers)
        if state not in self.tables:
            self.tables[state] = self.filled(lab)
        return self.tables[state]

    def filled(self, lab: Lab) -> list[Server]:
        divisor = gcd(*(server.last_weight for server in lab.servers))
        if divisor == 0:
            return []
        heaviest = max(server.last_weight for server in lab.servers)
        shift = max(0, (heaviest // divisor).bit_length() - INDEX // 2)
        slots: dict[int, Server] = {}
        ways = []
        for server in lab.servers:
            at = hashed(K1, lab.address(server), 80) % SIZE
            skip = hashed(K2, lab.address(server), 80) % (SIZE - 1) + 1
            turns = server.last_weight // divisor >> shift or min(server.last_weight, 1)
            ways.append((server, iter([(at + n * skip) % SIZE for n in range(SIZE)]), turns))
        while True:
            for server, way, turns in ways:
                for _ in range(turns):
                    slots[next(slot for slot in way if slot not in slots)] = server
                    if len(slots) == SIZE:
                        return [slots[n] for n in range(SIZE)]

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        table = self.table(lab)
        if not table:
            return None
        port = sport if lab.flags & PORT else 0
        first = hashed(K1, client, port) % SIZE
        if table[first].usable:
            return table[first]
        if lab.flags & FALLBACK and any(server.usable for server in lab.servers):
            for o in range(SIZE):
                server = table[hashed(K1, client, port, (o + first) % SIZE) % SIZE]
                if server.usable:
                    return server
        return None


@pytest.mark.covers("C-233", "C-234", "C-235", "C-236", "C-237", "C-238", "C-243")
@settings(max_examples=25, deadline=None)
@given(flags=st.sampled_from([0, FALLBACK, PORT, FALLBACK | PORT]), v6=st.booleans(), steps=STEPS)
def test_mh_picks_what_the_naive_rule_picks(
    flags: int, v6: bool, steps: list[tuple[Any, ...]]
) -> None:
    Play(Lab("mh", flags, v6=v6), Rule()).run(steps)


@pytest.mark.covers("C-233")
def test_the_model_of_the_hash_knows_the_reference_values() -> None:
    words = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash13(bytes(range(4)), *words) & 0xFFFFFFFF == 0x88D38328
    assert hashed(K1, "192.0.2.1") == 0x92889C88
    assert hashed(K2, "192.0.2.1") == 0xC6FE83E5
    assert hashed(K1, "10.0.0.1", 80) == 0x439C0CBE
    assert hashed(K1, "2001:db8::1") == 0xCDC3F189


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((1, 1, 1), {"A": 1364, "B": 1364, "C": 1365}, id="equal weights"),
        pytest.param((3, 2, 1), {"A": 2046, "B": 1364, "C": 683}, id="weights 3 2 1"),
        pytest.param((30, 20, 10), {"A": 2046, "B": 1364, "C": 683}, id="their multiples"),
        pytest.param((1, 0, 1), {"A": 2046, "C": 2047}, id="one added with weight 0 has none"),
    ],
)
@pytest.mark.covers("C-233", "C-237", "C-238")
def test_mh_slots_are_shared_out_by_weight(
    weights: tuple[int, ...], expected: dict[str, int]
) -> None:
    """Counted over one client for each slot."""
    lab = mh_lab(*weights)
    seen: Counter[str] = Counter()
    for client in client_of_each_slot():
        server = lab.connect(client)
        assert server is not None
        seen[server.name] += 1
    assert seen == expected


def mh_lab(*weights: int, flags: int = 0) -> Lab:
    """The servers are 10.0.0.1, .2, .3, as in the specification."""
    return lab_with("mh", *weights, flags=flags, servers_net="10.0.0", conns=8192)


def client_of_each_slot() -> list[str]:
    slots: dict[int, str] = {}
    n = 0
    while len(slots) < SIZE:
        n += 1
        client = f"172.{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        slots.setdefault(hashed(K1, client) % SIZE, client)
    return [slots[n] for n in range(SIZE)]


@pytest.mark.parametrize(
    ("client", "expected"),
    [("192.0.2.1", "C"), ("192.0.2.2", "B"), ("192.0.2.3", "B"), ("198.51.100.7", "A")],
)
@pytest.mark.covers("C-233")
def test_mh_reference_clients_go_where_the_specification_says(client: str, expected: str) -> None:
    server = mh_lab(1, 1, 1).connect(client)
    assert server is not None
    assert server.name == expected


@pytest.mark.covers("C-233")
def test_mh_the_first_slots_are_the_reference_ones() -> None:
    lab = mh_lab(1, 1, 1)
    clients = client_of_each_slot()[:16]
    servers = [lab.connect(client) for client in clients]
    assert "".join(server.name if server else "-" for server in servers) == "ABBCCABCCAABBAAC"


@pytest.mark.covers("C-234", "C-236")
@pytest.mark.parametrize("flags", [0, FALLBACK], ids=["plain", "with fallback"])
def test_mh_weight_0_moves_only_the_clients_of_that_server(flags: int) -> None:
    lab = lab_with("mh", 1, 1, 1, flags=flags)
    clients = [f"10.1.1.{n}" for n in range(1, 60)]
    before = [lab.connect(client) for client in clients]
    quiesced = lab.servers[1]
    lab.edit(quiesced, 0)
    for client, old in zip(clients, before, strict=True):
        new = lab.connect(client)
        if old is not quiesced:
            assert new is old
        else:
            assert (new is not None) == bool(flags)


@pytest.mark.covers("C-234")
def test_mh_weight_0_leaves_the_shares_of_the_others() -> None:
    lab = lab_with("mh", 2, 4, 3)  # without the 3 the divisor would be another
    clients = [f"10.1.1.{n}" for n in range(1, 100)]
    before = [lab.connect(client) for client in clients]
    quiesced = next(s for s in lab.servers if s.weight == 3)
    lab.edit(quiesced, 0)
    for client, old in zip(clients, before, strict=True):
        assert lab.connect(client) is (None if old is quiesced else old)


@pytest.mark.covers("C-235")
def test_mh_port_spreads_the_ports_of_a_client() -> None:
    assert len({*lab_with("mh", 1, 1, 1).picks(20)}) == 1
    assert len({*lab_with("mh", 1, 1, 1, flags=PORT).picks(20)}) == 3


def test_mh_more_servers_than_slots_take_the_next_larger_table() -> None:
    lab = Lab("mh", conns=16384, dests=5000)
    for n in range(1, 4201):
        server = (2, bytes((10, 2, n >> 8, n & 255)), 80)
        lab.engine.server_put(lab.key, server, 0, 1, 0, 0, 0, 0, 0)
    seen = {lab.connect_raw(f"10.1.{n >> 8}.{n & 255}") for n in range(1, 12000)}
    assert len(seen) > 3000
    assert b"" not in seen
