"""The kernel's neighbours as the data path has them, and keeping alive those it uses."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from lbfast import rtnl
from lbfast.control.world import World

_STALE = 0x04
_VALID = (
    0x80 | 0x40 | 0x10 | 0x08 | _STALE | 0x02
)  # permanent, noarp, probe, delay, stale, reachable
_NTF_USE, _NTF_PROXY = 0x01, 0x08
_NDA_DST = 1

# A neighbour that the data path named this recently is asked for when it goes stale.
_IN_USE_S = 60.0

Key = tuple[int, bytes]  # ifindex, address


class Neighbour(NamedTuple):
    key: Key
    mac: bytes
    state: int  # NUD_*


def neighbour_of(msg: Any) -> Neighbour | None:
    """Reads an RTM_NEWNEIGH or DELNEIGH; None: not a neighbour of IP (a bridge's, a proxy)."""
    if msg["family"] not in (socket.AF_INET, socket.AF_INET6) or msg["flags"] & _NTF_PROXY:
        return None
    text = msg.get_attr("NDA_DST")
    if text is None or ipaddress.ip_address(text).is_multicast:
        return None
    mac = bytes.fromhex((msg.get_attr("NDA_LLADDR") or "").replace(":", ""))
    raw = socket.inet_pton(msg["family"], text)
    return Neighbour((msg["ifindex"], raw), mac, msg["state"])


def use_message(key: Key) -> bytes:
    """Returns the request to treat a neighbour as just used: resolve it, probe it if stale."""
    ifindex, addr = key
    family = socket.AF_INET if len(addr) == 4 else socket.AF_INET6
    payload = struct.pack("=BxxxiHBB", family, ifindex, 0, _NTF_USE, 0)
    payload += rtnl.attribute(_NDA_DST, addr)
    return rtnl.message(rtnl.NEWNEIGH, rtnl.REQUEST | rtnl.CREATE, payload)


class NeighbourTable:
    """Neighbours with a MAC; `use` asks the kernel to resolve or probe one.

    Entries the data path uses are asked for again when they go stale, so that the kernel probes
    them: a neighbour that moved or died is noticed, and none in use is collected.
    """

    def __init__(self, world: World, use: Callable[[Key], None]) -> None:
        self._world = world
        self._use = use
        self._state: dict[Key, tuple[bytes, int]] = {}
        self._used: dict[Key, float] = {}

    def put(self, n: Neighbour, now: float) -> None:
        if len(n.mac) != 6 or not n.state & _VALID:
            self.remove(n.key, now)
            return
        old = self._state.get(n.key)
        self._state[n.key] = (n.mac, n.state)
        if old is None or old[0] != n.mac:
            self._world.neigh_set(*n.key, n.mac)
        if n.state == _STALE and self._in_use(n.key, now):
            self._use(n.key)

    def remove(self, key: Key, now: float) -> None:
        """Forgets a neighbour; asks once more for one in use, which may have another MAC now."""
        if self._state.pop(key, None):
            self._world.neigh_del(*key)
            if self._in_use(key, now):
                self._use(key)

    def keep_only(self, seen: set[Key], now: float) -> None:
        for key in self._state.keys() - seen:
            self.remove(key, now)

    def _in_use(self, key: Key, now: float) -> bool:
        return key in self._used and now - self._used[key] < _IN_USE_S

    def wanted(self, key: Key) -> None:
        """The data path has a packet for a neighbour that it does not know."""
        known = self._state.get(key)
        if known:
            self._world.neigh_set(*key, known[0])
        else:
            self._use(key)

    def used(self, key: Key, now: float) -> None:
        """The data path has sent to a neighbour."""
        self._used[key] = now
        if key in self._state and self._state[key][1] == _STALE:
            self._use(key)

    def forget_unused(self, now: float) -> None:
        """Forgets which neighbours were in use long ago."""
        self._used = {k: t for k, t in self._used.items() if now - t < _IN_USE_S}

    @property
    def known(self) -> dict[Key, bytes]:
        return {key: mac for key, (mac, _) in self._state.items()}
