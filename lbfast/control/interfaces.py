"""Which interfaces the forwarder takes frames from."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

from lbfast.errors import ControlError

ARPHRD_ETHER = 1
SIOCGIFHWADDR = 0x8927


def _links() -> list[tuple[int, str]]:
    return sorted(socket.if_nameindex())


def _hardware_type(name: str) -> int:
    """Asks the kernel by ioctl: /sys may belong to another network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("=16s24x", name.encode())
        try:
            answer = fcntl.ioctl(probe, SIOCGIFHWADDR, request)
        except OSError:
            return -1
    return int.from_bytes(answer[16:18], sys.byteorder)


def choose(wanted: tuple[str, ...], *, must_exist: bool = True) -> dict[int, str]:
    """Returns {ifindex: name} of the wanted interfaces, or of every Ethernet-like one.

    ControlError names an interface that is not there.
    """
    links = _links()
    if not wanted:
        found = {i: n for i, n in links if n != "lo" and _hardware_type(n) == ARPHRD_ETHER}
        if not found and must_exist:
            raise ControlError("no Ethernet interface in this network namespace, expected one")
        return found
    by_name = {n: i for i, n in links}
    for name in wanted:
        if must_exist and name not in by_name:
            known = ", ".join(n for _, n in links)
            raise ControlError(f"interface {name!r} unknown, expected one of {known}")
    return {by_name[n]: n for n in wanted if n in by_name}
