"""Reads adverts from the sockets and hands the good ones to the instances they are for."""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Iterable

from lbfast.vrrp.actions import Counters
from lbfast.vrrp.checks import Context, Reject, judge, list_differs
from lbfast.vrrp.clock import Clock
from lbfast.vrrp.links import Links
from lbfast.vrrp.machine import format_address
from lbfast.vrrp.packet import Advert, Received, ah_sequence
from lbfast.vrrp.sockets import Receiver, Segment
from lbfast.vrrp.station import Station

logger = logging.getLogger(__name__)

_BATCH = 512  # packets of one socket at a time: timers must get their turn in a flood
_SAY_EVERY_NS = 10_000_000_000
OnAdvert = Callable[[str, Advert, tuple[bytes, int], int], None]


class Listener:
    """All receive sockets; `on_advert` gets instance, advert, (source, order) and arrival."""

    def __init__(self, loop: asyncio.AbstractEventLoop, links: Links, on_advert: OnAdvert) -> None:
        self._loop, self._links, self._on_advert = loop, links, on_advert
        self._receivers: dict[Segment, Receiver] = {}
        self._stations: dict[Segment, dict[int, list[Station]]] = {}
        self._counters: dict[str, Counters] = {}
        self._read_at: dict[Segment, int] = {}  # when a socket was last found empty
        self._said: dict[tuple[str, str], int] = {}
        self.unknown_vrids: collections.Counter[int] = collections.Counter()
        self.says_unknown = False

    def configure(self, stations: Iterable[Station], counters: dict[str, Counters]) -> None:
        """Listen for these instances and no others."""
        self._counters = counters
        self._stations = {}
        for station in stations:
            by_vrid = self._stations.setdefault(station.segment(), {})
            by_vrid.setdefault(station.instance.vrid, []).append(station)
        for segment in self._receivers.keys() - self._stations.keys():
            self._close(segment)
        self.refresh()

    def refresh(self) -> None:
        """Open what is missing, anew where an interface was replaced by one of its name."""
        for segment in self._stations:
            index = self._links.index_of(segment.interface)
            known = self._receivers.get(segment)
            if known is not None and known.ifindex == index:
                continue
            if known is not None:
                self._close(segment)
            if index or not segment.interface:
                self._open(segment, index)

    def _open(self, segment: Segment, index: int) -> None:
        try:
            receiver = Receiver(segment, index)
        except OSError as error:
            logger.warning("%s: adverts cannot be heard: %s", segment.interface, error.strerror)
            return
        self._receivers[segment] = receiver
        self._read_at[segment] = Clock.now()
        self._loop.add_reader(receiver.sock.fileno(), self._readable, segment)

    def _close(self, segment: Segment) -> None:
        receiver = self._receivers.pop(segment)
        self._loop.remove_reader(receiver.sock.fileno())
        receiver.close()

    def close(self) -> None:
        for segment in list(self._receivers):
            self._close(segment)

    def _readable(self, segment: Segment) -> None:
        self._drain(segment)

    def drain(self) -> None:
        """Read all sockets: what has come in counts before what has run out."""
        for segment in list(self._receivers):
            self._drain(segment)

    def _drain(self, segment: Segment) -> None:
        receiver = self._receivers.get(segment)
        if receiver is None:
            return
        for _ in range(_BATCH):
            found = receiver.read()
            now = Clock.now()
            if found is None:
                self._read_at[segment] = now
                return
            packet, age = found
            # A step of the wall clock cannot make a packet older than the last look.
            self._heard(segment, packet, max(now - age, self._read_at[segment]))

    def _heard(self, segment: Segment, packet: Received, at_ns: int) -> None:
        vrid = packet.message[1] if len(packet.message) > 1 else 0
        stations = self._stations[segment].get(vrid)
        if not stations:
            self.unknown_vrids[vrid] += 1
            if self.says_unknown:
                where = segment.interface
                self._say((where, str(vrid)), f"{where}: advert for unknown VRID {vrid}")
            return
        for station in _meant(stations, packet):
            self._give(station, packet, at_ns)

    def _give(self, station: Station, packet: Received, at_ns: int) -> None:
        instance = station.instance
        verdict = judge(packet, Context(instance, station.source, station.ah_sequence))
        if isinstance(verdict, Reject):
            rejected = self._counters[instance.name].rejected
            rejected[verdict] = rejected.get(verdict, 0) + 1
            source = format_address(packet.src)
            text = f"({instance.name}) advert from {source} dropped: {verdict}"
            self._say((instance.name, verdict), text)
            return
        if packet.ah:
            station.ah_sequence = ah_sequence(packet.ah)
        self._compare_lists(station, verdict, packet.src)
        order = (packet.src > station.source) - (packet.src < station.source)
        self._on_advert(instance.name, verdict, (packet.src, order), at_ns)

    def _compare_lists(self, station: Station, advert: Advert, source: bytes) -> None:
        """Say once when the others' list of addresses is not ours."""
        is_same = station.last_source == source
        if station.instance.skip_check_adv_addr and is_same:
            return
        if station.last_list == advert.addresses and is_same:
            return
        station.last_list, station.last_source = advert.addresses, source
        if list_differs(advert, station.instance):
            counted = self._counters[station.instance.name].rejected
            counted["address-list"] = counted.get("address-list", 0) + 1
            theirs = ", ".join(map(format_address, advert.addresses)) or "none"
            logger.warning(
                "(%s) advert from %s names other addresses than ours: %s",
                station.instance.name,
                format_address(source),
                theirs,
            )

    def _say(self, about: tuple[str, str], text: str) -> None:
        """Log a line, but at most one in a while about the same thing, whoever causes it."""
        now = Clock.now()
        if now - self._said.get(about, -_SAY_EVERY_NS) >= _SAY_EVERY_NS:
            self._said[about] = now
            logger.warning("%s", text)


def _meant(stations: list[Station], packet: Received) -> list[Station]:
    """Return whom a packet is for: of several unicast instances those that know its sender."""
    if len(stations) == 1:
        return stations
    known = [
        station
        for station in stations
        if any(peer.addr == packet.src for peer in station.instance.peers)
    ]
    return known or stations[:1]
