"""What of a configuration cannot work on a host where IPv6 is disabled."""

from __future__ import annotations

import socket
from pathlib import Path

from lbfast.model import AF_INET6
from lbfast.model.configuration import Configuration

SETTING = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")  # not there: ipv6.disable at boot
_SHOWN = 3


def complaint(configuration: Configuration, setting: Path = SETTING) -> str:
    """Returns one sentence about a disabled IPv6 that the configuration needs, else ""."""
    if not _is_disabled(setting):
        return ""
    needed = sorted({socket.inet_ntop(AF_INET6, addr) for addr in _addresses(configuration)})
    if not needed:
        return ""
    more = f" and {len(needed) - _SHOWN} more" if len(needed) > _SHOWN else ""
    return (
        f"IPv6 is disabled on this host (net.ipv6.conf.all.disable_ipv6), expected it enabled for "
        f"{', '.join(needed[:_SHOWN])}{more}: IPv4 goes on alone"
    )


def _is_disabled(setting: Path) -> bool:
    try:
        return setting.read_text().strip() != "0"
    except OSError:
        return True


def _addresses(configuration: Configuration) -> set[bytes]:
    """Returns the IPv6 addresses of instances, virtual services and real servers."""
    found = {
        address.addr
        for instance in configuration.vrrp.instances
        for address in (*instance.addresses, *instance.excluded)
    }
    for service in configuration.check.services:
        found |= {each.key.addr for each in service.services if not each.key.fwmark}
        found |= {each.server.key.addr for each in service.servers}
    return {addr for addr in found if len(addr) == 16}
