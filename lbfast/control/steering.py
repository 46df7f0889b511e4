"""Which frames the data path takes from the host: one pure description, and what follows from it.

The nftables rules (`nft.py`) and the data path's own tables are both made from a `SteeringPlan`.
Where they disagreed a frame would be lost (dropped by the rules, ignored by the data path) or
answered twice.  `taken` is the predicate in plain Python, for tests and for explaining.

A fragment is an IPv4 packet with MF or an offset, and an IPv6 packet with a Fragment header, even
an atomic one.  Ports need four bytes of transport header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

from lbfast.control.parts import (
    Element,
    Slot,
    is_wanted,
    reply_parts,
    request_parts,
    service_parts,
)
from lbfast.model import AF_INET, AF_INET6, RealServer, ServiceKey, VirtualService

TCP, UDP, SCTP = 6, 17, 132
_ICMP = 1
_BALANCED = (TCP, UDP, SCTP)
_FTP, _FTP_DATA = 21, 20
_FIRST_UNPRIVILEGED = 1024
_FIRST_LOCAL = 1025  # of the ports that FULLNAT uses
HOST_PORTS = (32768, 60999)  # the kernel's default net.ipv4.ip_local_port_range
_ICMP_ERRORS = {AF_INET: frozenset((3, 4, 11)), AF_INET6: frozenset(range(128))}

# SO_MARK values (fwmarks) of lbfast's own frames inside the host; none of them leaves it.
MARK_GIVEN = 0x6C626267  # "lbbg": given back, arrives as if it had never been taken
MARK_REPLY = 0x6C626272  # "lbbr": leaving packet of a local NAT server, for the data path
MARK_PASS = 0x6C626270  # "lbbp": such a packet that the data path lets go unchanged
# With an ifindex in the lower bits (0: of the interface it is leaving); giveback_program.py acts
# on them and takes them off.
MARK_GIVE = 0x4C100000  # arrives on that interface, with MARK_GIVEN
MARK_WRAP = 0x4C200000  # tunnelled super-frame, whose outer header the kernel has to know
MARK_TARGET = 0x000FFFFF


class MarkRule(NamedTuple):
    """One rule that gives packets a fwmark; of several that apply the last decides.

    The fields in order are a rule of `Engine.marks_replace`.
    """

    mark: int
    af: int
    protocol: int = 0  # 0: any of TCP, UDP, SCTP
    ifindex: int = 0  # 0: any
    src: bytes = b""
    src_len: int = 0
    dst: bytes = b""
    dst_len: int = 0
    sport: tuple[int, int] = (0, 65535)
    dport: tuple[int, int] = (0, 65535)


@dataclass(frozen=True, slots=True)
class LocalAddresses:
    """The local addresses of FULLNAT, and the range of ports that they leave to the host."""

    addrs: frozenset[bytes] = frozenset()
    host_ports: tuple[int, int] = HOST_PORTS


NO_LOCAL = LocalAddresses()


@dataclass(frozen=True, slots=True)
class Shape:
    """What the rules of a family depend on, beside the sets that they look into."""

    active: bool = False
    has_sources: bool = False
    has_standby: bool = False
    has_local: bool = False
    host_ports: tuple[int, int] = HOST_PORTS
    marks: tuple[MarkRule, ...] = ()
    fwmarks: frozenset[int] = frozenset()  # of the rules: those with a service

    def serving(self) -> list[MarkRule]:
        """Returns the rules whose mark has a service."""
        return [rule for rule in self.marks if rule.mark in self.fwmarks]


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """What is taken of one address family.  Port sets hold (protocol, address, port)."""

    active: bool = False  # there is a service of this family; without one nothing is taken
    services: frozenset[tuple[int, bytes, int]] = frozenset()
    any_port: frozenset[tuple[int, bytes]] = frozenset()
    ftp: frozenset[bytes] = frozenset()  # TCP ports 20 and 1024-65535 of these
    vips: frozenset[bytes] = frozenset()  # fragments and ICMP errors to these
    sources: frozenset[tuple[int, bytes, int]] = frozenset()  # NAT servers
    any_source: frozenset[tuple[int, bytes]] = frozenset()
    source_addrs: frozenset[bytes] = frozenset()  # fragments from these
    standby: frozenset[bytes] = frozenset()  # another director's: nothing to these is taken
    laddrs: frozenset[bytes] = frozenset()  # local addresses: ICMP errors to these, and from ...
    full: frozenset[tuple[int, bytes, int]] = frozenset()  # ... FULLNAT servers to their ports
    any_full: frozenset[tuple[int, bytes]] = frozenset()
    full_addrs: frozenset[bytes] = frozenset()  # fragments from these to local addresses
    host_ports: tuple[int, int] = HOST_PORTS  # of local addresses, never taken
    marks: tuple[MarkRule, ...] = ()
    fwmarks: frozenset[int] = frozenset()  # those that are services, or were

    def shape(self) -> Shape:
        return Shape(
            self.active,
            bool(self.source_addrs),
            bool(self.standby),
            bool(self.laddrs),
            self.host_ports,
            self.marks,
            frozenset(rule.mark for rule in self.marks if rule.mark in self.fwmarks),
        )

    def serving(self) -> list[MarkRule]:
        return self.shape().serving()


@dataclass(frozen=True, slots=True)
class SteeringPlan:
    ip4: FamilyPlan = field(default_factory=FamilyPlan)
    ip6: FamilyPlan = field(default_factory=FamilyPlan)

    def of(self, af: int) -> FamilyPlan:
        return self.ip4 if af == AF_INET else self.ip6


@dataclass(frozen=True, slots=True)
class Difference:
    """What leads from one plan to the next: elements of sets, and the shape of each family."""

    removed: Mapping[Slot, frozenset[Element]]
    added: Mapping[Slot, frozenset[Element]]
    shapes: Mapping[int, Shape]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the predicate looks at in a frame that is addressed to the interface's MAC."""

    af: int
    protocol: int
    saddr: bytes
    daddr: bytes
    sport: int | None = None
    dport: int | None = None
    fragment: bool = False
    icmp_type: int | None = None
    daddr_local: bool = False  # the host's own address, by its table local
    ifindex: int = 0


def plan(
    services: Iterable[VirtualService],
    servers: Iterable[tuple[ServiceKey, RealServer]],
    marks: Iterable[MarkRule] = (),
    lingering: Iterable[tuple[ServiceKey, RealServer]] = (),
    local: LocalAddresses = NO_LOCAL,
) -> SteeringPlan:
    """Returns what has to be taken from the host for these services and their real servers.

    `lingering`: deleted servers that may still have connections, under the key of the service
    they had.  Their service address goes on being taken, and their replies.
    """
    keys = [svc.key for svc in services]
    gone = list(lingering)
    sets: dict[Slot, set[Element]] = {}
    for slot, element in chain(
        (part for key in keys for part in service_parts(key)),
        (part for key, _ in gone for part in request_parts(key)),
        (part for key, s in (*servers, *gone) for part in reply_parts(key, s.key, s.method)),
        (((AF_INET if len(a) == 4 else AF_INET6, "laddrs"), a) for a in local.addrs),
    ):
        sets.setdefault(slot, set()).add(element)
    rules, active = tuple(marks), {key.af for key in keys}
    return SteeringPlan(
        *(
            _family(af, sets, rules, local.host_ports) if af in active else FamilyPlan()
            for af in (AF_INET, AF_INET6)
        )
    )


def with_standby(plan: SteeringPlan, addrs: Iterable[bytes]) -> SteeringPlan:
    """Returns the plan without what is addressed to these: another director has them now."""
    known = frozenset(addrs)

    def left(f: FamilyPlan, size: int) -> FamilyPlan:
        return replace(f, standby=frozenset(a for a in known if len(a) == size))

    return SteeringPlan(left(plan.ip4, 4), left(plan.ip6, 16))


def _family(
    af: int, sets: Mapping[Slot, set[Element]], marks: tuple[MarkRule, ...], ports: tuple[int, int]
) -> FamilyPlan:
    """Returns the plan of a family that has a service."""
    has_local = (af, "laddrs") in sets
    found: dict[str, Any] = {
        name: frozenset(elements)
        for (family, name), elements in sets.items()
        if family == af and is_wanted(name, active=True, has_local=has_local)
    }
    if has_local:
        found["host_ports"] = ports
    return FamilyPlan(active=True, marks=tuple(m for m in marks if m.af == af), **found)


def taken(plan: SteeringPlan, facts: Facts) -> str:
    """Returns why a frame is taken: the name of the rule (a counter of nft.py), or ""."""
    f = plan.of(facts.af)
    if not f.active or facts.daddr in f.standby:
        return ""
    if facts.fragment:
        return "fragment" if _fragment_taken(f, facts) else ""
    if facts.icmp_type is not None:
        return "icmp" if _icmp_taken(f, facts) else ""
    if facts.sport is None or facts.dport is None:
        return ""
    if _service_takes(f, facts.protocol, facts.daddr, facts.dport):
        return "service"
    source = (facts.protocol, facts.saddr)
    if not facts.daddr_local and ((*source, facts.sport) in f.sources or source in f.any_source):
        return "reply"
    if _local_takes(f, facts):
        return "local"
    return "mark" if _mark_of(f, facts) in f.fwmarks else ""


def _service_takes(f: FamilyPlan, protocol: int, addr: bytes, port: int) -> bool:
    ftp = protocol == TCP and (port == _FTP_DATA or port >= _FIRST_UNPRIVILEGED)
    return (
        (protocol, addr, port) in f.services
        or (protocol, addr) in f.any_port
        or (ftp and addr in f.ftp)
    )


def _local_takes(f: FamilyPlan, facts: Facts) -> bool:
    assert facts.dport is not None
    low, high = f.host_ports
    source = (facts.protocol, facts.saddr)
    return (
        facts.daddr in f.laddrs
        and facts.dport >= _FIRST_LOCAL
        and not low <= facts.dport <= high
        and ((*source, facts.sport) in f.full or source in f.any_full)
    )


def _fragment_taken(f: FamilyPlan, facts: Facts) -> bool:
    if facts.daddr in f.vips or (facts.daddr in f.laddrs and facts.saddr in f.full_addrs):
        return True
    if any(_may_be_of(rule, facts) for rule in f.serving()):
        return True
    from_server = facts.saddr in f.source_addrs or facts.protocol == _ICMP
    return from_server and not facts.daddr_local


def _icmp_taken(f: FamilyPlan, facts: Facts) -> bool:
    if facts.icmp_type not in _ICMP_ERRORS[facts.af]:
        return False
    if facts.daddr in f.vips | f.laddrs or (f.source_addrs and not facts.daddr_local):
        return True
    return any(prefix_matches(facts.daddr, rule.dst, rule.dst_len) for rule in f.serving())


def _may_be_of(rule: MarkRule, facts: Facts) -> bool:
    """Tells whether a fragment may belong to what the rule marks: its ports are not known, nor
    for sure the protocol of an IPv6 fragment."""
    right = (rule.protocol,) if rule.protocol else _BALANCED
    return (
        (facts.af == AF_INET6 or facts.protocol in right)
        and rule.ifindex in (0, facts.ifindex)
        and prefix_matches(facts.saddr, rule.src, rule.src_len)
        and prefix_matches(facts.daddr, rule.dst, rule.dst_len)
    )


def _mark_of(f: FamilyPlan, facts: Facts) -> int:
    """Returns the mark that the last rule to apply gives, 0 if none does."""
    assert facts.sport is not None
    assert facts.dport is not None
    for rule in reversed(f.marks):
        if (
            (facts.protocol == rule.protocol if rule.protocol else facts.protocol in _BALANCED)
            and rule.ifindex in (0, facts.ifindex)
            and rule.sport[0] <= facts.sport <= rule.sport[1]
            and rule.dport[0] <= facts.dport <= rule.dport[1]
            and prefix_matches(facts.saddr, rule.src, rule.src_len)
            and prefix_matches(facts.daddr, rule.dst, rule.dst_len)
        ):
            return rule.mark
    return 0


def prefix_matches(addr: bytes, prefix: bytes, length: int) -> bool:
    """Tells whether the first `length` bits agree; length 0 matches everything."""
    if not length:
        return True
    shift = 8 * len(addr) - length
    return int.from_bytes(addr, "big") >> shift == int.from_bytes(prefix, "big") >> shift


def tap_filter() -> list[tuple[int, int, int, int]]:
    """Returns the classic BPF program of a tap, as (code, jt, jf, k).

    It lets in frames for this host, but not those that were given back to it.
    """
    load, jeq, ret, ancillary = 0x20, 0x15, 0x06, 0xFFFFF000
    mark, pkttype, everything = ancillary + 20, ancillary + 4, 0x40000
    return [
        (load, 0, 0, pkttype),
        (jeq, 0, 3, 0),  # PACKET_HOST
        (load, 0, 0, mark),
        (jeq, 1, 0, MARK_GIVEN),
        (ret, 0, 0, everything),
        (ret, 0, 0, 0),
    ]
