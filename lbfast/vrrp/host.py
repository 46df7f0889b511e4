"""What VRRP changes in the kernel of its host: addresses, routes, rules, interfaces, settings."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from lbfast.model.vrrp import (
    OWNER_PRIORITY,
    VrrpGlobals,
    VrrpInstance,
)
from lbfast.vrrp.firewall import Firewall
from lbfast.vrrp.kernel import Kernel, Request
from lbfast.vrrp.links import Links
from lbfast.vrrp.statics import Statics
from lbfast.vrrp.station import Station
from lbfast.vrrp.vmac import Vmacs, bases_of

logger = logging.getLogger(__name__)


class Host:
    """The kernel's side; what it refuses is logged and does not stop a director."""

    def __init__(self, settings: VrrpGlobals) -> None:
        self.links = Links()
        self._kernel = Kernel()
        self.vmacs = Vmacs(self._kernel, self.links)
        self.statics = Statics(self.links, self.apply)
        self.keeps_addresses = False  # at stop (option -V)
        self._promoting: dict[Path, str] = {}
        self._firewall = Firewall(settings.nftables_table, settings.nftables_priority)

    def close(self) -> None:
        for path, value in self._promoting.items():
            _write(path, value)
        self.links.close()
        self._kernel.close()

    def apply(self, requests: Iterable[Request]) -> bool:
        """Ask for changes; return whether all of them were made."""
        refused = self._kernel.apply(requests)
        for sentence in refused:
            logger.warning("%s", sentence)
        return not refused

    # -- instances

    def needs_vmac(self, instance: VrrpInstance) -> bool:
        """Say whether an instance's own interface is wanted and missing."""
        for base in bases_of(instance):
            name = self.vmacs.name_of(instance, base)
            if self.links.index_of(base) and (name == base or not self.links.index_of(name)):
                return True
        return False

    def prepare(self, instance: VrrpInstance) -> None:
        """Make what an instance stands on."""
        for sentence in self.vmacs.make(instance):
            logger.warning("(%s) %s", instance.name, sentence)
        if instance.promote_secondaries:
            name = self.vmacs.name_of(instance)
            path = Path(f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries")
            self._promoting.setdefault(path, _write(path, "1"))

    def discharge(self, instance: VrrpInstance) -> None:
        """Remove what was made for an instance."""
        self.vmacs.remove(instance)
        self.links.drain()

    def place(self, station: Station) -> None:
        """Put a new master's addresses, routes and rules in place."""
        station.is_placed = True
        self._firewall.block(_filtered(station))
        self.apply(station.additions())

    def unplace(self, station: Station) -> None:
        """Take them away; the kernel's own news of that must not look like a loss."""
        station.is_placed = False
        if not self.keeps_addresses:
            self.apply(station.removals())
        self._firewall.unblock(_filtered(station))
        self.links.drain()

    def clear(self, stations: Iterable[Station]) -> None:
        """Remove what a run that was killed has left behind of these instances."""
        for station in stations:
            self.apply(station.stale())
            if any(_filtered(station)):
                self._firewall.reset()

    def exchange(self, station: Station, instance: VrrpInstance) -> None:
        """Give a running instance its new addresses, and take away those it has no more."""
        before = {request.payload: request for request in station.removals()}
        if station.is_placed:
            self._firewall.unblock(_filtered(station))
        station.instance = instance
        station.last_list = None  # to be compared with ours anew
        if not station.is_placed:
            return
        station.is_placed = False
        still = {request.payload for request in station.removals()}
        self.apply(request for payload, request in before.items() if payload not in still)
        self.links.drain()
        self.place(station)


def _filtered(station: Station) -> list[bytes]:
    """Return the addresses that are kept from the host: those of a router that is no owner."""
    instance = station.instance
    if instance.accept or instance.priority == OWNER_PRIORITY:
        return []
    return [address.addr for address in station.all_addresses()]


def _write(path: Path, value: str) -> str:
    """Set a sysctl; return what it was, or the same if it cannot be set."""
    try:
        before = path.read_text().strip()
        path.write_text(value)
    except OSError as error:
        logger.debug("%s: %s", path, error.strerror)
        return value
    return before
