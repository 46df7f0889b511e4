"""What one instance has outside of its machine: interfaces, sockets, its place in the kernel."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Address
from lbfast.model.vrrp import AuthType, VmacKind, VrrpInstance
from lbfast.vrrp.announcer import Place
from lbfast.vrrp.checks import sent_interval_us
from lbfast.vrrp.kernel import Request, add_address, remove_address
from lbfast.vrrp.links import Links
from lbfast.vrrp.packet import (
    IPPROTO_AH,
    IPPROTO_VRRP,
    TTL,
    Advert,
    Envelope,
    encode,
    ipv4_packet,
)
from lbfast.vrrp.routes import add_route, add_rule, remove_route, remove_rule
from lbfast.vrrp.sockets import Segment, Sender
from lbfast.vrrp.vmac import Vmacs
from lbfast.vrrp.ways import Seen, SeenRoute, SeenRule

logger = logging.getLogger(__name__)


class Station:
    """Sends an instance's adverts and knows which requests put its addresses in place."""

    def __init__(self, instance: VrrpInstance, links: Links, vmacs: Vmacs) -> None:
        self.instance = instance
        self.source = b""
        self.ah_sequence = 0
        self.is_placed = False  # its addresses are on the interfaces
        self.last_list: tuple[bytes, ...] | None = None  # addresses of the last advert heard
        self.last_source = b""  # and who sent it
        self._links, self._vmacs = links, vmacs
        self._sender: Sender | None = None
        self._sender_for: tuple[str, int] | None = None
        self._ident = itertools.count(1)
        self._is_failing = False

    # -- where it is

    @property
    def home(self) -> str:
        """Return the interface of addresses without `dev`."""
        return self._vmacs.name_of(self.instance)

    @property
    def send_interface(self) -> str:
        instance = self.instance
        uses_base = instance.vmac.kind is VmacKind.NONE or instance.vmac.xmit_base
        base = instance.interface or instance.vrf
        return base if uses_base or instance.unicast else self.home

    def segment(self) -> Segment:
        """Return what it listens to; always on the base, where group frames arrive as well."""
        instance = self.instance
        protocol = IPPROTO_AH if instance.auth_type == AuthType.AH else IPPROTO_VRRP
        group = b"" if instance.unicast else instance.group
        return Segment(instance.interface or instance.vrf, instance.family, protocol, group)

    def refresh(self, virtual: frozenset[bytes]) -> dict[str, bool]:
        """Look where adverts leave from now; return causes of FAULT and whether they hold."""
        instance = self.instance
        destination = instance.peers[0].addr if instance.peers else instance.group
        name = instance.interface if instance.family == AF_INET else self.send_interface
        found = self._links.source(name, instance.family, virtual, destination)
        self.source = instance.source or found
        interface = self.send_interface
        where = (interface, self._links.index_of(interface)) if interface else ("", 0)
        if where != self._sender_for:
            self._open(where)
        lost = bool(instance.source) and instance.track_src_ip
        return {
            "no source address": bool(instance.interface) and not self.source,
            "no unicast peer": instance.unicast_fault_no_peer and not instance.peers,
            "source address lost": lost and not self._links.has(instance.source),
        }

    def _open(self, where: tuple[str, int]) -> None:
        self.close()
        if where[0] and not where[1]:
            return  # the interface is not there
        ttl = self.instance.unicast_ttl if self.instance.unicast else TTL
        try:
            self._sender = Sender(self.instance.family, *where, ttl)
            self._sender_for = where
        except OSError as error:
            logger.warning("(%s) %s: no socket: %s", self.instance.name, where[0], error.strerror)

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()
        self._sender, self._sender_for = None, None

    # -- adverts

    def _advert(self, priority: int) -> Advert:
        instance = self.instance
        return Advert(
            instance.version,
            instance.vrid,
            priority,
            sent_interval_us(instance),
            tuple(address.addr for address in instance.addresses),
            instance.auth_type if instance.version == 2 else AuthType.NONE,
            instance.auth_pass if instance.auth_type == AuthType.PASS else b"",
        )

    def send(self, priority: int) -> None:
        """Send one advert to the group, or to every peer; failures are logged once."""
        if self._sender is None:
            return
        instance, advert = self.instance, self._advert(priority)
        for destination in [peer.addr for peer in instance.peers] or [instance.group]:
            try:
                self._send(self._sender, advert, destination)
                self._is_failing = False
            except OSError as error:
                if not self._is_failing:
                    logger.warning("(%s) advert not sent: %s", instance.name, error.strerror)
                self._is_failing = True

    def _send(self, sender: Sender, advert: Advert, destination: bytes) -> None:
        instance = self.instance
        has_pseudo = advert.version == 3 and not instance.v3_checksum_as_v2
        ends = (self.source, destination) if has_pseudo or instance.family == AF_INET6 else ()
        message = encode(advert, *ends)
        if instance.family == AF_INET6:
            sender.send_ipv6(message, self.source, destination)
            return
        key = None
        if instance.auth_type == AuthType.AH:
            key = instance.auth_pass
            self.ah_sequence += 1
        envelope = Envelope(
            self.source,
            destination,
            next(self._ident) & 0xFFFF,
            instance.unicast_ttl if instance.unicast else TTL,
            instance.unicast,
            key,
            self.ah_sequence,
        )
        sender.send_ipv4(ipv4_packet(message, envelope), destination)

    # -- addresses

    def all_addresses(self) -> Iterator[Address]:
        yield from self.instance.addresses
        yield from self.instance.excluded

    def device_of(self, address: Address) -> str:
        """Return the interface of an address: its own, or the virtual MAC's on that."""
        vmac, device = self.instance.vmac, address.device
        if not device:
            return self.home
        has_own = vmac.on_addresses or address.use_vmac
        return self._vmacs.name_of(self.instance, device) if has_own else device

    def places(self) -> list[Place]:
        """Return (interface, address) of everything that is announced."""
        return [(self.device_of(address), address.addr) for address in self.all_addresses()]

    def additions(self) -> list[Request]:
        """Return the requests of a new master, in order."""
        found = []
        for address in self.all_addresses():
            index = self._links.index_of(self.device_of(address))
            found.append(add_address(address, index))
        found += [add_route(route, self._links.index_of) for route in self.instance.routes]
        return found + [add_rule(rule) for rule in self.instance.rules]

    def removals(self) -> list[Request]:
        """Return the requests of a master no more: the last one that was added goes first."""
        index_of = self._links.index_of
        found = [remove_rule(rule) for rule in reversed(self.instance.rules)]
        found += [remove_route(route, index_of) for route in reversed(self.instance.routes)]
        for address in reversed(list(self.all_addresses())):
            if index := index_of(self.device_of(address)):
                found.append(remove_address(address, index))
        return found

    def tracks(self, index: int, addr: bytes) -> bool:
        """Say whether losing an address of an interface makes a master step back."""
        return any(
            address.addr == addr
            and address.track
            and self._links.index_of(self.device_of(address)) == index
            for address in self.all_addresses()
        )

    def loses(self, seen: Seen) -> bool:
        """Say whether losing a route or rule makes a master step back."""
        if isinstance(seen, SeenRoute):
            index_of = self._links.index_of
            return any(
                route.track and seen.is_of(route, index_of) for route in self.instance.routes
            )
        return any(rule.track and seen.is_of(rule) for rule in self.instance.rules)

    def misses(self, there: list[Seen]) -> bool:
        """Say whether a route or rule that is tracked is not among those that are there."""
        index_of = self._links.index_of
        routes = [seen for seen in there if isinstance(seen, SeenRoute)]
        rules = [seen for seen in there if isinstance(seen, SeenRule)]
        return any(
            route.track and not any(seen.is_of(route, index_of) for seen in routes)
            for route in self.instance.routes
        ) or any(
            rule.track and not any(seen.is_of(rule) for seen in rules)
            for rule in self.instance.rules
        )

    def stale(self) -> list[Request]:
        """Return the requests that remove what of ours an earlier run has left."""
        index_of = self._links.index_of
        found = [remove_rule(rule) for rule in reversed(self.instance.rules)]
        found += [remove_route(route, index_of) for route in reversed(self.instance.routes)]
        return found + [
            remove_address(address, index)
            for address in self.all_addresses()
            if (index := self._links.index_of(self.device_of(address)))
            and address.addr in self._links.addresses.get(index, {})
        ]
