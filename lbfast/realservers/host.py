"""The changes that make a host a real server: addresses, host routes, settings."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lbfast.errors import ControlError
from lbfast.realservers.notes import Notes, Setting, Vip

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_NOARP = 0x80
IFA_F_NODAD = 0x02
RT_SCOPE_LINK, RT_SCOPE_HOST = 253, 254
DUMMY_ADDRESS = "192.0.0.8"  # RFC 7600: for an interface that has to have one
SYSCTLS = Path("/proc/sys")

# Answer ARP only for addresses of the interface asked on; never speak in the name of a VIP.
# IPv6 needs nothing: Linux answers a solicitation only for addresses of that very interface.
QUIET = tuple(
    (f"net.ipv4.conf.{scope}.{name}", value)
    for scope in ("all", "default", "lo")
    for name, value in (("arp_ignore", "1"), ("arp_announce", "2"))
)


def sysctl_path(name: str) -> Path:
    return SYSCTLS / name.replace(".", "/")


def read_sysctl(name: str) -> str:
    return sysctl_path(name).read_text().strip()


def settings_to_raise(names: tuple[tuple[str, str], ...]) -> tuple[Setting, ...]:
    """Return the settings that are lower than they have to be; stricter ones are left alone."""
    found = ((name, read_sysctl(name), wanted) for name, wanted in names)
    return tuple(Setting(name, before, ours) for name, before, ours in found if before < ours)


def apply_setting(setting: Setting) -> None:
    sysctl_path(setting.name).write_text(setting.ours)


def restore_setting(setting: Setting) -> bool:
    """Put a setting back; return False if somebody else has changed it since, or it is gone."""
    with contextlib.suppress(OSError):
        if read_sysctl(setting.name) == setting.ours:
            sysctl_path(setting.name).write_text(setting.before)
            return True
    return False


class Netlink:
    """What is asked of the kernel about addresses and routes, in the words of this task."""

    def __init__(self) -> None:
        self._route: Any = IPRoute()

    def close(self) -> None:
        self._route.close()

    def links(self) -> dict[str, tuple[int, int]]:
        """Return index and flags of every interface, by name."""
        return {
            link.get_attr("IFLA_IFNAME"): (link["index"], link["flags"])
            for link in self._route.get_links()
        }

    def set_up(self, device: str, up: bool) -> None:
        with _told(f"setting {device} {'up' if up else 'down'}"):
            self._route.link("set", index=self.links()[device][0], state="up" if up else "down")

    def add_dummy_address(self, device: str) -> None:
        """Give an interface an address: without any, even a loose rp_filter lets nothing in."""
        index = self.links()[device][0]
        with _told(f"adding {DUMMY_ADDRESS} to {device}"):
            self._route.addr(
                "add", index=index, address=DUMMY_ADDRESS, prefixlen=32, scope=RT_SCOPE_HOST
            )

    def remove_dummy_address(self, device: str) -> None:
        if device in self.links():
            with _told(f"removing {DUMMY_ADDRESS} from {device}", missing_ok=True):
                index = self.links()[device][0]
                self._route.addr("del", index=index, address=DUMMY_ADDRESS, prefixlen=32)

    def has_ipv4(self, device: str) -> bool:
        """Return whether an interface has any IPv4 address."""
        holders = self.holders().items()
        return any(":" not in address and device in dict(at) for address, at in holders)

    def holders(self) -> dict[str, list[tuple[str, str]]]:
        """Return for each address the interfaces that carry it, with its label."""
        names = {index: name for name, (index, _) in self.links().items()}
        found: dict[str, list[tuple[str, str]]] = {}
        for message in self._route.get_addr():
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            address = str(ipaddress.ip_address(text))
            label = message.get_attr("IFA_LABEL") or ""
            found.setdefault(address, []).append((names[message["index"]], label))
        return found

    def add_vip(self, vip: Vip) -> None:
        """Put the address, and for IPv4 the host route, where the notes say."""
        index = self.links()[vip.device][0]
        if vip.own_address:
            extra = {"flags": IFA_F_NODAD} if vip.is_v6 else {"label": vip.label}
            with _told(f"adding {vip.address} to {vip.device}"):
                self._route.addr(
                    "add", index=index, address=vip.address, prefixlen=_length(vip), **extra
                )
        if vip.own_route:
            with _told(f"adding the host route to {vip.address}"):
                self._route.route("add", dst=f"{vip.address}/32", oif=index, scope=RT_SCOPE_LINK)

    def remove_vip(self, vip: Vip) -> None:
        """Take away what `add_vip` put; what is gone already is not missed."""
        device = self.links().get(vip.device)
        if device is None:
            return
        if vip.own_route:
            with _told(f"removing the host route to {vip.address}", missing_ok=True):
                self._route.route(
                    "del", dst=f"{vip.address}/32", oif=device[0], scope=RT_SCOPE_LINK
                )
        if vip.own_address:
            with _told(f"removing {vip.address} from {vip.device}", missing_ok=True):
                self._route.addr(
                    "del", index=device[0], address=vip.address, prefixlen=_length(vip)
                )

    def has_host_route(self, address: str) -> bool:
        """Return whether the main table has a route to this one IPv4 address."""
        routes = self._route.get_routes(family=2, table=254)
        return any(r.get_attr("RTA_DST") == address and r["dst_len"] == 32 for r in routes)


def undo_settings(notes: Notes) -> tuple[Notes, list[str]]:
    """Put the settings back, the last one first; return what somebody else has changed."""
    foreign = [s.name for s in reversed(notes.settings) if not restore_setting(s)]
    return replace(notes, settings=()), foreign


def _length(vip: Vip) -> int:
    return 128 if vip.is_v6 else 32


@contextlib.contextmanager
def _told(what: str, missing_ok: bool = False) -> Iterator[None]:
    """Turn the kernel's refusal into a sentence."""
    try:
        yield
    except NetlinkError as error:
        if missing_ok and error.code in (errno.EADDRNOTAVAIL, errno.ESRCH, errno.ENODEV):
            return
        raise ControlError(f"{what}: {error.args[1]}") from error
