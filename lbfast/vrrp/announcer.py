"""Sends gratuitous ARPs and neighbour advertisements, at the pace that the configuration asks."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from lbfast.model.vrrp import VrrpConfig
from lbfast.vrrp.clock import Clock
from lbfast.vrrp.frames import announcement
from lbfast.vrrp.garp import Pacer
from lbfast.vrrp.links import Links

logger = logging.getLogger(__name__)

Place = tuple[str, bytes]  # interface, address
Settled = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """The Settled of who has nothing to wait for."""


def _forwards(interface: str) -> bool:
    try:
        path = Path(f"/proc/sys/net/ipv6/conf/{interface}/forwarding")
        return path.read_text().strip() not in ("", "0")
    except OSError:
        return False


class Announcer:
    """One packet socket for all interfaces; it receives nothing.

    Nothing is announced before `settled` returns: who hears of an address sends to it.
    """

    def __init__(self, clock: Clock, links: Links, settled: Settled) -> None:
        self._clock, self._links, self._settled = clock, links, settled
        self._waiting: set[asyncio.Task[None]] = set()
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._pacers: dict[tuple[str, bool], Pacer] = {}
        self._gaps = (0, 0)
        self.sent = 0
        self.failed = 0

    def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        self._sock.close()

    def configure(self, config: VrrpConfig) -> None:
        """Take the minimum gaps; interfaces of a garp_group share theirs."""
        settings = config.settings
        self._gaps = (settings.garp_interval_us, settings.gna_interval_us)
        self._pacers = {}
        for group in config.garp_groups:
            for is_v6, gap in ((False, group.garp_interval_us), (True, group.gna_interval_us)):
                shared = Pacer(gap)
                for name in group.interfaces:
                    self._pacers[name, is_v6] = shared

    def announce(
        self, places: Sequence[Place], repeat: int, is_wanted: Callable[[], bool]
    ) -> None:
        """Send `repeat` rounds over all addresses, while `is_wanted`."""
        task = asyncio.ensure_future(self._announce(places, repeat, is_wanted))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _announce(
        self, places: Sequence[Place], repeat: int, is_wanted: Callable[[], bool]
    ) -> None:
        await self._settled()
        if not is_wanted():
            return
        frames = [(name, self._frame(name, addr), len(addr) == 16) for name, addr in places]
        now = self._clock.now()
        for _ in range(repeat):
            for name, frame, is_v6 in frames:
                at = self._pacer(name, is_v6).next_slot(now)
                if at <= now:
                    self._send(name, frame)
                else:
                    self._later(at, (name, frame), is_wanted)

    def _later(self, at: int, what: tuple[str, bytes], is_wanted: Callable[[], bool]) -> None:
        def act() -> None:
            if is_wanted():
                self._send(*what)

        self._clock.call_at(at, act)

    def _pacer(self, name: str, is_v6: bool) -> Pacer:
        if (name, is_v6) not in self._pacers:
            self._pacers[name, is_v6] = Pacer(self._gaps[is_v6])
        return self._pacers[name, is_v6]

    def _frame(self, name: str, addr: bytes) -> bytes:
        link = self._links.by_name.get(name)
        mac = link.mac if link and len(link.mac) == 6 else b""
        if not mac:
            return b""  # no Ethernet: nobody to tell
        return announcement(mac, addr, is_router=len(addr) == 16 and _forwards(name))

    def _send(self, name: str, frame: bytes) -> None:
        if not frame:
            return
        try:
            self._sock.sendto(frame, (name, 0))
            self.sent += 1
        except OSError as error:
            self.failed += 1
            logger.debug("%s: announcement not sent: %s", name, error.strerror)
