"""All instances and sync groups of a configuration as one sans-IO object.

Every method takes an event and `now`, and returns tasks: what to do for which instance, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lbfast.model.vrrp import Track, VrrpConfig, VrrpInstance
from lbfast.vrrp.actions import (
    Action,
    Actions,
    Enter,
    LowerHeard,
    State,
    WantMaster,
)
from lbfast.vrrp.group import Group
from lbfast.vrrp.machine import Machine
from lbfast.vrrp.packet import Advert
from lbfast.vrrp.tracking import Key, Kind, judge, leaned_on, tracks


@dataclass(frozen=True, slots=True)
class Task:
    """An action for an instance, or a state that a group has entered."""

    name: str
    action: Action
    is_group: bool = False


Tasks = list[Task]


class Router:
    """Machines by name, their groups, and the values of what they track."""

    def __init__(self, config: VrrpConfig, kept: dict[str, Machine] | None = None) -> None:
        """Build it; `kept` holds machines of an older configuration under their new names."""
        self.config = config
        self.values: dict[Key, int | None] = {}
        self.machines: dict[str, Machine] = {}
        grouped = {name: group for group in config.sync_groups for name in group.members}
        for instance in config.instances:
            machine = (kept or {}).get(instance.name) or Machine(instance)
            machine.instance = instance
            machine.causes = {cause for cause in machine.causes if not cause.startswith("group ")}
            machine.in_group = instance.name in grouped
            self.machines[instance.name] = machine
        self.groups = [
            Group(group, [self.machines[name] for name in group.members if name in self.machines])
            for group in config.sync_groups
        ]
        self._lines = {instance.name: self._tracks_of(instance) for instance in config.instances}
        self._tasks: Tasks = []

    def _tracks_of(self, instance: VrrpInstance) -> list[tuple[Kind, Track]]:
        """Return what an instance tracks: its own lines, its interfaces, its group's lines."""
        leaned = leaned_on(self.config, instance)
        lines = [
            (kind, track)
            for kind, track in tracks(instance.tracking)
            if kind is not Kind.INTERFACE or track.name not in leaned  # no weight counts then
        ]
        lines += [(Kind.INTERFACE, Track(name)) for name in sorted(leaned)]
        named = {track.name for kind, track in lines if kind is Kind.INTERFACE}
        if instance.track_primary and instance.interface and instance.interface not in named:
            lines.append((Kind.INTERFACE, Track(instance.interface)))
        for group in self.config.sync_groups:
            if instance.name not in group.members:
                continue
            if not group.tracking_weight:  # members' own lines decide about FAULT only
                lines = [(kind, replace(track, weight=0)) for kind, track in lines]
            lines += tracks(group.tracking)
        return lines

    def remember_groups(self, states: dict[str, State]) -> None:
        """Take over what groups of an older configuration were, so that nothing is told twice."""
        for group in self.groups:
            group.state = states.get(group.config.name, group.state)

    def forget(self, name: str) -> None:
        """Drop an instance that has been stopped."""
        machine = self.machines.pop(name)
        for group in self.groups:
            group.members = [member for member in group.members if member is not machine]

    def watched(self) -> set[Key]:
        """Return every object that some instance tracks."""
        return {(kind, track.name) for lines in self._lines.values() for kind, track in lines}

    @property
    def deadline(self) -> int | None:
        """Return when `tick` is to be called next."""
        times = [machine.deadline for machine in self.machines.values()]
        return min((at for at in times if at is not None), default=None)

    # -- events

    def start(
        self,
        now_ns: int,
        names: list[str] | None = None,
        resumed: frozenset[str] = frozenset(),
    ) -> Tasks:
        """Start instances; the values of what they track have been set before.

        Those in `resumed` led until a moment ago and go on.
        """
        for name in names if names is not None else list(self.machines):
            self._judge(name, now_ns)
        for group in self.groups:
            self._spread_faults(group, now_ns)
        for name in names if names is not None else list(self.machines):
            actions = self.machines[name].start(now_ns, resumes=name in resumed)
            self._run(name, actions, now_ns, follows=False)
        return self._finish(now_ns)

    def set_value(self, key: Key, value: int | None, now_ns: int) -> Tasks:
        """Tell what a tracked object is now."""
        if self.values.get(key, _UNSET) == value:
            return []
        self.values[key] = value
        for name, lines in self._lines.items():
            if any((kind, track.name) == key for kind, track in lines):
                self._judge(name, now_ns)
        return self._finish(now_ns)

    def set_cause(self, name: str, cause: str, is_down: bool, now_ns: int) -> Tasks:
        """Add or remove a cause of FAULT that is not a tracked object."""
        self._run(name, self.machines[name].set_cause(cause, is_down, now_ns), now_ns)
        return self._finish(now_ns)

    def advert(self, name: str, advert: Advert, source: tuple[bytes, int], at_ns: int) -> Tasks:
        """Give a checked advert to an instance; `source`: address, order beside our own."""
        self._run(name, self.machines[name].on_advert(advert, *source, at_ns), at_ns)
        return self._finish(at_ns)

    def lost_address(self, name: str, now_ns: int) -> Tasks:
        """Tell that somebody has taken a tracked address or route from a master."""
        for member in self._with_group(name):
            self._run(member, self.machines[member].lost_address(now_ns), now_ns, follows=False)
        return self._finish(now_ns)

    def tick(self, now_ns: int) -> Tasks:
        """Serve the timers that are due."""
        for name, machine in self.machines.items():
            if machine.deadline is not None and machine.deadline <= now_ns:
                self._run(name, machine.on_timer(now_ns), now_ns)
        return self._finish(now_ns)

    def stop(self, names: list[str] | None = None, word: State = State.STOP) -> Tasks:
        """Stop instances: those that lead hand over; all tell `word`."""
        for name in names if names is not None else list(self.machines):
            self._tasks += [Task(name, action) for action in self.machines[name].stop(word)]
        if names is None:
            self._tasks += [
                Task(group.config.name, Enter(word), is_group=True) for group in self.groups
            ]
        tasks, self._tasks = self._tasks, []
        return tasks

    def change(self, name: str, instance: VrrpInstance, now_ns: int) -> Tasks:
        """Give a running instance its new configuration."""
        self._judge(name, now_ns)
        self._run(name, self.machines[name].change(instance, now_ns), now_ns)
        return self._finish(now_ns)

    # -- consequences

    def _judge(self, name: str, now_ns: int) -> None:
        """Let the tracked objects' values act on an instance."""
        machine = self.machines[name]
        base = next(i.priority for i in self.config.instances if i.name == name)
        verdict = judge(base, self._lines[name], self.values)
        self._run(name, machine.set_priority(verdict.priority), now_ns)
        others = {cause for cause in machine.causes if not cause.startswith(_TRACKED)}
        causes = others | verdict.causes
        gone, new = machine.causes - causes, causes - machine.causes
        machine.waiting = set(verdict.waiting)
        for cause in sorted(new):
            self._run(name, machine.set_cause(cause, True, now_ns), now_ns)
        for cause in sorted(gone):
            self._run(name, machine.set_cause(cause, False, now_ns), now_ns)
        self._run(name, machine.set_waiting(set(verdict.waiting), now_ns), now_ns)

    def _with_group(self, name: str) -> list[str]:
        for group in self.groups:
            if name in group.config.members:
                return [member.instance.name for member in group.members]
        return [name]

    def _run(self, name: str, actions: Actions, now_ns: int, *, follows: bool = True) -> None:
        """Collect actions, and let the other members of the group follow."""
        self._tasks += [
            Task(name, action) for action in actions if not isinstance(action, WantMaster)
        ]
        others = [other for other in self._with_group(name) if other != name]
        for action in actions:
            if isinstance(action, Enter) and action.state is State.BACKUP and follows:
                for other in others:
                    if self.machines[other].state is State.MASTER:
                        found = self.machines[other].follow_backup(now_ns)
                        self._run(other, found, now_ns, follows=False)
            elif isinstance(action, LowerHeard):
                for other in others:
                    bursts = self.machines[other].repeat_announcements(now_ns)
                    self._tasks += [Task(other, burst) for burst in bursts]

    def _spread_faults(self, group: Group, now_ns: int) -> None:
        for name, fails in group.failing().items():
            machine = self.machines[name]
            if fails != (group.cause in machine.causes):
                self._run(name, machine.set_cause(group.cause, fails, now_ns), now_ns)

    def _finish(self, now_ns: int) -> Tasks:
        """Let groups decide until nothing changes; return what has been collected."""
        for group in self.groups:
            self._spread_faults(group, now_ns)
            if group.agrees():
                for member in group.members:
                    if member.state is not State.MASTER:
                        self._run(member.instance.name, member.lead(now_ns), now_ns)
            if state := group.new_state():
                self._tasks.append(Task(group.config.name, Enter(state), is_group=True))
        tasks, self._tasks = self._tasks, []
        return tasks


_UNSET = object()
_TRACKED: tuple[str, ...] = tuple(f"{kind} " for kind in Kind)
