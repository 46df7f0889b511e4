"""Steered tables over a data path without interfaces, the edits that they may meet, and what is
asked of nftables: for tests of steering by differences.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Callable
from typing import Any, cast

from lbfast.control import marking, steering
from lbfast.control.fanout import GONE, replying
from lbfast.control.ledger import FAMILIES, Ledger
from lbfast.control.localserver import map_keys
from lbfast.control.nft import Rules
from lbfast.control.steered import SteeredTables
from lbfast.control.steering import Difference, SteeringPlan
from lbfast.control.tables import Engine
from lbfast.control.taking import Taking
from lbfast.errors import KernelError
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    TunnelType,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule
from lbfast.nftlib import NftError

SECOND_NS = 1_000_000_000
HOST_PORTS = (5000, 6000)


def packed(text: str) -> bytes:
    return socket.inet_pton(AF_INET6 if ":" in text else AF_INET, text)


SERVICES = (
    ServiceKey(AF_INET, 6, packed("10.9.0.1"), 80),
    ServiceKey(AF_INET, 17, packed("10.9.0.1"), 80),
    ServiceKey(AF_INET, 6, packed("10.9.0.1"), 21),
    ServiceKey(AF_INET, 6, packed("10.9.0.2"), 0),
    ServiceKey(AF_INET, fwmark=7),
    ServiceKey(AF_INET6, 6, packed("fd09::1"), 80),
    ServiceKey(AF_INET6, fwmark=7),
)
RIPS = ("10.2.0.2", "10.2.0.3", "fd02::2")
SERVERS = tuple(
    ServerKey(AF_INET6 if ":" in rip else AF_INET, packed(rip), port)
    for rip in RIPS
    for port in (80, 0)
)
METHODS = (Method.MASQ, Method.FULLNAT, Method.DROUTE, Method.TUNNEL)
LOCALS = (packed("10.2.255.1"), packed("10.2.255.2"), packed("fd02::ff"))
MARKS = (
    FwmarkRule(7, AF_INET, 6, dst=packed("10.8.0.0"), dst_len=16),
    FwmarkRule(9, AF_INET, 17, dst=packed("10.7.0.0"), dst_len=16),
    FwmarkRule(7, AF_INET6, 6, dst=packed("fd08::"), dst_len=32),
)


class Nft:
    """The part of nftables that steering asks for: `sets` and `chains` of one table.

    Stricter than nftables: an element is added once.
    """

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] | None = None
        self.chains: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.made = 0  # how often the whole table was

    def __call__(self, commands: str) -> str:
        self.said.append(commands)
        if commands == "list chains netdev\n":
            return "" if self.sets is None else "table netdev lbfast-lab {\n"
        if "\ntable netdev lbfast-lab {\n" in commands:
            self.made += 1
            found = re.findall(r"^ set (\w+) \{ type [^;]+; (?:elements = \{ (.*) \})? \}$",
                               commands, re.MULTILINE)  # fmt: skip
            self.sets = {name: set(text.split(", ")) if text else set() for name, text in found}
            chains = re.findall(r"^ chain (\w+) \{\n((?:  .*\n)*) \}$", commands, re.MULTILINE)
            self.chains = {name: text.replace("  ", "").splitlines() for name, text in chains}
            return ""
        if commands == "add table netdev lbfast-lab\ndelete table netdev lbfast-lab\n":
            self.sets, self.chains = None, {}
            return ""
        if self.sets is None:
            raise NftError("nftables: No such file or directory")
        for line in commands.splitlines():
            self._change(self.sets, *line.split(" ", 5))
        return ""

    def _change(self, sets: dict[str, set[str]], verb: str, what: str, *words: str) -> None:
        name, *rest = words[2:]
        if what == "element":
            elements = set(rest[0].strip("{ }").split(", "))
            if verb == "delete":
                if elements - sets[name]:
                    raise NftError("nftables: No such file or directory")
                sets[name] -= elements
            else:
                assert not elements & sets[name], "an element that is there"
                sets[name] |= elements
        elif verb == "flush":
            self.chains[name] = []
        else:
            self.chains[name].append(rest[0].replace("  ", ""))

    def elements(self) -> int:
        """Returns how many elements the commands said so far add and remove."""
        text = "".join(self.said)
        found = re.findall(r"element netdev \S+ \w+ \{ (.*) \}\n", text)
        return sum(len(elements.split(", ")) for elements in found)


class Spread:
    """A `Fanout` without sockets."""

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {}

    def set_servers(self, servers: dict[bytes, int]) -> None:
        self.known = dict(servers)

    def change(self, servers: dict[bytes, int]) -> None:
        self.known |= servers
        self.known = {addr: kind for addr, kind in self.known.items() if kind != GONE}


class Ways:
    """`WaysOut` without programs."""

    def __init__(self) -> None:
        self.keys: frozenset[bytes] = frozenset()

    def set_servers(self, keys: frozenset[bytes]) -> None:
        self.keys = keys


class Addresses:
    """An `AddressTable` without a kernel."""

    def __init__(self) -> None:
        self.addresses: set[tuple[int, bytes, int]] = set()
        self.changes = 0

    def turn(self, addr: bytes) -> None:
        """Adds an address, or removes it if it is there."""
        self.addresses ^= {(2, addr, 8 * len(addr))}
        self.changes += 1


class Steer:
    """`Paced` whose pace is the test's: while `is_held` everything is put off."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.is_held = self.is_due = False

    def __call__(self) -> None:
        self.is_due = True
        self.settle()

    def settle(self) -> None:
        if self.is_due and not self.is_held:
            self.now()

    def now(self) -> None:
        self.is_due = False
        self._work()


class Steered:
    """A director's tables with all that follows them but frames."""

    def __init__(self, nft: Callable[[str], str] | None = None, **sizes: int) -> None:
        self.now_ns = SECOND_NS
        sizes = {"conns": 64, "dests": 64, "services": 16} | sizes
        self.engine = Engine(now_ns=self.now_ns, **cast(Any, sizes))
        self.engine.reserve_ports(*HOST_PORTS)
        self.ledger = Ledger(HOST_PORTS)
        self.steer = Steer(lambda: self.taking.follow())
        self.tables = SteeredTables(self.engine, self.ledger, cast(Any, self.steer), list)
        self.rules = Rules("lab", {}, nft or Nft())
        self.ways, self.spread, self.addresses = Ways(), Spread(), Addresses()
        self.taking = Taking(
            self.ledger, self.rules, cast(Any, self.ways), cast(Any, self.addresses)
        )
        self.taking.fanout = cast(Any, self.spread)
        self.taking.begin(self.tables.whole_plan())

    def plan(self) -> SteeringPlan:
        """Returns the plan made from nothing."""
        states = self.tables.services()
        made = steering.plan(
            [s.service for s in states],
            [(s.service.key, d.server) for s in states for d in s.servers],
            [marking.steering_rule(row) for row in self.engine.marks()],
            self.tables.lingering(),
            steering.LocalAddresses(frozenset(self.engine.local_addresses()), HOST_PORTS),
        )
        return steering.with_standby(made, self.tables.standby)

    def check_followers(self) -> None:
        """Asserts that what is beside the table is what a plan made from nothing asks for."""
        plan = self.plan()
        assert self.spread.known == replying(plan)
        assert self.ways.keys == map_keys(plan, (a for _, a, _ in self.addresses.addresses))

    def edit(self, name: str, *args: Any) -> None:
        """Makes an edit; what the data path refuses changes nothing."""
        if name == "wait":
            self.now_ns += args[0] * SECOND_NS
            self.tables.empty_trash(self.now_ns)
        elif name == "address":
            self.addresses.turn(*args)
        elif name == "restart":
            self.taking.begin(self.tables.whole_plan())
        elif name == "lose":
            self.rules.remove()
        elif name == "hold":
            self.steer.is_held = True
        elif name == "release":
            self.release()
        else:
            with contextlib.suppress(KernelError):
                getattr(self.tables, name)(*args)

    def release(self) -> None:
        """Lets everything happen that was put off."""
        self.steer.is_held = False
        self.steer.settle()
        self.taking.watch()


def service(key: ServiceKey) -> VirtualService:
    return VirtualService(key, netmask=0xFFFFFFFF if key.af == AF_INET else 128)


def server(key: ServerKey, method: Method, weight: int = 1) -> RealServer:
    return RealServer(key, method, weight, tun_type=TunnelType.IPIP)


def between(old: SteeringPlan, new: SteeringPlan) -> Difference:
    """Returns what leads from one plan to another, found by looking at everything."""
    pairs = {
        (af, name): (getattr(old.of(af), name), getattr(new.of(af), name))
        for af in FAMILIES
        for name in new.ip4.__slots__
        if isinstance(getattr(new.of(af), name), frozenset)
    }
    return Difference(
        {slot: before - after for slot, (before, after) in pairs.items()},
        {slot: after - before for slot, (before, after) in pairs.items()},
        {af: new.of(af).shape() for af in FAMILIES},
    )


def random_edit(chance: random.Random) -> tuple[Any, ...]:
    """Returns an edit for `Steered.edit`; most are possible."""
    key, rip = chance.choice(SERVICES), chance.choice(SERVERS)
    member = server(rip, chance.choice(METHODS), chance.randrange(3))
    addrs = sorted({key.addr for key in SERVICES if key.addr})
    weighted: dict[tuple[Any, ...], int] = {
        ("add_service", service(key)): 4,
        ("delete_service", key): 3,
        ("flush",): 1,
        ("add_server", key, member): 8,
        ("edit_server", key, member): 8,
        ("delete_server", key, rip): 6,
        ("add_laddr", key, chance.choice(LOCALS)): 4,
        ("del_laddr", key, chance.choice(LOCALS)): 4,
        ("set_marks", tuple(chance.sample(MARKS, chance.randrange(4)))): 2,
        ("set_standby", frozenset(chance.sample(addrs, chance.randrange(3)))): 1,
        ("wait", chance.choice((1, 60, 121))): 3,
        ("address", rip.addr): 2,
        ("lose",): 1,
        ("restart",): 1,
        ("hold",): 1,
        ("release",): 3,
    }
    return chance.choices(list(weighted), list(weighted.values()))[0]
