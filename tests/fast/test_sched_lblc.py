"""lblc: an address stays with its server while that is not too busy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.fast.schedlab import STEPS, Lab, Naive, Play, Server, fold, hash_32, lab_with

MINUTE = 60
DAY = 86400


def wlc(lab: Lab) -> Server | None:
    least = None
    for s in lab.servers:
        if s.usable and (least is None or least.overhead * s.weight > s.overhead * least.weight):
            least = s
    return least


def too_busy(lab: Lab, server: Server) -> bool:
    return server.active > server.weight and any(2 * s.active < s.weight for s in lab.servers)


class Rule(Naive):
    def __init__(self) -> None:
        self.table: dict[str, Server] = {}

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        server = self.table.get(vip)
        if server and server.here and server.weight > 0 and not too_busy(lab, server):
            return server
        server = wlc(lab)
        if server:
            self.table[vip] = server
        return server


@pytest.mark.covers("C-218", "C-219", "C-220")
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@settings(deadline=None)
@given(steps=STEPS)
def test_lblc_picks_what_the_naive_rule_picks(v6: bool, steps: list[tuple[Any, ...]]) -> None:
    Play(Lab("lblc", marked=True, v6=v6), Rule()).run(steps)


@pytest.mark.covers("C-218")
def test_lblc_an_address_keeps_its_server() -> None:
    lab = lab_with("lblc", 9, 9, 9, marked=True)
    first = [lab.connect(vip=f"10.9.0.{n}") for n in range(1, 6)]
    assert len({*first}) == 3
    assert [lab.connect(vip=f"10.9.0.{n}") for n in range(1, 6)] == first


@pytest.mark.parametrize(
    ("held", "other_weight", "stays"),
    [
        pytest.param(2, 9, True, id="as many as its weight: it stays"),
        pytest.param(3, 9, False, id="more than its weight and the other idle: it leaves"),
        pytest.param(3, 0, True, id="more than its weight, the other without weight: it stays"),
    ],
)
@pytest.mark.covers("C-219")
def test_lblc_leaves_a_busy_server(held: int, other_weight: int, stays: bool) -> None:
    lab = lab_with("lblc", 2, marked=True)
    other = None
    for _ in range(held):
        assert lab.connect(vip="10.9.0.1") is lab.servers[-1]
    other = lab.add(other_weight)
    assert (lab.connect(vip="10.9.0.1") is other) == (not stays)


@pytest.mark.covers("C-219")
def test_lblc_stays_when_no_other_is_below_half_its_weight() -> None:
    lab = lab_with("lblc", 1, marked=True)
    lab.picks(3)
    b = lab.add(2)
    lab.load(b, active=1)
    assert lab.picks(1) == "A"
    b = lab.servers[0]
    lab.edit(b, 3)
    assert lab.picks(1) == "B"


@pytest.mark.covers("C-220")
def test_lblc_an_overloaded_server_keeps_its_addresses_but_gets_no_others() -> None:
    lab = Lab("lblc", marked=True)
    lab.add(5)
    lab.add(9, upper=1)
    assert lab.connect(vip="10.9.0.1") is lab.servers[0]
    assert lab.connect(vip="10.9.0.1") is lab.servers[0]
    assert lab.connect(vip="10.9.0.2") is lab.servers[1]


def test_lblc_a_deleted_server_loses_its_addresses_until_it_is_back() -> None:
    lab = lab_with("lblc", 5, 5, marked=True)
    b, a = lab.servers
    assert lab.connect(vip="10.9.0.1") is b
    lab.delete(b)
    for _ in range(7):
        lab.wait(MINUTE)
        lab.engine.trash(lab.now_ns)
    lab.revive(b)  # nothing but the address remembers it
    assert lab.connect(vip="10.9.0.1") is b
    lab.delete(b)
    assert lab.connect(vip="10.9.0.1") is a
    lab.revive(b)
    assert lab.connect(vip="10.9.0.1") is a


@pytest.mark.parametrize(
    ("minutes", "expiration", "forgotten"),
    [
        pytest.param([29], 600, False, id="it is looked through every 30 minutes"),
        pytest.param([30], 600, True, id="what was not used for the time is forgotten then"),
        pytest.param([25, 5], 600, False, id="but not what was used"),
        pytest.param([30], DAY, False, id="a day is the default"),
        pytest.param([24 * 60 + 30], DAY, True, id="after a day it is forgotten"),
        pytest.param([29, 60], 600, True, id="times without packets are made up for"),
    ],
)
@pytest.mark.covers("C-221")
def test_lblc_unused_addresses_are_forgotten(
    minutes: list[int], expiration: int, forgotten: bool
) -> None:
    lab = lab_with("lblc", 1, 1, marked=True)
    b, a = lab.servers
    lab.engine.set_setting("lblc_expiration", expiration)
    assert lab.connect(vip="10.9.0.1") is b
    for n in minutes[:-1]:
        lab.wait(n * MINUTE)
        assert lab.connect(vip="10.9.0.1") is b
    lab.wait(minutes[-1] * MINUTE)
    lab.load(b, inactive=1)
    assert lab.connect(vip="10.9.0.1") is (a if forgotten else b)


FULL = 24576


@pytest.mark.covers("C-221")
def test_lblc_a_full_table_takes_no_more_and_is_thinned_out() -> None:
    lab = lab_with("lblc", 1, 0, marked=True, conns=65536)
    b, a = lab.servers[::-1]
    addresses = [f"10.9.{n >> 8}.{n & 255}" for n in range(FULL + 1)]
    for address in addresses:
        lab.connect_raw(vip=address)
    lab.wait(MINUTE)  # the connections are over
    shut_but_for_its_addresses(lab, b, a)
    assert lab.connect(vip=addresses[-1]) is a  # there was no room for it
    assert lab.connect(vip=addresses[0]) is b
    lab.wait(6 * MINUTE)
    shut_but_for_its_addresses(lab, b, a)
    kept = {address for address in addresses if lab.connect_raw(vip=address) == lab.address(b)}
    assert kept == {*addresses[:FULL]} - thinned_out(addresses[1:FULL])


def shut_but_for_its_addresses(lab: Lab, server: Server, other: Server) -> None:
    """Make it overloaded, and the other not idle."""
    lab.edit(other, 1)
    lab.load(server, inactive=1)
    lab.load(other, active=1)
    lab.edit(server, 1, upper=1)


def thinned_out(addresses: list[str]) -> set[str]:
    """Return what a collection takes of these: whole buckets, half of the maximum at least."""
    gone: set[str] = set()
    buckets: dict[int, list[str]] = {}
    for address in addresses:
        buckets.setdefault(hash_32(fold(address), 10), []).append(address)
    for n in range(1, 1025):
        if len(gone) < 8192:
            gone.update(buckets.get(n % 1024, ()))
    return gone
