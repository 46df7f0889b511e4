"""The parent: starts the children, watches them, and passes on what they have to know."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from lbfast.model.configuration import Configuration
from lbfast.processes import channel as c
from lbfast.processes import launch
from lbfast.processes.channel import Channel
from lbfast.processes.log import LogSettings
from lbfast.processes.member import Child
from lbfast.processes.ownership import MASTER, standby
from lbfast.processes.supervision import CONFIG_EXIT, FATAL_EXIT, pace
from lbfast.vrrp import leftovers
from lbfast.vrrp.missed import unnoticed_s

logger = logging.getLogger("lbfast")

FORWARDER, VRRP, CHECKER = "forwarder", "vrrp", "checker"
_TICK_S = 0.5
_STOP_S = 5.0  # at least, for a child that was asked to stop; then it is killed


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    name: str
    control: str
    forwarder: dict[str, object]
    log: LogSettings = field(default_factory=LogSettings)
    with_vrrp: bool | None = None  # None: if the configuration has some
    with_check: bool | None = None
    keep_addresses: bool = False
    keep_table: bool = False
    respawn: bool = True


class Family:
    """The children of one director."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        on_pid: Callable[[str, int], None] = lambda kind, pid: None,
    ) -> None:
        """`on_pid` hears the pid of a child that was started, 0 when it has ended for good."""
        self.settings = settings
        self.configuration = configuration
        self._on_pid = on_pid
        self.children = {kind: Child(kind) for kind in (FORWARDER, VRRP, CHECKER)}
        self.states: dict[str, str] = {}
        self.sessions: dict[str, bool] = {}  # of BFD: whether they are up
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._texts: dict[tuple[str, str], asyncio.Future[str]] = {}
        self._register = launch.Register(Path(settings.control).with_name("children"))
        self._orphans = self._register.living()
        self._unclaimed: dict[str, float] = {}  # led by one that died, no word from another yet
        self._is_stopping = False
        self._hellos = 0
        self._pulse: asyncio.Task[None] | None = None

    # ---- from start to stop

    async def start(self) -> None:
        """Starts the forwarder, then who needs it; returns when all of them work.

        Nothing is raised where one cannot: `failed` gets the reason.
        """
        self._pulse = asyncio.create_task(self._beat())
        self._look_at_orphans()
        await self._ensure(FORWARDER)
        await self._ensure_wanted()
        for pid in self._orphans.values():  # of a kind that is not wanted any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _look_at_orphans(self) -> None:
        """Takes the addresses on this host for led, where a process of VRRP's is at work."""
        if (pid := self._orphans.get(VRRP)) and not launch.is_stopped(pid):
            names = leftovers.leading(self.configuration.vrrp)
            self.states = dict.fromkeys(names, MASTER)

    def _wants(self, kind: str) -> bool:
        settings, configuration = self.settings, self.configuration
        if kind == VRRP:
            vrrp = configuration.vrrp
            statics = vrrp.static_addresses or vrrp.static_routes or vrrp.static_rules
            there = bool(vrrp.instances or statics or vrrp.bfds)
            return there if settings.with_vrrp is None else settings.with_vrrp
        there = bool(configuration.check.services)
        return there if settings.with_check is None else settings.with_check

    async def _ensure_wanted(self) -> None:
        for kind in (VRRP, CHECKER):
            if self._wants(kind):
                await self._ensure(kind)
            elif self.children[kind].is_wanted:
                await self._end(self.children[kind])

    async def _ensure(self, kind: str) -> None:
        child = self.children[kind]
        if child.is_wanted or self.failed.done() or self._is_stopping:
            return
        child.is_wanted = True
        await self._spawn(child)
        done = asyncio.ensure_future(child.ready.wait())
        await asyncio.wait((done, self.failed), return_when=asyncio.FIRST_COMPLETED)
        done.cancel()

    def hand_over(self) -> None:
        """Lets VRRP tell the others at once that this director ends; `stop` does the rest."""
        self._is_stopping = True
        self.children[VRRP].send(c.Stop())

    async def stop(self) -> None:
        """Ends the children: VRRP and checks first, then who forwards."""
        self._is_stopping = True
        if self._pulse is not None:
            self._pulse.cancel()
        await asyncio.gather(self._end(self.children[VRRP]), self._end(self.children[CHECKER]))
        if self._unclaimed and not self.settings.keep_addresses:
            self._take_away(self._unclaimed)  # VRRP's process has died and has no successor yet
        await self._end(self.children[FORWARDER])

    async def _end(self, child: Child) -> None:
        child.is_wanted = False
        if child.process is None:
            return
        child.send(c.Stop())
        try:
            async with asyncio.timeout(max(_STOP_S, self.configuration.process.child_wait_time_s)):
                await child.gone.wait()
        except TimeoutError:
            logger.warning("%s does not stop: killed", child.kind)
            self._kill(child)
            await child.gone.wait()
            if child.kind == VRRP and not self.settings.keep_addresses:
                self._take_away(self.states)
        child.was_there = False
        self._on_pid(child.kind, 0)

    # ---- one child

    async def _replace_orphan(self, child: Child, pid: int) -> None:
        """Ends a child of the parent before us: ours goes on in its place."""
        if child.kind == VRRP:
            self._look_at_orphans()
        child.died_at, child.was_there = time.monotonic(), True
        logger.info("%s, pid %d, is an orphan: replaced", child.kind, pid)
        await launch.end(pid)
        self._expect_word(child)

    async def _spawn(self, child: Child) -> None:
        if pid := self._orphans.pop(child.kind, 0):
            await self._replace_orphan(child, pid)
        # before there is a process: `_beat` may look at it while its channel is opened
        child.ready.clear()
        child.gone.clear()
        if child.kind == VRRP:
            child.watch.pace = pace(self.configuration.vrrp)
        child.watch.start(time.monotonic())
        ours, theirs = socket.socketpair()
        with theirs:
            child.process = launch.begin(child.kind, theirs.fileno())
        child.follow(self._await_end(child, child.process))
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except asyncio.CancelledError:
            ours.close()  # the director is stopped: the child finds that nobody wants it
            raise
        child.channel = Channel(reader, writer)
        child.channel.send(self._setup(child))
        child.was_there = True
        logger.info("starting %s, pid %d", child.kind, child.pid)
        self._on_pid(child.kind, child.pid)
        self._register.write({one.kind: one.pid for one in self.children.values() if one.pid})
        child.follow(self._listen(child, child.channel))

    def _setup(self, child: Child) -> c.Setup:
        settings = self.settings
        return c.Setup(
            settings.name,
            settings.control,
            self.configuration,
            dict(settings.forwarder),
            self.standby(),
            child.was_there,
            self._led(child),
            dict(self.sessions),
            settings.log,
            settings.keep_addresses,
            settings.keep_table,
        )

    def _led(self, child: Child) -> dict[str, float]:
        """Returns the instances that led in a child that was killed, and when that was."""
        if not child.was_there:
            return {}
        return {name: child.died_at for name, state in self.states.items() if state == MASTER}

    def standby(self) -> frozenset[bytes]:
        """Returns the addresses that others serve; all are ours where VRRP is not run."""
        if not self._wants(VRRP):
            return frozenset()
        return standby(self.configuration.vrrp, self.states)

    async def _listen(self, child: Child, channel: Channel) -> None:
        while (message := await channel.receive()) is not None:
            match message:
                case c.Hello() if child.ready.is_set():
                    child.watch.answered()
                case c.Hello():
                    child.watch.still_starts()
                case c.Ready(text):
                    logger.info("%s is ready: %s", child.kind, text)
                    self._is_ready(child)
                case c.State(instance, state):
                    self.states[instance] = state
                    self._unclaimed.pop(instance, None)
                case c.Bfd(session, is_up):
                    self.sessions[session] = is_up
                    self.children[CHECKER].send(message)
                case c.Text(what, text):
                    waiting = self._texts.pop((child.kind, what), None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(text)
                case _:
                    pass

    def _is_ready(self, child: Child) -> None:
        if child.kind == FORWARDER:
            child.send(c.Standby(self.standby()))
            self.children[CHECKER].send(c.Restored())
        child.ready.set()

    async def _await_end(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        """Waits for a child's end; starts it again unless that is no use."""
        await launch.ended(process.pid)
        status = process.wait()
        # nobody knows when it stopped working: it was alive when asked the last time
        child.died_at = child.watch.alive_s
        if child.channel is not None:
            child.channel.close()
        child.process, child.channel = None, None
        child.gone.set()
        if not child.is_wanted or self._is_stopping:
            return
        logger.warning("%s, pid %d, ended: %s", child.kind, process.pid, launch.cause(status))
        self._expect_word(child)
        if status in (CONFIG_EXIT, FATAL_EXIT) or not self.settings.respawn:
            self._take_away(self._unclaimed)
            self._fail(f"the {child.kind} cannot run")
            return
        delay_s = child.watch.ended(time.monotonic())
        if delay_s:
            logger.warning("%s is started again in %g s", child.kind, delay_s)
            await asyncio.sleep(delay_s)
        if child.is_wanted and not self._is_stopping:
            await self._spawn(child)

    def _expect_word(self, child: Child) -> None:
        """Plans what is done with addresses of VRRP if no other process takes them in time."""
        if child.kind == VRRP:
            self._unclaimed = self._led(child)

    def _take_overdue(self, now_s: float) -> None:
        """Takes addresses away that another router may lead with from now on."""
        config = self.configuration.vrrp
        overdue = [
            name
            for name, died_at in self._unclaimed.items()
            if now_s >= died_at + unnoticed_s(config, name)
        ]
        if overdue:
            logger.warning("no VRRP process in time: giving up %s", ", ".join(overdue))
            self._take_away(overdue)
            self.children[FORWARDER].send(c.Standby(self.standby()))

    def _take_away(self, names: Collection[str]) -> None:
        """Removes what instances have on this host, in the place of a process that cannot."""
        gone = list(names)
        try:
            leftovers.take_away(self.configuration.vrrp, gone)
        except OSError as failed:
            logger.error("addresses of %s are left: %s", ", ".join(gone), failed)
        for name in gone:
            self._unclaimed.pop(name, None)
            self.states.pop(name, None)

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_result(reason)

    async def _beat(self) -> None:
        """Asks the children whether they are there, again and again."""
        while True:
            tick_s = min(_TICK_S, self.children[VRRP].watch.pace.hello_s / 2)
            planned_s = time.monotonic() + tick_s
            await asyncio.sleep(tick_s)
            now_s = time.monotonic()
            self._take_overdue(now_s)
            late_s = now_s - planned_s
            for child in self.children.values():
                if late_s > tick_s:
                    child.watch.excuse(late_s)  # what kept us may have kept the child as well
                elif child.process is not None:
                    self._look_after(child, now_s)

    def _look_after(self, child: Child, now_s: float) -> None:
        """Kills a child that does not answer, or does not become ready; else says hello."""
        watch, state = child.watch, launch.state_of(child.pid)
        fault = ""
        if not child.ready.is_set():
            if watch.is_slow(now_s):
                fault = f"is not ready after {now_s - watch.started_s:.0f} s"
        elif child.is_hung(state, now_s):
            fault = f"has not answered for {watch.silent_s(now_s):.1f} s"
        if fault:
            words = child.kind, child.pid, fault, launch.in_words(state)
            logger.warning("%s, pid %d, %s, %s: killed", *words)
            self._kill(child)
            watch.given_up()
        elif watch.is_hello_due(now_s):
            self._hellos += 1
            child.ticks = launch.used_ticks(child.pid)
            child.send(c.Hello(self._hellos))
            watch.asked(now_s)

    def _kill(self, child: Child) -> None:
        if child.process is not None:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGKILL)

    # ---- what is asked from outside

    async def reload(self, configuration: Configuration) -> None:
        """Goes over to another configuration; whoever has nothing to do is not disturbed."""
        old, self.configuration = self.configuration, configuration
        names = {instance.name for instance in configuration.vrrp.instances}
        self.states = {name: s for name, s in self.states.items() if name in names}
        sessions = {bfd.name for bfd in configuration.vrrp.bfds}
        self.sessions = {name: up for name, up in self.sessions.items() if name in sessions}
        self._unclaimed = {name: at for name, at in self._unclaimed.items() if name in names}
        self.children[VRRP].watch.pace = pace(configuration.vrrp)
        await self._ensure_wanted()
        for child in self.children.values():
            if _concerns(child.kind, old, configuration):
                child.send(c.Reload(configuration))
        self.children[FORWARDER].send(c.Standby(self.standby()))

    async def ask(self, kind: str, what: str, patience_s: float = 5.0) -> str:
        """Returns a dump of a child; empty if it does not run or does not answer."""
        child = self.children[kind]
        if child.channel is None:
            return ""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._texts[kind, what] = answer
        child.send(c.Ask(what))
        try:
            return await asyncio.wait_for(answer, patience_s)
        except TimeoutError:
            return ""


def _concerns(kind: str, old: Configuration, new: Configuration) -> bool:
    """Returns whether a change of configuration is anything to a kind of child."""
    if kind == FORWARDER:
        return old.marks != new.marks
    if kind == VRRP:
        return old.vrrp != new.vrrp
    return old.check != new.check or old.local_addresses != new.local_addresses
