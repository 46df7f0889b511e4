"""What steering needs, kept by counting: each edit changes the counts of the elements it touches.

An element of a set may be there for several services and servers; it goes with the last of them.
`difference` tells what changed since `settle`, and costs what was touched, not what is there.

Deleted servers linger while they may have connections, and their methods are remembered while
they are there at all, as the data path does: a NAT server that was edited to direct routing may
have NAT connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lbfast.control.parts import (
    Element,
    Part,
    Slot,
    is_replying,
    is_wanted,
    reply_parts,
    request_parts,
    service_parts,
)
from lbfast.control.steering import (
    HOST_PORTS,
    Difference,
    FamilyPlan,
    MarkRule,
    Shape,
    SteeringPlan,
)
from lbfast.model import AF_INET, AF_INET6, Method, ServerKey, ServiceKey

FAMILIES = (AF_INET, AF_INET6)
Member = tuple[ServiceKey, ServerKey]
Row = tuple[ServiceKey, ServerKey, Method]


@dataclass(frozen=True, slots=True)
class _Server:
    """A real server: the methods it ever had whose replies pass here; whether it is deleted."""

    methods: frozenset[Method] = frozenset()
    is_gone: bool = False


class Ledger:
    """The services and servers of one director, and what they put into the sets of its plan.

    `host_ports` are those that FULLNAT leaves to the host.
    """

    def __init__(self, host_ports: tuple[int, int] = HOST_PORTS) -> None:
        self.host_ports = host_ports
        self._members: dict[ServiceKey, set[ServerKey]] = {}
        self._servers: dict[Member, _Server] = {}
        self._lingering: set[Member] = set()
        self._marks: tuple[MarkRule, ...] = ()
        self._single: dict[str, frozenset[bytes]] = {"laddrs": frozenset(), "standby": frozenset()}
        self._active = dict.fromkeys(FAMILIES, 0)  # number of services
        self._counts: dict[Slot, dict[Element, int]] = {}
        # since `settle`: whether what was touched was counted then, and what was wanted then
        self._was: dict[Slot, dict[Element, bool]] = {}
        self._wanted: dict[Slot, bool] = {}
        self._is_changed = False

    @property
    def is_changed(self) -> bool:
        """Whether there may be a difference."""
        return self._is_changed

    @property
    def has_local(self) -> bool:
        return bool(self._single["laddrs"])

    # ---- edits

    def begin(
        self,
        services: Iterable[ServiceKey],
        servers: Iterable[Row],
        lingering: Iterable[Row],
    ) -> None:
        """Forgets everything and enters these; `lingering` as `set_lingering` has it."""
        Ledger.__init__(self, self.host_ports)
        for service in services:
            self.add_service(service)
        for row in servers:
            self.put_server(*row)
        self.set_lingering(lingering)

    def add_service(self, key: ServiceKey) -> None:
        """Enters a service that is not there."""
        self._members[key] = set()
        self._activate(key.af, 1)
        self._count(service_parts(key), 1)

    def delete_service(self, key: ServiceKey) -> None:
        """Removes a service; its servers linger."""
        for server in list(self._members[key]):
            self.delete_server(key, server)
        del self._members[key]
        self._count(service_parts(key), -1)
        self._activate(key.af, -1)

    def flush(self) -> None:
        for key in list(self._members):
            self.delete_service(key)

    def put_server(self, key: ServiceKey, server: ServerKey, method: Method) -> None:
        """Enters a server of a service, revives it, or gives it another method."""
        self._members[key].add(server)
        self._put((key, server), self._methods((key, server), method), is_gone=False)

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        self._members[key].remove(server)
        self._put((key, server), self._servers[key, server].methods, is_gone=True)

    def set_lingering(self, rows: Iterable[Row]) -> None:
        """Says which methods of which servers linger; deleted servers not among them are over."""
        seen = set()
        for key, server, method in rows:
            member = key, server
            seen.add(member)
            is_gone = server not in self._members.get(key, ())
            self._put(member, self._methods(member, method), is_gone=is_gone)
        for member in self._lingering - seen:
            self._count(self._parts(member), -1)
            self._lingering.remove(member)
            del self._servers[member]

    def set_local(self, addrs: frozenset[bytes]) -> None:
        """Says which local addresses there are."""
        self._set("laddrs", addrs)

    def set_standby(self, addrs: frozenset[bytes]) -> None:
        """Says to which addresses nothing is taken, as another director serves them."""
        self._set("standby", addrs)

    def set_marks(self, rules: Iterable[MarkRule]) -> None:
        self._marks = tuple(rules)
        self._is_changed = True

    # ---- what follows

    def difference(self) -> Difference:
        """Returns what changed since `settle`."""
        removed: dict[Slot, frozenset[Element]] = {}
        added: dict[Slot, frozenset[Element]] = {}
        for slot in self._counts:
            gone, new = self._changes(slot)
            if gone:
                removed[slot] = gone
            if new:
                added[slot] = new
        return Difference(removed, added, {af: self._shape(af) for af in FAMILIES})

    def settle(self) -> None:
        """Takes what there is for done."""
        self._was = {}
        self._wanted = {slot: self._is_wanted(slot) for slot in self._counts}
        self._is_changed = False

    def plan(self) -> SteeringPlan:
        """Returns all that there is now."""
        return SteeringPlan(*(self._family_plan(af) for af in FAMILIES))

    def _family_plan(self, af: int) -> FamilyPlan:
        shape = self._shape(af)
        sets: dict[str, Any] = {
            name: self.elements((family, name)) for family, name in self._counts if family == af
        }
        return FamilyPlan(
            active=shape.active, host_ports=shape.host_ports, marks=shape.marks, **sets
        )

    def has(self, af: int, name: str, element: Element) -> bool:
        """Tells whether the plan has an element in a set."""
        return element in self._counts.get((af, name), ()) and self._is_wanted((af, name))

    def elements(self, slot: Slot) -> frozenset[Element]:
        """Returns what the plan has in a set."""
        return frozenset(self._counts.get(slot, ())) if self._is_wanted(slot) else frozenset()

    # ---- counting

    def _methods(self, member: Member, method: Method) -> frozenset[Method]:
        known = self._servers.get(member, _Server()).methods
        return known | {method} if is_replying(method) else known

    def _put(self, member: Member, methods: frozenset[Method], *, is_gone: bool) -> None:
        new = _Server(methods, is_gone)
        old = self._servers.get(member)
        if new == old:
            return
        before = self._parts(member) if old else []
        self._servers[member] = new
        (self._lingering.add if is_gone else self._lingering.discard)(member)
        self._count(self._parts(member), 1)
        self._count(before, -1)

    def _parts(self, member: Member) -> list[Part]:
        key, server = member
        known = self._servers[member]
        parts = [part for method in known.methods for part in reply_parts(key, server, method)]
        if known.is_gone:
            parts += request_parts(key)
        return parts

    def _set(self, name: str, addrs: frozenset[bytes]) -> None:
        old, self._single[name] = self._single[name], addrs
        self._count((((_family(a), name), a) for a in addrs - old), 1)
        self._count((((_family(a), name), a) for a in old - addrs), -1)

    def _activate(self, af: int, step: int) -> None:
        before = self._active[af]
        self._active[af] += step
        self._is_changed |= not before or not self._active[af]

    def _count(self, parts: Iterable[Part], step: int) -> None:
        for slot, element in parts:
            counts = self._counts.setdefault(slot, {})
            before = counts.get(element, 0)
            after = before + step
            if after:
                counts[element] = after
            else:
                del counts[element]
            if not before or not after:
                self._was.setdefault(slot, {}).setdefault(element, bool(before))
                self._is_changed = True

    def _is_wanted(self, slot: Slot) -> bool:
        af, name = slot
        has_local = bool(self._counts.get((af, "laddrs")))
        return is_wanted(name, active=bool(self._active[af]), has_local=has_local)

    def _changes(self, slot: Slot) -> tuple[frozenset[Element], frozenset[Element]]:
        """Returns what is no longer in a set, and what is in it now."""
        counts, was = self._counts[slot], self._was.get(slot, {})
        wanted, was_wanted = self._is_wanted(slot), self._wanted.get(slot, False)
        touched = was.keys() if wanted == was_wanted else was.keys() | counts.keys()
        before = {x for x in touched if was_wanted and was.get(x, True)}
        after = {x for x in touched if wanted and x in counts}
        return frozenset(before - after), frozenset(after - before)

    def _shape(self, af: int) -> Shape:
        has_standby = bool(self._counts.get((af, "standby")))
        if not self._active[af]:
            return Shape(has_standby=has_standby)
        has_local = bool(self._counts.get((af, "laddrs")))
        marks = tuple(rule for rule in self._marks if rule.af == af)
        served = self._counts.get((af, "fwmarks"), {})
        return Shape(
            active=True,
            has_sources=bool(self._counts.get((af, "source_addrs"))),
            has_standby=has_standby,
            has_local=has_local,
            host_ports=self.host_ports if has_local else HOST_PORTS,
            marks=marks,
            fwmarks=frozenset(rule.mark for rule in marks if rule.mark in served),
        )


def _family(addr: bytes) -> int:
    return AF_INET if len(addr) == 4 else AF_INET6
