"""A director with one service, for the tests of schedulers: packets in, picked servers out.

`Lab` keeps, beside the engine, what a naive rule needs to know: the list of servers, newest first,
with weights, counts and overload flags, the counts being read back from the engine.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from lbfast._fastpath import Engine

SECOND = 10**9
TCP, UDP = 6, 17
FIN, SYN = 1, 2
V4, V6 = 2, 10
MARK = 7
INACTIVE = 0x100  # flag of a connection
CLIENT_SIDE, SERVER_SIDE = 2, 3
MAC = bytes.fromhex("020000010001")
SCHED1, SCHED2 = 0x08, 0x10
Flow = tuple[bytes, int, bytes]  # client, its port, address of the service
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def fold(address: str | bytes) -> int:
    """Spec 5.9: IPv4 as a number, IPv6 the XOR of its four words."""
    raw = packed(address) if isinstance(address, str) else address
    words: tuple[int, ...] = struct.unpack(f"!{len(raw) // 4}I", raw)
    return functools.reduce(operator.xor, words)


def hash_32(x: int, bits: int) -> int:
    return (x * 0x61C88647 & 0xFFFFFFFF) >> (32 - bits)


@dataclass(eq=False)
class Server:
    number: int
    weight: int
    upper: int = 0
    lower: int = 0
    active: int = 0
    inactive: int = 0
    overloaded: bool = False
    last_weight: int = 0
    here: bool = True

    @property
    def name(self) -> str:
        return NAMES[self.number] if self.number < 26 else f"#{self.number}"

    @property
    def usable(self) -> bool:
        return self.weight > 0 and not self.overloaded

    @property
    def overhead(self) -> int:
        return 257 * self.active + self.inactive

    def count(self, active: int, inactive: int) -> None:
        """Take over counts; the overload flag follows the thresholds (spec 1.8)."""
        old, new = self.active + self.inactive, active + inactive
        low = self.lower or self.upper - self.upper // 4
        if self.upper and old < self.upper <= new:
            self.overloaded = True
        elif self.upper and new < low <= old:
            self.overloaded = False
        self.active, self.inactive = active, inactive

    def limit(self, upper: int, lower: int) -> None:
        if (upper, lower) == (self.upper, self.lower):
            return
        self.upper, self.lower = upper, lower
        total = self.active + self.inactive
        if upper == 0 or total < (lower or upper - upper // 4):
            self.overloaded = False
        elif total >= upper:
            self.overloaded = True


@dataclass(eq=False)
class Lab:
    scheduler: str
    flags: int = 0
    v6: bool = False
    marked: bool = False  # a fwmark service: every address of the VIPs' network
    seed: int = 1
    conns: int = 4096
    dests: int = 64
    servers_net: str = "10.2.0"
    servers: list[Server] = field(default_factory=list)
    gone: list[Server] = field(default_factory=list)
    now_ns: int = SECOND

    def __post_init__(self) -> None:
        self.engine = Engine(
            conns=self.conns, dests=self.dests, services=4, seed=self.seed, now_ns=self.now_ns
        )
        self.added = 0
        self.sport = 1024
        self.last: Flow = (b"", 0, b"")
        self.af = V6 if self.v6 else V4
        net = "fd00:{}::" if self.v6 else "10.{}.0.0"
        zero, length = packed("::" if self.v6 else "0.0.0.0"), 64 if self.v6 else 16
        gateway = packed("fd00:3::1" if self.v6 else "10.3.0.1")
        self.engine.link_set(CLIENT_SIDE, MAC, 1500, 1)
        self.engine.link_set(SERVER_SIDE, MAC, 1500, 1)
        self.engine.route_add(0, packed(net.format(9)), length, 2, 1)
        self.engine.route_add(1, zero, 0, 1, CLIENT_SIDE, gateway)
        for servers in ("fd00:2::",) if self.v6 else ("10.2.0.0", "10.0.0.0"):
            self.engine.route_add(1, packed(servers), length, 1, SERVER_SIDE, gateway)
        for ifindex in (CLIENT_SIDE, SERVER_SIDE):
            self.engine.neigh_set(ifindex, gateway, MAC)
        self.engine.addr_add(CLIENT_SIDE, packed("fd00:1::f" if self.v6 else "10.1.0.254"), length)
        self.vip = packed("fd00:9::1" if self.v6 else "10.9.0.1")
        self.key: tuple[int, int, bytes, int, int] = (self.af, TCP, self.vip, 80, 0)
        if self.marked:
            self.key = (self.af, 0, b"", 0, MARK)
            anything = (0, 65535)
            self.engine.marks_replace(
                [(MARK, self.af, 0, 0, b"", 0, packed(net.format(9)), length, anything, anything)]
            )
        self.service(self.scheduler)

    def service(self, scheduler: str, edit: bool = False) -> None:
        mask = 128 if self.v6 else 0xFFFFFFFF
        self.engine.service_put(self.key, scheduler.encode(), self.flags, 0, mask, b"", edit=edit)

    # ------------------------------------------------------------ servers

    def address(self, server: Server) -> bytes:
        n = server.number + 1
        if self.v6:
            return packed(f"fd00:2::{n:x}")
        return packed(f"{self.servers_net}.{n}" if n < 256 else f"10.2.{n >> 8}.{n & 255}")

    def _put(self, server: Server, edit: bool) -> None:
        at = (self.af, self.address(server), 80)
        limits = (server.upper, server.lower)
        self.engine.server_put(self.key, at, 0, server.weight, *limits, 0, 0, 0, edit=edit)

    def add(self, weight: int = 1, upper: int = 0, lower: int = 0) -> Server:
        server = Server(self.added, weight, upper, lower, last_weight=weight)
        self._put(server, False)
        self.added += 1
        self.servers.insert(0, server)
        return server

    def edit(self, server: Server, weight: int, upper: int = 0, lower: int = 0) -> None:
        server.weight = weight
        server.last_weight = weight or server.last_weight
        server.limit(upper, lower)
        self._put(server, True)

    def delete(self, server: Server) -> None:
        self.engine.server_del(self.key, (self.af, self.address(server), 80))
        self.servers.remove(server)
        self.gone.append(server)
        server.here = False

    def revive(self, server: Server) -> None:
        """Add a server again that was deleted: it is first in the list then."""
        self._put(server, False)
        server.here = True
        self.gone.remove(server)
        self.servers.insert(0, server)
        self.refresh()

    def refresh(self) -> None:
        """Read the servers' counts back."""
        rows = {row[0][1]: row for row in self.engine.service(self.key)[7]}
        for server in self.servers:
            server.count(*rows[self.address(server)][8:10])
        if self.gone:
            conns = [(row[6], bool(row[10] & INACTIVE)) for row in self.engine.connections()[0]]
            for server in self.gone:
                of = [inactive for address, inactive in conns if address == self.address(server)]
                server.count(of.count(False), of.count(True))

    # ------------------------------------------------------------ packets

    def frame(self, src: bytes, sport: int, dst: bytes, flags: int) -> bytes:
        segment = struct.pack("!HHIIBBHHH", sport, 80, 1000, 0, 0x50, flags, 8192, 0, 0)
        if self.v6:
            head = struct.pack("!IHBB", 0x60000000, 20, TCP, 64) + src + dst
            return MAC + MAC + b"\x86\xdd" + head + segment
        head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, TCP, 0) + src + dst
        total = sum(struct.unpack("!10H", head))
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        head = head[:10] + struct.pack("!H", total) + head[12:]
        return MAC + MAC + b"\x08\x00" + head + segment

    def connect(self, client: str = "", sport: int = 0, vip: str = "") -> Server | None:
        """Send a SYN; return the server that it went to, None if there was none."""
        to = self.connect_raw(client, sport, vip)
        self.refresh()
        return next((server for server in self.servers if self.address(server) == to), None)

    def connect_raw(self, client: str = "", sport: int = 0, vip: str = "") -> bytes:
        """Return the address of the server instead; b"" if there was none."""
        self.sport += 1
        src = packed(client or ("fd00:1::1" if self.v6 else "10.1.0.1"))
        dst = packed(vip) if vip else self.vip
        self.last = (src, sport or self.sport, dst)
        frame = (CLIENT_SIDE, b"", self.frame(*self.last, SYN))
        ((kind, ifindex, _, out),) = self.engine.process([frame], self.now_ns)
        assert kind == 0
        if ifindex != SERVER_SIDE:
            return b""  # the answer: port unreachable
        return out[38:54] if self.v6 else out[30:34]

    def close(self, conn: Flow | None = None) -> None:
        """Finish a connection (the last one): it is inactive then, for 120 s."""
        self.engine.process(
            [(CLIENT_SIDE, b"", self.frame(*(conn or self.last), FIN))], self.now_ns
        )
        self.refresh()

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)
        self.engine.process([], self.now_ns)
        self.refresh()

    def load(self, server: Server, active: int = 0, inactive: int = 0) -> None:
        """Give a server that many connections, by letting it alone have a weight."""
        weights = {s: s.weight for s in self.servers}
        for s in self.servers:
            self.edit(s, int(s is server), s.upper, s.lower)
        elsewhere = ("fd00:9::ffff" if self.v6 else "10.9.255.255") if self.marked else ""
        for n in range(active + inactive):
            assert self.connect(vip=elsewhere) is server
            if n >= active:
                self.close()
        for s, weight in weights.items():
            self.edit(s, weight, s.upper, s.lower)

    def picks(self, n: int) -> str:
        """Return the names of the servers that n new connections go to; - stands for none."""
        return "".join(s.name if (s := self.connect()) else "-" for _ in range(n))


def lab_with(scheduler: str, *weights: int, **options: Any) -> Lab:
    """Return a lab with servers A, B, C ... of these weights, added in that order."""
    lab = Lab(scheduler, **options)
    for weight in weights:
        lab.add(weight)
    return lab


def loaded(scheduler: str, servers: list[tuple[int, int, int]], **options: Any) -> Lab:
    """Return a lab with servers A, B ... that have a weight, active and inactive connections."""
    lab = lab_with(scheduler, *(weight for weight, _, _ in servers), **options)
    for server, (_, active, inactive) in zip(lab.servers[::-1], servers, strict=True):
        lab.load(server, active, inactive)
    return lab


# ---------------------------------------------------------------- random sequences

WEIGHTS = st.sampled_from([0, 1, 1, 2, 3, 4, 6, 10])
LIMITS = st.sampled_from([(0, 0), (0, 0), (0, 0), (1, 0), (2, 1), (4, 0), (5, 2)])
STEP = st.one_of(
    st.tuples(st.just("add"), WEIGHTS, LIMITS),
    st.tuples(st.just("edit"), st.integers(0, 99), WEIGHTS, LIMITS),
    st.tuples(st.just("delete"), st.integers(0, 99)),
    *[st.tuples(st.just("connect"), st.integers(0, 5), st.integers(0, 3))] * 4,
    st.tuples(st.just("close"), st.integers(0, 99)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 61.0, 121.0])),
)
STEPS = st.lists(STEP, min_size=5, max_size=60)


class Naive:
    """A naive rule: what the tests compare with.  Rules that keep something override more."""

    def pick(self, lab: Lab, client: str, sport: int, vip: str) -> Server | None:
        raise NotImplementedError

    def added(self, lab: Lab, server: Server) -> None:
        """The server is in the list already."""

    def edited(self, lab: Lab) -> None:
        pass

    def deleted(self, lab: Lab, at: int) -> None:
        """The server that was at that position is not in the list any more."""


class Play:
    """Runs random steps through the engine and a naive rule."""

    def __init__(
        self, lab: Lab, rule: Naive, start: Sequence[int] = (1, 2, 3), most: int = 12
    ) -> None:
        self.lab = lab
        self.rule = rule
        self.most = most
        self.conns: list[Flow] = []
        for weight in start:
            rule.added(lab, lab.add(weight))

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for word, *values in steps:
            getattr(self, word)(*values)

    def add(self, weight: int, limits: tuple[int, int]) -> None:
        if len(self.lab.servers) < self.most:
            self.rule.added(self.lab, self.lab.add(weight, *limits))

    def edit(self, which: int, weight: int, limits: tuple[int, int]) -> None:
        if self.lab.servers:
            server = self.lab.servers[which % len(self.lab.servers)]
            self.lab.edit(server, weight, *limits)
            self.rule.edited(self.lab)

    def delete(self, which: int) -> None:
        if self.lab.servers:
            at = which % len(self.lab.servers)
            self.lab.delete(self.lab.servers[at])
            self.rule.deleted(self.lab, at)

    def connect(self, client: int, vip: int) -> None:
        lab = self.lab
        net = "fd00:{}::{}" if lab.v6 else "10.{}.0.{}"
        source = net.format(1, client + 1)
        target = net.format(9, vip + 1 if lab.marked else 1)
        expected = self.rule.pick(lab, source, lab.sport + 1, target)
        assert lab.connect(source, 0, target) is expected
        self.conns.append(lab.last)

    def close(self, which: int) -> None:
        if self.conns:
            self.lab.close(self.conns.pop(which % len(self.conns)))

    def wait(self, seconds: float) -> None:
        self.lab.wait(seconds)
