"""Interfaces with the virtual router's MAC: macvlan or ipvlan on a base (spec 4.11)."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

from lbfast import rtnl
from lbfast.model import AF_INET
from lbfast.model.netlines import Address
from lbfast.model.vrrp import VmacKind, VrrpInstance
from lbfast.vrrp.kernel import GONE, Kernel, Request, add_address
from lbfast.vrrp.links import Links

logger = logging.getLogger(__name__)

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO = 1, 3, 5, 18
_KIND, _DATA = 1, 2
_MODE, _FLAGS = 1, 2
_MACVLAN_PRIVATE = 1
_IPVLAN_L2 = 0
_IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
_IFF_UP = 1
_NAME_LEN = 15
_IFINFOMSG = struct.Struct("=BxHiII")
_LINK_LOCAL = b"\xfe\x80"
_SYSCTLS = Path("/proc/sys/net")
_OURS = {"arp_ignore": "1", "accept_local": "1", "rp_filter": "0", "promote_secondaries": "1"}
_BASE = {"arp_ignore": "1", "arp_filter": "1"}


def virtual_mac(instance: VrrpInstance) -> bytes:
    """Return the MAC in force (RFC 9568 7.3), of which the last byte is the VRID."""
    version = 1 if instance.family == AF_INET else 2
    return instance.vmac.mac or bytes((0, 0, 0x5E, 0, version, instance.vrid))


def vmac_name(instance: VrrpInstance, taken: set[str]) -> str:
    """Return the interface's name; `taken` are names of other instances' interfaces."""
    if instance.vmac.name:
        return instance.vmac.name
    name = f"{instance.vmac.prefix}.{instance.vrid}"
    if instance.family != AF_INET and name in taken:
        name = f"{instance.vmac.prefix}6.{instance.vrid}"
    return name


def _nest(kind: int, *inner: bytes) -> bytes:
    return rtnl.attribute(kind, b"".join(inner))


def create_request(instance: VrrpInstance, name: str, base_index: int) -> Request:
    """Return the request that makes the interface."""
    if instance.vmac.kind is VmacKind.MACVLAN:
        kind, data = b"macvlan", rtnl.attribute(_MODE, struct.pack("=I", _MACVLAN_PRIVATE))
        mac = rtnl.attribute(_IFLA_ADDRESS, virtual_mac(instance))
    else:
        flags = _IPVLAN_FLAGS[instance.vmac.ipvlan_mode]
        kind = b"ipvlan"
        data = rtnl.attribute(_MODE, struct.pack("=H", _IPVLAN_L2))
        data += rtnl.attribute(_FLAGS, struct.pack("=H", flags))
        mac = b""  # an ipvlan interface has its base's
    info = _nest(_IFLA_LINKINFO, rtnl.attribute(_KIND, kind), _nest(_DATA, data))
    payload = (
        _IFINFOMSG.pack(0, 0, 0, 0, 0)
        + rtnl.attribute(_IFLA_IFNAME, name.encode() + b"\0")
        + rtnl.attribute(_IFLA_LINK, struct.pack("=I", base_index))
        + mac
        + info
    )
    return Request(rtnl.NEWLINK, rtnl.CREATE | rtnl.EXCL, payload, f"making interface {name}")


def _up_request(name: str, index: int) -> Request:
    payload = _IFINFOMSG.pack(0, 0, index, _IFF_UP, _IFF_UP)
    return Request(rtnl.NEWLINK, 0, payload, f"setting {name} up")


def _delete_request(name: str, index: int) -> Request:
    payload = _IFINFOMSG.pack(0, 0, index, 0, 0)
    return Request(rtnl.DELLINK, 0, payload, f"removing interface {name}", GONE)


def _write(family: str, interface: str, setting: str, value: str) -> str:
    """Set a sysctl of an interface; return what it was, empty if it cannot be set."""
    path = _SYSCTLS / family / "conf" / interface / setting
    try:
        before = path.read_text().strip()
        if before != value:
            path.write_text(value)
    except OSError as error:
        logger.debug("%s: %s", path, error.strerror)
        return ""
    return before


Key = tuple[int, int, str]  # VRID, family, base


class Vmacs:
    """The interfaces made here; all are removed at the end, settings of their bases restored."""

    def __init__(self, kernel: Kernel, links: Links) -> None:
        self._kernel, self._links = kernel, links
        self._names: dict[Key, str] = {}
        self._bases: dict[str, dict[str, str]] = {}  # base -> settings as they were

    def name_of(self, instance: VrrpInstance, base: str = "") -> str:
        """Return the interface that carries VIPs meant for `base` (empty: the instance's)."""
        base = base or instance.interface
        return self._names.get((instance.vrid, instance.family, base), base)

    def find(self, instance: VrrpInstance) -> None:
        """Take the interfaces that another process has made for an instance for its own."""
        for base in bases_of(instance):
            name = self._wanted_name(instance, base, set())
            if self._links.index_of(name):
                self._names[instance.vrid, instance.family, base] = name

    def make(self, instance: VrrpInstance) -> list[str]:
        """Make and set up an instance's interfaces; return what was refused."""
        refused = []
        for base in bases_of(instance):
            if self._links.index_of(base):
                refused += self._make(instance, base)
        return refused

    @staticmethod
    def _wanted_name(instance: VrrpInstance, base: str, others: set[str]) -> str:
        if base != instance.interface:
            return f"{instance.vmac.addr_prefix}.{instance.vrid}.{base}"[:_NAME_LEN]
        return vmac_name(instance, others)

    def _make(self, instance: VrrpInstance, base: str) -> list[str]:
        key, base_index = (instance.vrid, instance.family, base), self._links.index_of(base)
        others = {name for other, name in self._names.items() if other != key}
        name = self._wanted_name(instance, base, others)
        link = self._links.by_name.get(name)
        if link is not None and link.parent != base_index:
            return [f"interface {name} is there already, and not on {base}"]
        if link is not None and link.mac != virtual_mac(instance):
            self._kernel.apply([_delete_request(name, link.index)])
            link = None
        refused = []
        if link is None:
            refused = self._kernel.apply([create_request(instance, name, base_index)])
        if refused:
            return refused
        self._names[key] = name
        self._settings(instance, base, name)
        self._links.drain()
        index = self._links.index_of(name)
        refused = self._kernel.apply([_up_request(name, index)])
        if instance.family != AF_INET:
            refused += self._kernel.apply(self._link_local(base_index, index))
        if own := instance.vmac.ipvlan_addr:
            request = add_address(Address(own, len(own) * 8), index)
            refused += self._kernel.apply([request])
        self._links.drain()
        return refused

    def _settings(self, instance: VrrpInstance, base: str, name: str) -> None:
        addresses = (*instance.addresses, *instance.excluded)
        if instance.family == AF_INET:
            if all(len(address.addr) == 4 for address in addresses):
                _write("ipv6", name, "disable_ipv6", "1")
            for setting, value in _OURS.items():
                _write("ipv4", name, setting, value)
        _write("ipv6", name, "addr_gen_mode", "1")
        before = self._bases.setdefault(base, {})
        for setting, value in _BASE.items():
            before.setdefault(setting, _write("ipv4", base, setting, value))

    def _link_local(self, base: int, index: int) -> list[Request]:
        """Give the interface its base's link-local address, never chosen as a source."""
        for addr in self._links.addresses.get(base, {}):
            if addr[:2] == _LINK_LOCAL and len(addr) == 16:
                return [add_address(Address(addr, 64, preferred_lft_s=0), index)]
        return []

    def remove(self, instance: VrrpInstance) -> None:
        """Remove an instance's interfaces; with the last one of a base restore its settings."""
        mine = [key for key in self._names if key[:2] == (instance.vrid, instance.family)]
        for key in mine:
            if key[2] not in bases_of(instance):
                continue
            name, base = self._names.pop(key), key[2]
            if index := self._links.index_of(name):
                self._kernel.apply([_delete_request(name, index)])
            if any(other[2] == base for other in self._names):
                continue
            for setting, value in self._bases.pop(base, {}).items():
                if value:
                    _write("ipv4", base, setting, value)


def bases_of(instance: VrrpInstance) -> list[str]:
    """Return the interfaces on which an instance has one of its own."""
    if instance.vmac.kind is VmacKind.NONE:
        return []
    addresses = (*instance.addresses, *instance.excluded)
    wanted = {
        address.device
        for address in addresses
        if address.device and (instance.vmac.on_addresses or address.use_vmac)
    }
    return [instance.interface, *sorted(wanted - {instance.interface})]
