"""sh: a server for each client."""

from __future__ import annotations

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
    hash_32,
    lab_with,
)

FALLBACK, PORT = SCHED1, SCHED2


class Rule(Naive):
    def table(self, lab: Lab) -> list[Server]:
        turns = [server for server in lab.servers for _ in range(max(server.weight, 1))]
        return [turns[i % len(turns)] for i in range(256)] if turns else []

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        table = self.table(lab)
        if not table:
            return None
        hashed = hash_32(fold(client) + (sport if lab.flags & PORT else 0), 8)
        probes = [hashed]
        if lab.flags & FALLBACK:
            probes += [((o + hashed) % 256 + hashed) & 255 for o in range(256)]
        return next((table[at] for at in probes if table[at].usable), None)


@pytest.mark.covers("C-228", "C-229", "C-230", "C-231", "C-232", "C-243")
@settings(deadline=None)
@given(flags=st.sampled_from([0, FALLBACK, PORT, FALLBACK | PORT]), v6=st.booleans(), steps=STEPS)
def test_sh_picks_what_the_naive_rule_picks(
    flags: int, v6: bool, steps: list[tuple[Any, ...]]
) -> None:
    Play(Lab("sh", flags, v6=v6), Rule()).run(steps)


@pytest.mark.parametrize(
    ("client", "expected"),
    [("192.0.2.1", "B"), ("192.0.2.2", "A"), ("192.0.2.3", "C"), ("198.51.100.7", "A")],
)
@pytest.mark.covers("C-228", "C-229")
def test_sh_reference_clients_go_where_the_specification_says(client: str, expected: str) -> None:
    lab = lab_with("sh", 3, 2, 1)
    for _ in range(3):
        server = lab.connect(client)
        assert server is not None
        assert server.name == expected


@pytest.mark.covers("C-229", "C-230")
def test_sh_a_server_of_weight_0_has_a_bucket_and_its_clients_no_server() -> None:
    lab = lab_with("sh", 1, 0)
    answers = [lab.connect(f"10.1.0.{n}") for n in range(1, 60)]
    assert 20 < sum(server is None for server in answers) < 40


@pytest.mark.covers("C-231")
def test_sh_port_spreads_the_ports_of_a_client() -> None:
    assert len({*lab_with("sh", 1, 1, 1).picks(20)}) == 1
    assert len({*lab_with("sh", 1, 1, 1, flags=PORT).picks(20)}) == 3


@pytest.mark.covers("C-232", "C-243")
def test_sh_fallback_finds_another_server_and_leaves_the_rest_where_they_were() -> None:
    lab = lab_with("sh", 1, 1, 1, flags=FALLBACK)
    clients = [f"10.1.0.{n}" for n in range(1, 40)]
    before = [lab.connect(client) for client in clients]
    gone = lab.servers[1]
    lab.edit(gone, 1, upper=1)
    after = [lab.connect(client) for client in clients]
    assert None not in after
    assert gone not in after
    assert all(new is old for old, new in zip(before, after, strict=True) if old is not gone)
