"""Everything that instances track, turned into values for the router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lbfast.model.vrrp import VrrpConfig
from lbfast.vrrp.bfdwatch import BfdWatch
from lbfast.vrrp.clock import Clock
from lbfast.vrrp.files import FileWatch
from lbfast.vrrp.links import Links
from lbfast.vrrp.processes import ProcessWatch
from lbfast.vrrp.scripts import ScriptTracker
from lbfast.vrrp.tracking import Debounce, Key, Kind

OnValue = Callable[[Key, int | None], None]


class Trackers:
    """Scripts, files, processes and interfaces of one configuration."""

    def __init__(
        self, config: VrrpConfig, watched: set[Key], links: Links, on_value: OnValue
    ) -> None:
        """Only what is in `watched` is looked at; BFD sessions run all, others may want them."""
        self._config, self._watched = config, watched
        self._links, self._on_value = links, on_value
        self.scripts: dict[str, ScriptTracker] = {}
        self._files: FileWatch | None = None
        self._processes: ProcessWatch | None = None
        self.presumed_up: frozenset[str] = frozenset()  # BFD sessions of a process before ours
        self._bfd: BfdWatch | None = None
        self._delays = {delay.interface: delay for delay in config.up_down_delays}
        self._debounced: dict[str, Debounce] = {}
        self._clock: Clock | None = None

    def _named(self, kind: Kind) -> set[str]:
        return {name for found, name in self._watched if found is kind}

    def start(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, before: Trackers | None
    ) -> None:
        """Begin; `before` were an older configuration's, and have been stopped."""
        self._clock = clock
        for name in self._named(Kind.INTERFACE):
            self.link_changed(name)
        files, processes = self._named(Kind.FILE), self._named(Kind.PROCESS)
        self._files = FileWatch(
            loop,
            (file for file in self._config.files if file.name in files),
            lambda name, value: self._on_value((Kind.FILE, name), value),
        )
        self._files.start()
        self._processes = ProcessWatch(
            loop,
            (process for process in self._config.processes if process.name in processes),
            lambda name, is_up: self._on_value((Kind.PROCESS, name), int(is_up)),
        )
        self._processes.start()
        self._start_bfd(loop, clock, before.release_bfd() if before else None)
        known = before.known_scripts() if before else {}
        for config in self._config.scripts:
            if config.name in self._named(Kind.SCRIPT):
                self._start_script(loop, ScriptTracker(
                    loop, config, self._script_changed, known.get(config.name)
                ))  # fmt: skip

    def _start_bfd(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, before: BfdWatch | None
    ) -> None:
        self._bfd = BfdWatch(loop, clock, self._config.bfds, self._bfd_changed)
        self._bfd.start(before, self.presumed_up)

    def _bfd_changed(self, name: str, is_up: bool) -> None:
        self._on_value((Kind.BFD, name), int(is_up))

    def release_bfd(self) -> BfdWatch | None:
        """Hand the BFD sessions over: they outlive these trackers."""
        found, self._bfd = self._bfd, None
        return found

    def _start_script(self, loop: asyncio.AbstractEventLoop, tracker: ScriptTracker) -> None:
        self.scripts[tracker.config.name] = tracker
        if tracker.streak.is_up is not None:
            self._script_changed(tracker.config.name, tracker.streak.is_up)
        tracker.start()

    def _script_changed(self, name: str, is_up: bool) -> None:
        self._on_value((Kind.SCRIPT, name), int(is_up))

    def known_scripts(self) -> dict[str, bool | None]:
        """Return what is known of the scripts, for the next configuration."""
        return {name: tracker.streak.is_up for name, tracker in self.scripts.items()}

    def link_changed(self, name: str) -> None:
        """Look at a link; a delay may hold the news back."""
        if name not in self._named(Kind.INTERFACE) or self._clock is None:
            return
        is_up, now = self._links.is_up(name), self._clock.now()
        if name not in self._debounced:
            self._debounced[name] = Debounce(*self._delay_of(name), is_up)
        debounced = self._debounced[name]
        debounced.see(is_up, now)
        if debounced.at is not None:
            self._clock.call_at(debounced.at, lambda: self._link_settled(name))
        self._on_value((Kind.INTERFACE, name), int(debounced.is_up))

    def _delay_of(self, name: str) -> tuple[int, int]:
        """Return down and up delay, kept below what lets others lead meanwhile (spec 2.8)."""
        delay = self._delays.get(name)
        if delay is None:
            return 0, 0
        limit = min(
            (
                (instance.down_timer_adverts - 1) * instance.advert_us - 1
                for instance in self._config.instances
                if instance.interface == name
            ),
            default=delay.down_us + delay.up_us,
        )
        limit = max(0, limit)
        return min(delay.down_us, limit), min(delay.up_us, limit)

    def _link_settled(self, name: str) -> None:
        if self._clock is not None and self._debounced[name].due(self._clock.now()):
            self._on_value((Kind.INTERFACE, name), int(self._debounced[name].is_up))

    def stop(self, *, keeps_bfd: bool = False) -> None:
        """End everything; with `keeps_bfd` somebody takes the BFD sessions over."""
        self._clock = None
        for script in self.scripts.values():
            script.stop()
        if self._files is not None:
            self._files.stop()
        if self._processes is not None:
            self._processes.stop()
        if self._bfd is not None and not keeps_bfd:
            self._bfd.stop()
