"""The checker process's work: every check of a configuration on one event loop.

    checks = HealthChecks()
    await checks.start(configuration, balancer)      # inside a running event loop
    await checks.reload(old, new)                    # keeps what is known of what did not change
    checks.bfd("session", is_up=False)               # from whoever runs BFD sessions
    print(checks.dump())                             # what keepalived writes on SIGUSR1
    await checks.stop()

`configuration` is a `lbfast.model.check.CheckConfiguration`, `balancer` anything with the methods
of `lbfast.control.api.Balancer`.  The class opens and closes everything else by itself: sockets,
FIFOs, the watch of files and of the host's addresses, mails.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
from collections import deque
from collections.abc import Callable, Iterable

from lbfast.check import dump
from lbfast.check.actions import Action, Edit
from lbfast.check.base import Result
from lbfast.check.effects import Known, ServiceStatus
from lbfast.check.inherit import inhibited, resolve, schedule_of
from lbfast.check.kinds import Surroundings
from lbfast.check.names import server_name, service_name
from lbfast.check.running import EventCheck, Identity, Key, Owner, RunningCheck, Subscriber, Watch
from lbfast.check.sources import Sources
from lbfast.check.state import Change
from lbfast.check.table import Balancer, Table
from lbfast.check.world import World
from lbfast.errors import ConfigError
from lbfast.model import RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.check import (
    BfdCheck,
    CheckConfiguration,
    CheckedServer,
    CheckedService,
    FileCheck,
)

logger = logging.getLogger(__name__)

FIRST_S = 1.0  # from the start to the earliest first attempt (spec 3.2)
_AT_ONCE = 50  # actions of a configuration before the loop gets a turn
_RESTORE_S = 1.0  # between attempts to reach a balancer that is away


class HealthChecks:
    """Runs the checks of one configuration and does to the table what follows from them."""

    def __init__(self, addresses: Callable[[], frozenset[bytes]] | None = None) -> None:
        """`addresses` returns the host's own addresses, if the kernel is not to be asked."""
        self._read_addresses = addresses
        self.services: dict[Owner, ServiceStatus] = {}
        self.checks: dict[Key, Watch] = {}
        self._plans: dict[Owner, list[tuple[ServerKey, Key]]] = {}
        self._restorer: asyncio.TimerHandle | None = None
        self._outbox: deque[Action] = deque()  # in the order in which it is to be done
        self._is_draining = False
        self._drainer: asyncio.Task[None] | None = None

    # from start to stop

    async def start(
        self, configuration: CheckConfiguration, balancer: Balancer, *, resume: bool = False
    ) -> None:
        """Fills the table and begins to check; the first attempts come a second later or more.

        With `resume`, after a crash of this process alone, servers that are missing in services
        which the table still holds count as down until a check succeeds.  Raises OSError where
        the host's addresses cannot be had though `ha_suspend` asks for them.
        """
        _raise_file_limit()
        self._loop = asyncio.get_running_loop()
        self._table = Table(balancer)
        self._sources = Sources(self._loop, self._read_addresses)
        self._world = World(self._loop, configuration.settings)
        settings = configuration.settings
        if settings.lvs_flush:
            self._table.flush()
        if settings.lvs_timeouts is not None:
            self._table.set_timeouts(settings.lvs_timeouts)
        self._subscribe(configuration)
        if resume:
            self._resume(configuration)
        for service in configuration.services:
            status = self.services[service.key] = ServiceStatus(service, settings)
            self._outbox += status.start(self._known(service))
        await self._drain()
        if resume:  # servers of before that ought not to be there now, say a sorry server
            self._outbox += self._table.missing(self._desired()) or ()
            await self._drain()
        self._begin()

    async def reload(self, old: CheckConfiguration, new: CheckConfiguration) -> None:
        """Goes over to another configuration; `old` is the one that runs.

        A check that is the same goes on undisturbed, one whose times alone changed keeps its
        state; edits and scripts are only those that the difference makes.
        """
        before, self.services = self.services, {}
        if old.settings != new.settings:
            self._world = self._world.replaced(new.settings)
        if new.settings.lvs_timeouts not in (None, old.settings.lvs_timeouts):
            assert new.settings.lvs_timeouts is not None
            self._table.set_timeouts(new.settings.lvs_timeouts)
        self._subscribe(new)
        for service in new.services:
            status = self.services[service.key] = ServiceStatus(service, new.settings)
            known = self._known(service)
            was = before.pop(service.key, None)
            self._outbox += status.start(known) if was is None else status.reload(was, known)
        for gone in before.values():
            self._outbox += gone.stop(is_removed=True)
        self._begin()
        await self._drain()

    async def stop(self, *, keep_table: bool = False) -> None:
        """Ends all checks and takes our services out of the table, unless it is kept (-I)."""
        for check in self.checks.values():
            check.stop()
        flush = False
        for status in self.services.values():
            flush |= status.settings.lvs_flush_on_stop == "all"
            for action in status.stop():
                if not keep_table or not isinstance(action, Edit):
                    self._outbox.append(action)
        await self._drain()
        if flush and not keep_table:
            self._table.flush()
        if self._restorer is not None:
            self._restorer.cancel()
            self._restorer = None
        self._sources.close()
        self._world.close()
        self.checks, self.services, self._plans = {}, {}, {}

    def bfd(self, name: str, *, is_up: bool) -> None:
        """Takes the state of a BFD session."""
        result = Result(is_up, "" if is_up else f"BFD session {name} is down")
        for key, check in self.checks.items():
            wanted = key.identity.check
            if isinstance(wanted, BfdCheck) and wanted.name == name:
                assert isinstance(check, EventCheck)
                check.set(result)

    def dump(self) -> str:
        """Returns services, servers and checks with their state, for people to read."""
        return dump.text(self.services.values(), self.checks.values())

    # which checks there are

    def _subscribe(self, configuration: CheckConfiguration) -> None:
        """Makes `checks` what a configuration wants, each check once for all that share it."""
        self._around = Surroundings(self._loop, configuration.settings.tls)
        wanted = self._wanted(configuration)
        kept = {key.identity: check for key, check in self.checks.items()}
        for key in self.checks.keys() - wanted.keys():
            self.checks.pop(key).stop()
        for key, subscribers in wanted.items():
            check = self.checks.get(key)
            if check is None:
                try:
                    check = self._make(key)
                except ConfigError as wrong:
                    logger.warning("%s: checker dropped", wrong)
                    self._drop(key, subscribers)
                    continue
                if key.identity in kept:
                    check.adopt(kept[key.identity])
                self.checks[key] = check
            check.subscribers = subscribers
        self._sources.follow(configuration, self.checks.values())

    def _wanted(self, configuration: CheckConfiguration) -> dict[Key, list[Subscriber]]:
        wanted: dict[Key, list[Subscriber]] = {}
        self._plans = {service.key: [] for service in configuration.services}
        for service in configuration.services:
            owner = service.key if service.ha_suspend else None
            for server in service.servers:
                at = server.server.key
                for checker in server.checkers:
                    check = resolve(service, server, checker, configuration.settings)
                    key = Key(Identity(check, at, owner), schedule_of(service, server, checker))
                    subscriber = Subscriber(service.key, at)
                    if subscriber not in wanted.setdefault(key, []):
                        wanted[key].append(subscriber)
                        self._plans[service.key].append((at, key))
        return wanted

    def _make(self, key: Key) -> Watch:
        if isinstance(key.identity.check, FileCheck | BfdCheck):
            return EventCheck(key, self)
        owner = key.identity.owner
        suspended = None if owner is None else lambda: self._is_suspended(owner)
        return RunningCheck(key, self._around, self, suspended)

    def _drop(self, key: Key, subscribers: list[Subscriber]) -> None:
        for subscriber in subscribers:
            self._plans[subscriber.owner].remove((subscriber.server, key))

    def _begin(self) -> None:
        """Starts the checks that do not run yet, spread over their warmup as keepalived does."""
        for key, check in self.checks.items():
            if not check.is_started:
                check.start(FIRST_S + random.uniform(0.0, key.schedule.warmup_s))

    def _known(self, service: CheckedService) -> list[Known]:
        servers = {server.server.key: server for server in service.servers}
        known = []
        for at, key in self._plans[service.key]:
            check = self.checks[key]
            known.append(Known(at, key, check.is_up, share_of(check, servers[at])))
        return known

    def _is_suspended(self, owner: Owner) -> bool:
        """Says whether none of a service's addresses is local; a mark has no address."""
        vips = [one.key.addr for one in self.services[owner].config.services if one.key.addr]
        return bool(vips) and not any(vip in self._sources.addresses for vip in vips)

    def _resume(self, configuration: CheckConfiguration) -> None:
        """Takes the absence of a server from a service that is there for a check's failure."""
        held = self._table.read()
        for service in configuration.services:
            states = [held[one.key] for one in service.services if one.key in held]
            there = {
                one.server.key: one.server.weight for state in states for one in state.servers
            }
            for server in service.servers if states else ():
                at = server.server.key
                is_down = at not in there or (inhibited(service, server) and not there[at])
                for one, key in self._plans[service.key]:
                    if one == at and is_down:
                        self.checks[key].set_down()

    # what follows

    def heard(self, check: Watch, change: Change, result: Result) -> None:
        """Does what follows from a change of a check, for every service that has it."""
        if change in (Change.DOWN, Change.STILL_DOWN):
            self.say(check, logging.INFO, f" failed: {result.reason}")
        elif change is Change.UP:
            self.say(check, logging.INFO, " succeeded")
        for owner, at in check.subscribers:
            status = self.services[owner]
            share = share_of(check, status.servers[at].config)
            if change is Change.DOWN:
                reason = f"{check.kind} failed on service: {result.reason}"
                self._do(status.down(at, check.key, reason))
            self._do(status.share(at, check.key, share))
            if change is Change.UP:
                self._do(status.up(at, check.key, f"{check.kind} succeeded on service"))
            elif change is Change.STILL_DOWN:
                self._do(status.still_down(at))

    def say(self, check: Watch, level: int, words: str) -> None:
        """Logs words about a check: one line for every server and service that has it."""
        for owner, at in check.subscribers:
            config = self.services[owner].config
            server, service = server_name(config, at), service_name(config)
            logger.log(level, "%s on service %s of %s%s", check.kind, server, service, words)

    def _do(self, actions: Iterable[Action]) -> None:
        """Does what follows from a result, after what is still to be done of a configuration."""
        self._outbox += actions
        if not self._is_draining:
            while self._outbox:
                self._act(self._outbox.popleft())

    async def _drain(self) -> None:
        """Does all that is in the outbox; the loop runs meanwhile, as a table may be large."""
        self._is_draining = True
        try:
            while self._outbox:
                for _ in range(min(_AT_ONCE, len(self._outbox))):
                    self._act(self._outbox.popleft())
                await asyncio.sleep(0)
        finally:
            self._is_draining = False

    def _act(self, action: Action) -> None:
        if isinstance(action, Edit):
            self._table.apply(action)
        else:
            self._world.tell(action)
        if self._table.is_stale and self._restorer is None:
            self._restorer = self._loop.call_later(_RESTORE_S, self._restore)

    def _restore(self) -> None:
        self._restorer = None
        edits = self._table.missing(self._desired())
        if edits is None:
            self._restorer = self._loop.call_later(_RESTORE_S, self._restore)
            return
        logger.info("table reached again, %d edits", len(edits))
        self._outbox += edits
        if not self._is_draining:
            self._drainer = self._loop.create_task(self._drain())

    def restore(self) -> None:
        """Puts the table right at once, for who knows that the balancer has just been started."""
        if self._restorer is not None:
            self._restorer.cancel()
        self._restore()

    def _desired(self) -> dict[ServiceKey, tuple[VirtualService, dict[ServerKey, RealServer]]]:
        return {
            one.key: (one, status.desired())
            for status in self.services.values()
            for one in status.config.services
        }


def share_of(check: Watch, server: CheckedServer) -> int:
    """Returns what a check adds to a server's configured weight."""
    own = 0 if check.weight is None else check.weight - server.server.weight
    return own + check.share


def _raise_file_limit() -> None:
    """Takes as many descriptors as are allowed: each attempt that waits has one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
