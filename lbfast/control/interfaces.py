"""Which interfaces the forwarder takes frames from."""

from __future__ import annotations

from collections.abc import Iterable

from lbfast.control.links import Link
from lbfast.errors import ControlError


def choose(links: Iterable[Link], wanted: tuple[str, ...]) -> dict[int, str]:
    """Returns {ifindex: name} of the wanted interfaces, or of every Ethernet-like one.

    Left out of the latter: ports of a bridge or bond (their master has the addresses) and VLAN
    interfaces (their frames are seen, tagged, on the interface below).
    """
    if wanted:
        return {link.ifindex: link.name for link in links if link.name in wanted}
    return {
        link.ifindex: link.name
        for link in links
        if link.ethernet and not link.master and not link.vlan_id and link.name != "lo"
    }


def check(links: Iterable[Link], wanted: tuple[str, ...]) -> None:
    """Raises ControlError that names a wanted interface that is not there, or that none is."""
    names = [link.name for link in links]
    for name in wanted:
        if name not in names:
            raise ControlError(f"interface {name!r} unknown, expected one of {', '.join(names)}")
    if not choose(links, wanted):
        raise ControlError("no Ethernet interface in this network namespace, expected one")
