"""dh: a server for each destination address."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, fold, hash_32, lab_with


class Rule(Naive):
    def __init__(self) -> None:
        self.table: list[Server] = []

    def fill(self, lab: Lab) -> None:
        n = len(lab.servers)
        self.table = [lab.servers[i % n] for i in range(256)] if n else []

    def added(self, lab: Lab, server: Server) -> None:
        self.fill(lab)

    def deleted(self, lab: Lab, at: int) -> None:
        self.fill(lab)

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        server = self.table[hash_32(fold(vip), 8)] if self.table else None
        return server if server and server.usable else None


@pytest.mark.covers("C-225", "C-226", "C-227", "C-243")
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@settings(deadline=None)
@given(steps=STEPS)
def test_dh_picks_what_the_naive_rule_picks(v6: bool, steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("dh", marked=True, v6=v6), Rule()).run(steps)


@pytest.mark.parametrize(
    ("address", "bits", "expected"),
    [
        ("192.0.2.1", 8, 50),
        ("192.0.2.2", 8, 148),
        ("192.0.2.3", 8, 246),
        ("198.51.100.7", 8, 171),
        ("2001:db8::1", 8, 63),
        ("192.0.2.1", 10, 203),
    ],
)
@pytest.mark.covers("C-227")
def test_the_model_of_the_hash_knows_the_reference_values(
    address: str, bits: int, expected: int
) -> None:
    assert hash_32(fold(address), bits) == expected


def picked(lab: Lab, addresses: int) -> str:
    servers = (lab.connect(vip=f"10.9.0.{n + 1}") for n in range(addresses))
    return "".join(s.name if s else "-" for s in servers)


@pytest.mark.covers("C-225")
def test_dh_weights_do_not_count() -> None:
    assert picked(lab_with("dh", 1, 9, 3, marked=True), 40) == picked(
        lab_with("dh", 1, 1, 1, marked=True), 40
    )


@pytest.mark.covers("C-226", "C-243")
def test_dh_an_address_whose_server_is_quiesced_or_overloaded_has_none() -> None:
    lab = lab_with("dh", 1, 1, 1, marked=True)
    before = picked(lab, 40)
    c, b, _ = lab.servers
    lab.edit(b, 0)
    lab.edit(c, 1, upper=1)
    assert picked(lab, 40) == before.replace("B", "-").replace("C", "-")
