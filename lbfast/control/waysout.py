"""Where workers transmit what is not simply a frame for the wire, interface by interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from lbfast.control.giveback import WAYS, GiveBack
from lbfast.control.localserver import LocalServers

Sockets = dict[int, tuple[str, int, bool]]  # ifindex: on which interface, SO_MARK, to lo's MAC


class WaysOut:
    """The ways back to the host, on from the host, and of tunnelled super-frames.

    `interfaces` maps ifindex to name; `lo_up`: whether `lo` is, by which frames are given back.
    """

    def __init__(self, interfaces: Mapping[int, str], director: str, *, lo_up: bool) -> None:
        self._interfaces = dict(interfaces)
        self.lo_up = lo_up
        self._giveback = GiveBack(interfaces, director=director)
        self._local = LocalServers(interfaces, self._attaching())
        self.set_servers = self._local.set_servers

    def _attaching(self) -> str:
        """Returns how programs are attached; the least able way of all interfaces decides."""
        ways = set(self._giveback.describe().values())
        least = next((way for way in reversed(WAYS) if way in ways), WAYS[0])
        return least.removeprefix("lo-")

    def sockets(self) -> tuple[Sockets, Sockets, Sockets]:
        """Returns where is transmitted what goes back to the host, what goes on from it, and
        tunnelled super-frames; without an entry an interface does not take these whole."""
        host, onward, wrap = {}, {}, {}
        for ifindex in self._interfaces:
            out, mark, mac = self._giveback.tx(ifindex)
            host[ifindex] = (socket.if_indextoname(out), mark, mac is not None)
            out, mark = self._local.tx_pass(ifindex)
            onward[ifindex] = (socket.if_indextoname(out), mark, False)
            if way := self._giveback.tx_wrap(ifindex):
                wrap[ifindex] = (socket.if_indextoname(way[0]), way[1], False)
        return host, onward, wrap

    def add_interface(self, ifindex: int, name: str) -> None:
        self._interfaces[ifindex] = name
        self._giveback.add_interface(ifindex, name)
        self._local.add_interface(ifindex, name)

    def remove_interface(self, ifindex: int) -> None:
        self._interfaces.pop(ifindex, None)
        self._giveback.remove_interface(ifindex)
        self._local.remove_interface(ifindex)

    def follow_lo(self, lo_up: bool) -> str:
        """Chooses the ways back again, and says in words which they are."""
        self.lo_up = lo_up
        for ifindex, name in self._interfaces.items():
            self._giveback.add_interface(ifindex, name)
        ways = ", ".join(sorted(set(self._giveback.describe().values())))
        return f"lo is {'up' if lo_up else 'down'}: frames are given back by {ways}"

    def obstacles(self) -> list[str]:
        """Returns one sentence for each thing that is in the way of giving back."""
        return self._giveback.obstacles()

    def close(self) -> None:
        self._local.close()
        self._giveback.close()
