"""Which interfaces the forwarder takes frames from."""

from __future__ import annotations

import socket

from lbfast.control.links import Link, steerable
from lbfast.errors import ControlError


def choose(links: dict[int, Link], wanted: tuple[str, ...]) -> dict[int, str]:
    """Returns {ifindex: name} of the wanted interfaces, or of all that can be steered."""
    if not wanted:
        return steerable(links)
    return {link.ifindex: link.name for link in links.values() if link.name in wanted}


def check(links: dict[int, Link], wanted: tuple[str, ...]) -> None:
    """Raises ControlError that names a wanted interface that is not there, or that none is."""
    names = [link.name for link in links.values() if link.ethernet and link.name != "lo"]
    _require(wanted, names)
    if not choose(links, wanted):
        raise ControlError("no Ethernet interface in this network namespace, expected one")


def check_names(wanted: tuple[str, ...]) -> None:
    """Raises ControlError that names a wanted interface that is not there: what can be judged
    before anything is made."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    _require(wanted, names)


def _require(wanted: tuple[str, ...], names: list[str]) -> None:
    known = f"expected one of {', '.join(names)}" if names else "this network namespace has none"
    for name in wanted:
        if name not in names:
            raise ControlError(f"interface {name!r} unknown, {known}")
