"""Whom a packet is for, and what is said about lists of addresses; no sockets."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from lbfast.model import AF_INET
from lbfast.model.netlines import Address
from lbfast.model.vrrp import Peer, VrrpInstance
from lbfast.vrrp.actions import Counters
from lbfast.vrrp.listener import Listener, _meant
from lbfast.vrrp.packet import Advert, Received, encode
from lbfast.vrrp.station import Station
from tests.vrrp_lab import V2

A, B, C = (bytes((10, 9, 0, n)) for n in (1, 2, 3))
GROUP = bytes((224, 0, 0, 18))
OTHER = bytes((10, 9, 0, 111))


class NoLinks:
    """Links of a host without any interface."""

    @staticmethod
    def index_of(name: str) -> int:
        return 0


class Heard:
    """A listener over one station; what it passes on is in `adverts`."""

    def __init__(self, instance: VrrpInstance) -> None:
        self.adverts: list[tuple[str, int]] = []
        self.counters = Counters()
        none: Any = NoLinks()
        self.station = Station(instance, none, none)
        self.station.source = B
        loop = asyncio.new_event_loop()
        self.listener = Listener(loop, none, lambda name, advert, source, at: self.adverts.append(
            (name, source[1])
        ))  # fmt: skip
        loop.close()
        self.listener.configure([self.station], {instance.name: self.counters})

    def hear(self, source: bytes, *addresses: bytes, vrid: int = 51) -> None:
        message = encode(Advert(2, vrid, 100, 1_000_000, addresses))
        packet = Received(AF_INET, source, GROUP, 255, 112, message)
        self.listener._heard(self.station.segment(), packet, 0)


OWN = V2.addresses[0].addr


def test_order_is_that_of_the_addresses() -> None:
    heard = Heard(V2)
    heard.hear(A, OWN)
    heard.hear(C, OWN)
    heard.hear(B, OWN)  # our own
    assert heard.adverts == [("VI_1", -1), ("VI_1", 1)]
    assert heard.counters.rejected == {"own": 1}


def test_unknown_router_is_counted_and_said_only_if_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard(V2)
    heard.hear(A, OWN, vrid=9)
    assert heard.listener.unknown_vrids == {9: 1}
    assert caplog.text == ""
    heard.listener.says_unknown = True
    heard.hear(A, OWN, vrid=9)
    heard.hear(A, OWN, vrid=9)
    assert caplog.text.count("eth0: advert for unknown VRID 9") == 1


def test_many_strangers_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard(replace(V2, version=3))
    for number in range(3, 200):
        heard.hear(bytes((10, 9, 0, number)), OWN)
    assert heard.counters.rejected == {"version": 197}
    assert caplog.text.count("dropped: version") == 1


@pytest.mark.covers("VRP-14")
@pytest.mark.parametrize(("skips", "expected"), [(False, 2), (True, 1)])
def test_other_list_is_said_once_and_skipped_for_the_same_master(
    skips: bool, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard(replace(V2, skip_check_adv_addr=skips))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            heard.hear(A, OTHER)
        heard.hear(A, OTHER, OTHER)
    assert heard.counters.rejected.get("address-list") == expected
    assert caplog.text.count("other addresses") == expected
    assert len(heard.adverts) == 4


def test_unicast_instances_of_one_number_are_told_apart_by_their_peers() -> None:
    none: Any = NoLinks()
    stations = [
        Station(replace(V2, name=name, peers=(Peer(peer),)), none, none)
        for name, peer in (("one", A), ("two", C))
    ]
    packet = Received(AF_INET, C, B, 255, 112, b"")
    assert [each.instance.name for each in _meant(stations, packet)] == ["two"]
    stranger = replace(packet, src=OTHER)
    assert [each.instance.name for each in _meant(stations, stranger)] == ["one"]


def test_places_follow_the_device_of_each_address() -> None:
    class Vmacs:
        @staticmethod
        def name_of(instance: VrrpInstance, base: str = "") -> str:
            return base or instance.interface

    none: Any = NoLinks()
    vmacs: Any = Vmacs()
    elsewhere = Address(OTHER, 24, device="eth1")
    station = Station(replace(V2, excluded=(elsewhere,)), none, vmacs)
    assert station.places() == [("eth0", OWN), ("eth1", OTHER)]
