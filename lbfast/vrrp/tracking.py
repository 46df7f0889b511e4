"""What tracked objects do to an instance's priority, and when they count (spec 4.9, 2.8)."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lbfast.model.vrrp import OWNER_PRIORITY, Track, Tracking, VrrpConfig, VrrpInstance
from lbfast.vrrp.actions import NS_PER_US

LOWEST, HIGHEST = 1, 254
FAULT_SUM = -254  # a file's value times its weight that means FAULT


class Kind(enum.StrEnum):
    INTERFACE = "interface"
    SCRIPT = "script"
    FILE = "file"
    PROCESS = "process"
    BFD = "bfd"


Key = tuple[Kind, str]
Values = Mapping[Key, int | None]  # 1 up, 0 down, None not known yet; a file: its number


@dataclass(frozen=True, slots=True)
class Effect:
    """What one tracked object does."""

    delta: int = 0
    is_fault: bool = False
    is_waited_for: bool = False


def effect(kind: Kind, track: Track, value: int | None) -> Effect:
    """Return the row of the table of spec 4.9 for one object."""
    weight = -track.weight if track.reverse else track.weight
    if value is None:
        return Effect(is_waited_for=track.weight == 0)
    if kind is Kind.FILE:
        if track.weight == 0:
            return Effect(is_fault=(value == 0) == track.reverse)
        total = value * weight
        return Effect(total, is_fault=total <= FAULT_SUM)
    if track.weight == 0:
        return Effect(is_fault=bool(value) == track.reverse)
    counts = bool(value) == (track.weight > 0)  # rewards while up, penalties while down
    return Effect(weight if counts else 0)


def tracks(tracking: Tracking) -> Iterator[tuple[Kind, Track]]:
    """Yield every line of a block."""
    for kind, lines in (
        (Kind.INTERFACE, tracking.interfaces),
        (Kind.SCRIPT, tracking.scripts),
        (Kind.FILE, tracking.files),
        (Kind.PROCESS, tracking.processes),
        (Kind.BFD, tracking.bfds),
    ):
        for track in lines:
            yield kind, track


def leaned_on(config: VrrpConfig, instance: VrrpInstance) -> set[str]:
    """Return the interfaces whose loss means FAULT as they carry something that is tracked.

    They are those of addresses elsewhere, of routes and of rules, and of static items whose
    `track_group` the instance is in.
    """
    groups = {group.name for group in config.track_groups if instance.name in group.members}
    addresses = [
        each
        for each in (*instance.addresses, *instance.excluded)
        if each.track and each.device != instance.interface
    ]
    addresses += [each for each in config.static_addresses if each.track_group in groups]
    routes = [route for route in instance.routes if route.track]
    routes += [route for route in config.static_routes if route.track_group in groups]
    rules = [rule for rule in instance.rules if rule.track]
    rules += [rule for rule in config.static_rules if rule.track_group in groups]
    names = {each.device for each in addresses} | {each.device for each in routes}
    return (names | {rule.iif for rule in rules} | {rule.oif for rule in rules}) - {""}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all tracked objects of an instance come to."""

    priority: int
    causes: frozenset[str]
    waiting: frozenset[str]


def judge(base: int, lines: list[tuple[Kind, Track]], values: Values) -> Verdict:
    """Add up the effects on the configured priority `base`; an owner's never changes."""
    total = base
    causes, waiting = set(), set()
    for kind, track in lines:
        found = effect(kind, track, values.get((kind, track.name)))
        total += found.delta
        if found.is_fault:
            causes.add(f"{kind} {track.name}")
        if found.is_waited_for:
            waiting.add(f"{kind} {track.name}")
    priority = base if base == OWNER_PRIORITY else min(max(total, LOWEST), HIGHEST)
    return Verdict(priority, frozenset(causes), frozenset(waiting))


class Streak:
    """A script's state: `rise` successes in a row make it up, `fall` failures down."""

    __slots__ = ("_count", "fall", "is_up", "rise")

    def __init__(self, rise: int, fall: int, is_up: bool | None) -> None:
        self.rise, self.fall = rise, fall
        self.is_up = is_up  # None: not known; the first result decides
        self._count = 0

    def result(self, is_good: bool) -> bool:
        """Take a result; return whether the state has changed."""
        if self.is_up is None:
            self.is_up = is_good
            return True
        if is_good == self.is_up:
            self._count = 0
            return False
        self._count += 1
        if self._count < (self.rise if is_good else self.fall):
            return False
        self.is_up, self._count = is_good, 0
        return True


class Debounce:
    """A link state that must last before it counts (`interface_up_down_delays`)."""

    __slots__ = ("_down_ns", "_up_ns", "at", "is_up", "seen")

    def __init__(self, down_us: int, up_us: int, is_up: bool) -> None:
        self._down_ns, self._up_ns = down_us * NS_PER_US, up_us * NS_PER_US
        self.is_up = self.seen = is_up
        self.at: int | None = None  # when the state that is seen will count

    def see(self, is_up: bool, now_ns: int) -> bool:
        """Take what the kernel says; return whether the state that counts has changed."""
        if is_up != self.seen:
            self.seen = is_up
            wait = self._up_ns if is_up else self._down_ns
            self.at = None if is_up == self.is_up else now_ns + wait
        return self.due(now_ns)

    def due(self, now_ns: int) -> bool:
        """Return whether the state that counts changes now."""
        if self.at is None or self.at > now_ns:
            return False
        self.is_up, self.at = self.seen, None
        return True


def process_is_up(count: int, quorum: int, quorum_max: int | None) -> bool:
    """Say whether so many matching processes are what `quorum` and `quorum_max` ask for."""
    return count >= quorum and (quorum_max is None or count <= quorum_max)
