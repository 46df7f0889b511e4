"""Addresses of instances whose process is dead or hangs, seen from another process."""

from __future__ import annotations

from collections.abc import Collection

from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.vrrp.host import Host
from lbfast.vrrp.links import Links
from lbfast.vrrp.station import Station


def leading(config: VrrpConfig) -> list[str]:
    """Return the instances whose addresses are all on this host."""
    links = Links()
    try:
        return [each.name for each in config.instances if _is_placed(each, links)]
    finally:
        links.close()


def _is_placed(instance: VrrpInstance, links: Links) -> bool:
    addresses = [address.addr for address in (*instance.addresses, *instance.excluded)]
    return bool(addresses) and all(links.has(addr) for addr in addresses)


def take_away(config: VrrpConfig, names: Collection[str]) -> None:
    """Remove addresses, routes and rules of instances, wherever they are."""
    host = Host(config.settings)
    try:
        for instance in config.instances:
            if instance.name in names:
                host.vmacs.find(instance)
                host.clear([Station(instance, host.links, host.vmacs)])
    finally:
        host.close()
