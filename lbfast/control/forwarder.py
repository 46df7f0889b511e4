"""The forwarder: data path, rings and everything that keeps them in step, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lbfast.control import arena, capacity, interfaces, steering
from lbfast.control.engine_world import EngineWorld
from lbfast.control.fanout import Fanout
from lbfast.control.giveback import LOOPBACK
from lbfast.control.hostports import host_ports
from lbfast.control.ledger import Ledger
from lbfast.control.links import Link
from lbfast.control.netlink import Follower
from lbfast.control.nft import Rules
from lbfast.control.pacing import Paced
from lbfast.control.scheduler_files import load
from lbfast.control.scheduling import Found, Schedulers
from lbfast.control.server import ControlServer
from lbfast.control.settings import TOA
from lbfast.control.steered import SteeredTables
from lbfast.control.tables import RX_USECS, Rings, open_engine
from lbfast.control.taking import Taking
from lbfast.control.waysout import WaysOut
from lbfast.errors import ControlError
from lbfast.model import Counter
from lbfast.model.marks import FwmarkRule

logger = logging.getLogger("lbfast")

ESTIMATION_S, TRASH_S, WATCH_S, FULL_S = 2.0, 60.0, 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a forwarder is started with."""

    name: str
    control: Path
    interfaces: tuple[str, ...] = ()
    workers: int = 1
    connections: int = 1 << 20
    servers: int = 1 << 15
    services: int = 1 << 14
    rx_usecs: int = RX_USECS
    toa: str | None = None  # one of TOA; None keeps what was set
    scheduler_files: tuple[str, ...] = ()


class Forwarder:
    """One director's data path and control socket.

    `failed` gets the exception of a part that cannot go on.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._interfaces: dict[int, str] = {}
        self._turned_away = 0
        self._standby: frozenset[bytes] = frozenset()
        self._is_up = False
        self._fanout: Fanout | None = None
        self._rings: list[Rings] = []
        self._threads: list[threading.Thread] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._undo: list[Callable[[], object]] = []
        self._is_fresh = False

    async def start(self) -> None:
        """Brings everything up, or raises and leaves nothing behind but what it found."""
        plan = self._plan
        interfaces.check_names(plan.interfaces)
        schedulers = load(plan.scheduler_files)
        fd = self._open_arena()
        try:
            self._open_tables(fd)
            self._world = Follower(EngineWorld(self._engine), self._link_changed)
            await self._world.start()
            self._undo.append(self._world.close)
            interfaces.check(self._links(), plan.interfaces)
            self._interfaces = interfaces.choose(self._links(), plan.interfaces)
            self._ways = WaysOut(self._interfaces, plan.name, lo_up=self._lo_is_up())
            self._undo.append(self._ways.close)
            self._rules = Rules(plan.name, self._interfaces)
            self._start_schedulers(schedulers)
            self._start_fanout()
            self._start_workers()
            self._undo.append(self._stop_workers)
            self._start_taking()
            self._undo.append(self._rules.remove)
            self._server = ControlServer(self._tables, plan.control, arena_fd=fd)
            await self._server.start()
            if self._is_fresh:
                arena.finish_file(plan.name)
        except BaseException:
            await self.stop(keep_arena=not self._is_fresh)
            raise
        self._is_up = True
        self._begin_repeating()
        self._warn()

    async def stop(self, *, keep_arena: bool = False, keep_rules: bool = False) -> None:
        """Takes everything down again: rules, sockets, threads, the arena.

        What is kept, the next start takes over.  Without rules the host answers its connections
        with RST meanwhile.
        """
        for task in self._tasks:
            task.cancel()
        if steer := getattr(self, "_steer", None):
            steer.cancel()
        if server := getattr(self, "_server", None):
            await server.close()
        if keep_rules and self._is_up:
            self._undo.remove(self._rules.remove)
        while self._undo:
            with contextlib.suppress(OSError, ControlError):
                result = self._undo.pop()()
                if isinstance(result, Awaitable):
                    await result
        if not keep_arena:
            arena.remove_file(self._plan.name)

    def standby(self, addresses: frozenset[bytes]) -> None:
        """Leaves what is sent to these addresses to the host, also before the start."""
        self._standby = addresses
        if self._is_up:
            self._tables.set_standby(addresses)

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        """Replaces the rules that mark packets."""
        self._tables.set_marks(rules)

    def describe(self) -> str:
        """Returns one line on what runs."""
        names = ", ".join(self._interfaces.values())
        found = self._engine.found
        after = ""
        if found:
            after = (
                f"; took over {found['services']} services, {found['dests']} servers and "
                f"{found['conns']} connections"
            )
        return f"director {self._plan.name!r} on {names}, pid {os.getpid()}{after}"

    # ---- parts

    def _links(self) -> dict[int, Link]:
        return self._world.links.links

    def _open_arena(self) -> int:
        """Opens what is there, or makes a new file when the tables fit into memory."""
        name = self._plan.name
        asked = self._asked()
        fd = arena.find_file(name)
        if fd >= 0 and not arena.is_of_this_boot(fd):
            os.close(fd)
            fd = -1
        if fd < 0:
            capacity.check(asked, arena.room(), capacity.available())
            fd = arena.make_file(name)
            self._is_fresh = True
        self._undo.append(lambda: os.close(fd))
        there = arena.sizes_in(fd)
        self._sizes = capacity.Sizes(*there[1:]) if there else asked
        for sentence in capacity.unused(asked, self._sizes):
            logger.warning("%s", sentence)
        return fd

    def _asked(self) -> capacity.Sizes:
        return capacity.Sizes(self._plan.connections, self._plan.servers, self._plan.services)

    def _open_tables(self, fd: int) -> None:
        plan, asked = self._plan, self._asked()
        try:
            self._engine = open_engine(
                fd,
                (asked.connections, asked.servers, asked.services),
                workers=plan.workers,
                boot_id=arena.boot_id(),
                now_ns=time.monotonic_ns(),
            )
        except (MemoryError, ValueError) as e:
            raise ControlError(f"{self._sizes.words()}: {e}") from None
        self._host_ports = host_ports()
        self._engine.reserve_ports(*self._host_ports)
        if plan.toa is not None:
            self._engine.set_setting("toa", TOA.index(plan.toa))
        self._steer = Paced(self._steer_now, self._fail)
        self._ledger = Ledger(self._host_ports)
        self._tables = SteeredTables(self._engine, self._ledger, self._steer, self._frames)
        self._tables.begin_standby(self._standby)

    def _steer_now(self) -> None:
        self._taking.follow()

    def _start_taking(self) -> None:
        self._taking = Taking(self._ledger, self._rules, self._ways, self._world.addresses)
        self._taking.fanout = self._fanout
        self._taking.begin(self._tables.whole_plan())

    def _frames(self) -> list[Counter]:
        """Returns what the rings saw since they were opened, summed over the workers."""
        names = ("received", "lost by the kernel", "cut short", "sent", "refused")
        rows: dict[tuple[str, str], int] = {}
        for rings in self._rings:
            for interface, numbers in rings.stats().items():
                for name, number in zip(names, numbers, strict=True):
                    rows[interface, name] = rows.get((interface, name), 0) + number
        return [Counter(*key, number) for key, number in rows.items()]

    def _warn(self) -> None:
        for sentence in self._ways.obstacles():
            logger.warning("%s", sentence)

    def _start_schedulers(self, found: list[Found]) -> None:
        self._schedulers = Schedulers(self._tables, found)
        self._schedulers.start()
        self._undo.append(self._schedulers.stop)

    def _start_fanout(self) -> None:
        if self._plan.workers > 1:
            self._fanout = Fanout(self._engine.spread())
            self._undo.append(self._fanout.close)

    def _start_workers(self) -> None:
        fanout = None
        if self._fanout:
            fanout = (self._fanout.option | os.getpid() & 0xFFFF, self._fanout.program)
        host, onward, wrap = self._ways.sockets()
        for ifindex in self._interfaces:
            self._engine.link_wraps(ifindex, ifindex in wrap)
        pairs = [(name, ifindex) for ifindex, name in self._interfaces.items()]
        for index in range(self._plan.workers):
            rings = Rings(
                pairs, steering.tap_filter(), host, onward, wrap, fanout, self._plan.rx_usecs
            )
            self._rings.append(rings)
            thread = threading.Thread(
                target=self._engine.run, args=(index, rings), name=f"worker-{index}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _stop_workers(self) -> None:
        self._engine.stop()
        for rings in self._rings:
            rings.wake()
        for thread in self._threads:
            thread.join(timeout=5)
        for rings in self._rings:
            rings.close()
        self._rings, self._threads = [], []

    # ---- what is due from time to time

    def _begin_repeating(self) -> None:
        self._every(ESTIMATION_S, self._engine.estimate)
        self._every(WATCH_S, self._defend)
        self._every(TRASH_S, self._empty_trash)
        self._every(WATCH_S, self._watch)
        self._every(FULL_S, self._report_full)

    def _every(self, seconds: float, work: Callable[[], object]) -> None:
        self._tasks.append(asyncio.create_task(self._repeat(seconds, work)))

    async def _repeat(self, seconds: float, work: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            try:
                work()
            except Exception as e:
                self._fail(e)
                raise

    def _fail(self, reason: Exception) -> None:
        if not self.failed.done():
            self.failed.set_result(reason)

    def _defend(self) -> None:
        """Lets the defence strategies know how much memory is left."""
        self._engine.defend(os.sysconf("SC_AVPHYS_PAGES"))

    def _empty_trash(self) -> None:
        self._tables.empty_trash(time.monotonic_ns())

    def _report_full(self) -> None:
        """Says what was turned away for want of room."""
        for (table, option), number in self._tables.turned_away.items():
            size = getattr(self._sizes, option)
            logger.warning(
                "the %s table is full: %d refused, start with more than --%s %d",
                table, number, option, size,
            )  # fmt: skip
        self._tables.turned_away.clear()
        dropped = self._engine.reasons().get("table-full", 0)
        if dropped > self._turned_away:
            logger.warning(
                "the connection table is full: %d packets dropped in %d s, "
                "start with more than --connections %d",
                dropped - self._turned_away,
                FULL_S,
                self._sizes.connections,
            )
        self._turned_away = dropped

    def _link_changed(self, ifindex: int, link: Link | None) -> None:
        """Looks at once when an interface was renamed, as the rules are bound to its name, or lo
        went down or up, by which frames are given back."""
        renamed = link and self._interfaces.get(ifindex, link.name) != link.name
        if renamed or (self._is_up and self._lo_is_up() != self._ways.lo_up):
            asyncio.get_running_loop().call_soon(self._look)

    def _lo_is_up(self) -> bool:
        return LOOPBACK in self._links() and self._links()[LOOPBACK].up

    def _look(self) -> None:
        try:
            self._watch()
        except Exception as e:
            self._fail(e)

    def _watch(self) -> None:
        """Looks for interfaces that came, went or were made anew; rings follow them."""
        if not all(t.is_alive() for t in self._threads):
            raise ControlError("a worker thread ended")
        self._schedulers.watch(time.monotonic())
        self._taking.watch()
        self._tables.find_interfaces()
        present = interfaces.choose(self._links(), self._plan.interfaces)
        lo_up = self._lo_is_up()
        if present == self._interfaces and lo_up == self._ways.lo_up:
            return
        self._stop_workers()
        if present != self._interfaces:
            self._follow_interfaces(present)
        if lo_up != self._ways.lo_up:
            logger.info("%s", self._ways.follow_lo(lo_up))
            self._warn()
        self._engine.restart()
        self._start_workers()

    def _follow_interfaces(self, present: dict[int, str]) -> None:
        gone = {i: n for i, n in self._interfaces.items() if present.get(i) != n}
        new = {i: n for i, n in present.items() if self._interfaces.get(i) != n}
        logger.info(
            "interfaces changed: %s",
            ", ".join([f"-{n}" for n in gone.values()] + [f"+{n}" for n in new.values()]),
        )
        for ifindex in gone:
            self._ways.remove_interface(ifindex)
            with contextlib.suppress(ControlError):
                self._rules.remove_interface(ifindex)
        for ifindex, name in new.items():
            self._ways.add_interface(ifindex, name)
            self._rules.add_interface(ifindex, name)
        self._interfaces = present
