"""VRRP at work: the state machines joined to sockets, timers, addresses and scripts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from lbfast.model.vrrp import Notify, VrrpConfig, VrrpInstance
from lbfast.vrrp import ways
from lbfast.vrrp.actions import (
    Action,
    AddAddresses,
    Announce,
    Enter,
    LowerHeard,
    PriorityChanged,
    RemoveAddresses,
    Say,
    SendAdvert,
    State,
)
from lbfast.vrrp.announcer import Announcer, Settled, at_once
from lbfast.vrrp.clock import Clock
from lbfast.vrrp.host import Host
from lbfast.vrrp.listener import Listener
from lbfast.vrrp.missed import unnoticed
from lbfast.vrrp.notifier import Notifier
from lbfast.vrrp.packet import Advert
from lbfast.vrrp.reload import match
from lbfast.vrrp.router import Router, Task
from lbfast.vrrp.station import Station
from lbfast.vrrp.trackers import Trackers
from lbfast.vrrp.tracking import Key, Kind

logger = logging.getLogger(__name__)

OnState = Callable[[VrrpInstance, State], None]
OnBfd = Callable[[str, bool], None]
_NS_PER_US = 1000
_US_PER_S = 1e6
_ADVERTS = (SendAdvert,)
_ADDRESSES = (AddAddresses, RemoveAddresses, Announce)


class VrrpService:
    """Runs the instances of a configuration in the current network namespace.

    ```
    service = VrrpService(on_state)
    await service.start(config)             # returns once all instances run; needs root
    await service.reload(old, new)          # a master of both stays master, without priority 0
    await service.stop()                    # hands over: priority 0, addresses removed
    ```

    All methods belong to one running event loop; nothing in here blocks on others.  `on_state` is
    called with the instance and the state it has entered, after its addresses are placed or
    removed: the forwarder balances the VIPs of an instance while that state is MASTER, and leaves
    them to the host otherwise, also before the first call.  The last state of an instance is STOP,
    or DELETED or FAULT if a reload has removed it.  `on_bfd` is called with the name of a BFD
    session and whether it is up: at first, with every change, and after a reload.  Addresses are
    announced when `settled`, awaited after `on_state`, returns.
    """

    def __init__(
        self,
        on_state: OnState | None = None,
        on_bfd: OnBfd | None = None,
        settled: Settled = at_once,
    ) -> None:
        self._on_state: OnState = on_state or (lambda instance, state: None)
        self._on_bfd: OnBfd = on_bfd or (lambda name, is_up: None)
        self._settled = settled
        self.config = VrrpConfig()
        self.router = Router(self.config)
        self.stations: dict[str, Station] = {}
        self.trackers: Trackers | None = None
        self.is_running = False
        self.entered_at: dict[str, float] = {}  # wall clock of the last transition
        self._virtual: frozenset[bytes] = frozenset()  # addresses that come and go with instances

    async def start(
        self,
        config: VrrpConfig,
        masters: Mapping[str, float] = MappingProxyType({}),
        sessions_up: frozenset[str] = frozenset(),
    ) -> None:
        """Start all instances of a configuration.

        `masters` is for a process that takes the place of one that was killed: the instances that
        led in it, and when it died (seconds of the monotonic clock).  They go on leading with
        their addresses in place if nobody can have missed their adverts yet; of all others,
        addresses that were left behind are removed.  `sessions_up` are the BFD sessions that were
        up then: they are not down before they have had time to come back.  Raises OSError
        where a socket is refused for want of CAP_NET_RAW or CAP_NET_ADMIN.
        """
        self._loop = asyncio.get_running_loop()
        self.clock = Clock(self._loop, self._due)
        self.host = Host(config.settings)
        self.announcer = Announcer(self.clock, self.host.links, self._settled)
        self.notifier = Notifier(self._loop)
        self.listener = Listener(self._loop, self.host.links, self._heard)
        self.host.links.on_link = self._link_changed
        self.host.links.on_address = self._address_changed
        self.host.links.on_gone = self._way_gone
        self.host.links.on_gap = self._ways_unseen
        self.config = config
        self.router = Router(config)
        self.is_running = True
        self._equip(config.instances)
        self._resumed = unnoticed(config, masters)
        self.host.clear(
            station for name, station in self.stations.items() if name not in self._resumed
        )
        self.host.statics.place(config)
        self.host.links.drain()
        self._connect(None, sessions_up)
        self.host.links.start(self._loop)
        delay_s = self._startup_delay_s()
        if delay_s > 0 and not masters:
            logger.info("instances start in %.3g s", delay_s)
            self._loop.call_later(delay_s, self._begin, self.router)
        else:
            self._begin(self.router)

    def _startup_delay_s(self) -> float:
        settings = self.config.settings
        boot_s = settings.delay_after_boot_us / _US_PER_S - time.clock_gettime(time.CLOCK_BOOTTIME)
        return max(settings.startup_delay_us / _US_PER_S, boot_s)

    def _begin(self, router: Router) -> None:
        """Start whatever has not been started; a reload meanwhile has made its own router."""
        if not self.is_running or router is not self.router:
            return
        self._refresh_stations()
        self._perform(self.router.start(self.clock.now(), resumed=self._resumed))
        self.host.clear(
            station
            for name, station in self.stations.items()
            if name in self._resumed and not station.is_placed
        )

    def _equip(self, instances: Iterable[VrrpInstance]) -> None:
        """Give instances their interfaces and their stations."""
        for instance in instances:
            self.host.prepare(instance)
            station = Station(instance, self.host.links, self.host.vmacs)
            self.stations[instance.name] = station

    def _connect(self, before: Trackers | None, sessions_up: frozenset[str] = frozenset()) -> None:
        """Open what a configuration listens to and looks at."""
        instances = self.config.instances
        self._virtual = frozenset(
            address.addr for each in instances for address in (*each.addresses, *each.excluded)
        ) - {each.source for each in instances}
        if ways.are_tracked(self.config):
            self.host.links.follow_ways()
        self.announcer.configure(self.config)
        self.notifier.configure(self.config)
        self.listener.says_unknown = self.config.settings.log_unknown_vrids
        counters = {name: machine.counters for name, machine in self.router.machines.items()}
        self.listener.configure(self.stations.values(), counters)
        self.trackers = Trackers(
            self.config, self.router.watched(), self.host.links, self._value_changed
        )
        self.trackers.presumed_up = sessions_up
        self._refresh_stations()
        self.trackers.start(self._loop, self.clock, before)

    # -- events

    def _heard(self, name: str, advert: Advert, source: tuple[bytes, int], at_ns: int) -> None:
        tasks = self.router.advert(name, advert, source, at_ns)
        if tasks:
            self._perform(tasks)
        else:  # most adverts only put a deadline off
            self.clock.hasten(self.router.machines[name].deadline)

    def _due(self) -> None:
        """Serve what is due, but first hear what has come in while we were not looking."""
        self.listener.drain()
        now = self.clock.now()
        self.clock.run_agenda(now)
        self._perform(self.router.tick(now))

    def _value_changed(self, key: Key, value: int | None) -> None:
        kind, name = key
        if kind is Kind.BFD:
            self._on_bfd(name, bool(value))
        self._perform(self.router.set_value(key, value, self.clock.now()))

    def _link_changed(self, name: str) -> None:
        if not self.is_running:
            return
        for station in self.stations.values():
            if self.host.needs_vmac(station.instance):
                self.host.prepare(station.instance)
        self.host.statics.link_changed(name)
        self.listener.refresh()
        self._refresh_stations()
        if self.trackers is not None:
            self.trackers.link_changed(name)

    def _address_changed(self, index: int, addr: bytes, is_there: bool) -> None:
        if not self.is_running:
            return
        if addr not in self._virtual:  # our own come in numbers, and change nobody's source
            self._refresh_stations()
        self._static_changed(index, addr, is_there)
        for name, station in self.stations.items():
            if not is_there and station.is_placed and station.tracks(index, addr):
                self._lost(name, "an address")

    def _lost(self, name: str, what: str) -> None:
        logger.warning("(%s) %s was removed by somebody else", name, what)
        self._perform(self.router.lost_address(name, self.clock.now()))

    def _way_gone(self, seen: ways.Seen) -> None:
        """Hear of a route or rule that is gone: ours are removed while nothing is placed."""
        if not self.is_running:
            return
        self.host.statics.gone(seen)
        for name, station in self.stations.items():
            if station.is_placed and station.loses(seen):
                self._lost(name, "a route" if isinstance(seen, ways.SeenRoute) else "a rule")

    def _ways_unseen(self) -> None:
        """Compare with what is there, after news of routes and rules has been lost."""
        if not self.is_running:
            return
        there = list(ways.read_all())
        self.host.statics.restore_missing(there)
        for name, station in self.stations.items():
            if station.is_placed and station.misses(there):
                self._lost(name, "a route or rule")

    def _static_changed(self, index: int, addr: bytes, is_there: bool) -> None:
        """Put a static address back; where that fails, its track group's instances fail."""
        names = self.host.statics.address_changed(index, addr, is_there)
        for group in self.config.track_groups:
            if group.name not in names:
                continue
            for member in group.members:
                cause, now = f"static address of {group.name}", self.clock.now()
                self._perform(self.router.set_cause(member, cause, not is_there, now))

    def _refresh_stations(self) -> None:
        """Let every instance look where its adverts leave from."""
        for name, station in self.stations.items():
            for cause, is_down in station.refresh(self._virtual).items():
                if is_down != (cause in self.router.machines[name].causes):
                    now = self.clock.now()
                    self._perform(self.router.set_cause(name, cause, is_down, now))

    def _arm(self) -> None:
        if self.is_running:
            self.clock.arm(self.router.deadline)

    def set_cause(self, cause: str, is_down: bool) -> None:
        """Add or remove a cause of FAULT of all instances."""
        for name in list(self.router.machines):
            self._perform(self.router.set_cause(name, cause, is_down, self.clock.now()))

    # -- actions

    def _perform(self, tasks: list[Task]) -> None:
        """Do everything: adverts of all instances, then addresses, then what only tells.

        So no router waits for the scripts or the addresses of another.
        """
        for kinds in (_ADVERTS, _ADDRESSES):
            for task in tasks:
                if isinstance(task.action, kinds):
                    self._act(self.stations[task.name], task.action)
        for task in tasks:
            if task.is_group:
                self._group_entered(task)
            elif not isinstance(task.action, (*_ADVERTS, *_ADDRESSES)):
                self._act(self.stations[task.name], task.action)
        self._arm()

    def _act(self, station: Station, action: Action) -> None:
        instance = station.instance
        match action:
            case SendAdvert(priority):
                station.send(priority)
            case AddAddresses():
                self.host.place(station)
            case RemoveAddresses():
                self.host.unplace(station)
            case Announce(repeat, elsewhere):
                self._announce(station, repeat, elsewhere)
            case Enter(state):
                self._entered(instance, state)
            case LowerHeard():
                priority = self.router.machines[instance.name].priority
                self.notifier.lower_heard(instance.name, priority, instance.notify)
            case PriorityChanged(priority):
                state = self.router.machines[instance.name].state
                self.notifier.priority_changed(instance.name, state, priority, instance.notify)
            case Say(text, is_warning):
                level = logging.WARNING if is_warning else logging.INFO
                logger.log(level, "(%s) %s", instance.name, text)

    def _announce(self, station: Station, repeat: int, elsewhere: bool) -> None:
        places = station.places()
        if elsewhere and not station.instance.garp.extra_if_all:
            places = [place for place in places if place[0] != station.home]
        self.announcer.announce(places, repeat, lambda: station.is_placed)

    def _entered(self, instance: VrrpInstance, state: State) -> None:
        self.entered_at[instance.name] = time.time()
        self._on_state(instance, state)
        priority = self.router.machines[instance.name].priority
        self.notifier.entered(instance.name, state, priority, instance.notify)

    def _group_entered(self, task: Task) -> None:
        assert isinstance(task.action, Enter)
        state = task.action.state
        if state is State.INIT:
            return
        logger.info("group (%s) %s", task.name, state)
        notify = next(
            (group.notify for group in self.config.sync_groups if group.name == task.name),
            Notify(),
        )
        self.notifier.entered(task.name, state, 0, notify, is_group=True)

    # -- reload and stop

    async def reload(self, old: VrrpConfig, new: VrrpConfig) -> None:
        """Go from one configuration to another; only differences are felt outside."""
        plan = match(old, new)
        self._retire([instance.name for instance in plan.removed])
        trackers = self.trackers
        if trackers is not None:
            trackers.stop(keeps_bfd=True)
        machines, stations = self.router.machines, self.stations
        groups = {group.config.name: group.state for group in self.router.groups}
        for before, after in plan.kept:
            if machines[before.name].state is State.MASTER:
                stations[before.name].send(machines[before.name].priority)
            self.host.exchange(stations[before.name], after)
        self.config = new
        self.router = Router(
            new, {after.name: machines[before.name] for before, after in plan.kept}
        )
        self.router.remember_groups(groups)
        self.stations = {after.name: stations[before.name] for before, after in plan.kept}
        self._equip(plan.added)
        self.host.statics.place(new)
        self.host.links.drain()
        self._connect(trackers)
        now = self.clock.now()
        for _, after in plan.kept:
            self._perform(self.router.change(after.name, after, now))
        waiting = [name for name, machine in self.router.machines.items() if not machine.started]
        self._perform(self.router.start(now, waiting))
        if new.settings.fifo_states_on_reload:
            self._repeat_states()

    def _retire(self, names: list[str]) -> None:
        """Take instances out of service for good."""
        for name in names:
            has_script = self.stations[name].instance.notify.deleted is not None
            word = State.DELETED if has_script else State.FAULT
            self._perform(self.router.stop([name], word))
            station = self.stations.pop(name)
            station.close()
            self.host.discharge(station.instance)
            self.router.forget(name)

    def _repeat_states(self) -> None:
        for name, machine in self.router.machines.items():
            self.notifier.repeat(name, machine.state, machine.priority)
        for group in self.router.groups:
            self.notifier.repeat(group.config.name, group.state, 0, is_group=True)

    async def stop(self) -> None:
        """Hand over and leave nothing behind; scripts are started, not waited for."""
        if not self.is_running:
            return
        self.host.keeps_addresses = self.config.settings.keep_addresses
        self._perform(self.router.stop())
        self.is_running = False
        if self.trackers is not None:
            self.trackers.stop()
        self.listener.close()
        for station in self.stations.values():
            station.close()
            self.host.discharge(station.instance)
        self.host.statics.place(VrrpConfig())
        self.announcer.close()
        self.notifier.close()
        self.host.close()
        self.clock.close()
