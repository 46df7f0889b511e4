"""BFD sessions on UDP sockets; tells who tracks them when one comes up or goes down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Iterable

from lbfast.errors import WireError
from lbfast.model.vrrp import BfdInstance
from lbfast.vrrp.bfd import MULTIHOP_PORT, PORT, Session, decode
from lbfast.vrrp.clock import Clock
from lbfast.vrrp.kernel import family_of, text_of

logger = logging.getLogger(__name__)

_TTL = 255
_SOURCE_PORTS = (49152, 65535)  # RFC 5881 4
_IP_RECVTTL, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT, _IP_TTL = 12, 51, 52, 2
_BATCH = 256
RETURN_NS = 5_000_000_000  # a session that was up in a process before ours comes up within this


def port_of(config: BfdInstance) -> int:
    return MULTIHOP_PORT if config.multihop else PORT


class _Running:
    """A session and the socket its packets leave from."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.config = config = session.config
        self.was_up: bool | None = None
        self.sock = socket.socket(family_of(config.neighbor), socket.SOCK_DGRAM)
        try:
            self.sock.setblocking(False)
            level, option = (
                (socket.IPPROTO_IP, socket.IP_TTL)
                if len(config.neighbor) == 4
                else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
            )
            self.sock.setsockopt(level, option, config.ttl)
            self._bind()
        except BaseException:
            self.sock.close()
            raise

    def _bind(self) -> None:
        host = text_of(self.config.source) if self.config.source else ""
        low, high = _SOURCE_PORTS
        for _ in range(16):
            with contextlib.suppress(OSError):
                self.sock.bind((host, low + secrets.randbelow(high - low + 1)))
                return
        self.sock.bind((host, 0))

    def send(self, packets: Iterable[bytes]) -> None:
        for packet in packets:
            with contextlib.suppress(OSError):  # the session's own timer tells what is lost
                # not connected: an ICMP error about one packet would eat the next
                self.sock.sendto(packet, (text_of(self.config.neighbor), port_of(self.config)))

    def end(self) -> None:
        """End the session on purpose: the neighbour is told."""
        self.send([self.session.farewell()])
        self.sock.close()


class BfdWatch:
    """All sessions of a configuration; `on_change` gets a session's name and whether it is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        configs: Iterable[BfdInstance],
        on_change: Callable[[str, bool], None],
    ) -> None:
        self._loop, self._clock, self._on_change = loop, clock, on_change
        self.configs = tuple(configs)
        self._running: list[_Running] = []
        self._listening: list[socket.socket] = []
        self._planned: int | None = None
        self._presumed: frozenset[str] = frozenset()

    def start(
        self, before: BfdWatch | None = None, presumed: frozenset[str] = frozenset()
    ) -> None:
        """Begin all sessions; they are down until the neighbour answers.

        Sessions of `before`, an older configuration's, go on where they are the same; the others
        of it end.  `presumed` were up in a process that was killed just now: nothing is said of
        them until they are up again, or have had the time for it.
        """
        now = self._clock.now()
        known = before._release() if before is not None else {}
        self._presumed = presumed
        if presumed:
            self._clock.call_at(now + RETURN_NS, self._presume_no_more)
        for config in self.configs:
            if config in known:
                self._running.append(running := known.pop(config))
                self._on_change(config.name, running.session.is_up)
                continue
            discriminator = secrets.randbelow(0xFFFFFFFF) + 1
            try:
                self._running.append(_Running(Session(config, discriminator, now)))
            except OSError as error:
                logger.warning("BFD %s: no session: %s", config.name, error.strerror)
                self._on_change(config.name, False)
        for left in known.values():
            left.end()
        for family, port in {(family_of(c.neighbor), port_of(c)) for c in self.configs}:
            self._listen(family, port)
        self._serve()

    def _release(self) -> dict[BfdInstance, _Running]:
        """Stop serving the sessions, and hand them over."""
        self._unlisten()
        found = {running.config: running for running in self._running}
        self._running = []
        return found

    def _presume_no_more(self) -> None:
        self._presumed = frozenset()
        self._serve()

    def _listen(self, family: int, port: int) -> None:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        try:
            sock.bind(("", port))
        except OSError as error:
            sock.close()
            logger.warning("BFD: port %d: %s", port, error.strerror)
            return
        self._listening.append(sock)
        self._loop.add_reader(sock.fileno(), self._readable, sock)

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, ancillary, _, source = sock.recvmsg(256, 64)
            except BlockingIOError:
                break
            except OSError:
                continue
            ttl = next((value[0] for _, kind, value in ancillary if kind in _TTL_KINDS), 0)
            addr = socket.inet_pton(sock.family, source[0].split("%")[0])
            self._heard(data, addr, ttl)
        self._serve()

    def _heard(self, data: bytes, addr: bytes, ttl: int) -> None:
        try:
            packet = decode(data)
        except WireError as error:
            logger.debug("%s", error)
            return
        for running in self._running:
            if running.config.neighbor == addr and ttl >= _TTL - running.config.max_hops:
                now = self._clock.now()
                running.send(running.session.on_packet(packet, now))
                self._tell(running)

    def _serve(self) -> None:
        """Serve what is due and plan the next time."""
        now = self._clock.now()
        for running in self._running:
            at = running.session.deadline
            if at is not None and at <= now:
                running.send(running.session.on_timer(now))
            self._tell(running)
        times = [each.session.deadline for each in self._running]
        nearest = min((at for at in times if at is not None), default=None)
        if nearest is not None and (self._planned is None or nearest < self._planned):
            self._planned = nearest
            self._clock.call_at(nearest, lambda: self._due(nearest))

    def _due(self, at: int) -> None:
        if at == self._planned:
            self._planned = None
            self._serve()

    def _tell(self, running: _Running) -> None:
        is_up = running.session.is_up
        if not is_up and running.config.name in self._presumed:
            return
        self._presumed -= {running.config.name}
        if is_up != running.was_up:
            if running.was_up is not None or is_up:
                word = "up" if is_up else f"down: {running.session.reason}"
                logger.info("BFD %s %s", running.config.name, word)
            running.was_up = is_up
            self._on_change(running.config.name, is_up)

    def stop(self) -> None:
        """End all sessions and tell the neighbours so."""
        for running in self._running:
            running.end()
        self._running.clear()
        self._unlisten()

    def _unlisten(self) -> None:
        for sock in self._listening:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._listening.clear()


_TTL_KINDS = (_IP_TTL, _IPV6_HOPLIMIT)
