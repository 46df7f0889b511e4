"""The director that is fuzzed: services of every kind, and edits that happen while it runs."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from random import Random
from typing import NamedTuple

from lbfast._fastpath import Engine
from lbfast.replay import network

SECOND_NS = 1_000_000_000
START_NS = 1000 * SECOND_NS
VLAN_LINK, VLAN_ID = 4, 7
MASQ, LOCAL, TUNNEL, DROUTE, FULLNAT = 0, 1, 2, 3, 5
TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP
PERSISTENT, ONE_PACKET = 1, 4
MARK = 5
LOCAL_PORTS = range(1025, 1033)  # of FULLNAT: few, so that replies meet connections
SCHEDULERS = (b"rr", b"wrr", b"lc", b"wlc")
SERVERS = ("10.2.0.1", "10.2.0.2", "10.2.0.200")  # the last has no neighbour entry
SERVERS6 = ("fd00:2::1", "fd00:2::2", "fd00:2::c8")
Key = tuple[int, int, bytes, int, int]


class How(NamedTuple):
    """A way to forward; `crossed` where the outer header is of the other family."""

    method: int
    tun_type: int = 0
    tun_port: int = 0
    tun_flags: int = 0
    crossed: bool = False


WAYS = (
    How(MASQ),
    How(DROUTE),
    How(LOCAL),
    How(TUNNEL),
    How(TUNNEL, crossed=True),
    How(TUNNEL, 1, 6080, 1),
    How(TUNNEL, 1, 6080, 2, crossed=True),
    How(TUNNEL, 2),
    How(TUNNEL, 2, 0, 1, crossed=True),
    How(FULLNAT),
)


class Service(NamedTuple):
    """One virtual service and how its real servers are reached; port is what clients ask for."""

    key: Key
    vip: str
    port: int
    way: How
    flags: int = 0

    @property
    def laddr(self) -> bytes:
        """The local address of a FULLNAT service."""
        return ip_address("fd00:2::ff21" if self.is_v6 else "10.2.255.21").packed

    @property
    def is_v6(self) -> bool:
        return self.key[0] == socket.AF_INET6


def services() -> list[Service]:
    """Return every service of the fuzzed director."""
    found = []
    for af, prefix in ((socket.AF_INET, "10.9.0."), (socket.AF_INET6, "fd00:9::")):
        for number, way in enumerate(WAYS, 1):
            for protocol, port in ((TCP, 80), (UDP, 53), (SCTP, 9)):
                found.append(_service(af, protocol, f"{prefix}{number}", port, way))
        for protocol, port, flags in (
            (TCP, 21, 0),
            (TCP, 443, PERSISTENT),
            (TCP, 0, PERSISTENT),
            (UDP, 69, ONE_PACKET),
        ):
            found.append(_service(af, protocol, f"{prefix}20", port, WAYS[0], flags))
        key = (af, 0, b"", 0, MARK)
        found.append(Service(key, f"{prefix}21", 8080, WAYS[0]))
    return found


def _service(af: int, protocol: int, vip: str, port: int, way: How, flags: int = 0) -> Service:
    key = (af, protocol, ip_address(vip).packed, port, 0)
    return Service(key, vip, port or 4000, way, flags)


class World:
    """An engine set up for fuzzing, and the control plane's part in it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ns = START_NS
        self.services = services()
        self.engine = Engine(
            conns=8192, dests=256, services=128, seed=seed + 1, now_ns=self.now_ns
        )
        network.build(self.engine, 1400)
        self.engine.reserve_ports(LOCAL_PORTS.stop, 65535)
        self.engine.link_set(VLAN_LINK, network.D1_MAC, 1500, 1, network.D1, VLAN_ID)
        self.engine.addr_add(VLAN_LINK, network.packed("10.3.0.254"), 24)
        self.engine.route_add(
            network.MAIN_TABLE, network.packed("10.3.0.0"), 24, network.UNICAST, VLAN_LINK
        )
        self.engine.marks_replace(
            [
                (MARK, af, TCP, 0, b"", 0, ip_address(vip).packed, bits, (0, 0), (8080, 8080))
                for af, vip, bits in (
                    (socket.AF_INET, "10.9.0.21", 32),
                    (socket.AF_INET6, "fd00:9::21", 128),
                )
            ]
        )
        for number, service in enumerate(self.services):
            self.add(service, SCHEDULERS[number % len(SCHEDULERS)])

    def add(self, service: Service, scheduler: bytes, edit: bool = False) -> None:
        """Add a service with its servers, or edit it."""
        mask = 128 if service.is_v6 else 0xFFFFFFFF
        timeout_s = 50 if service.flags & PERSISTENT else 0
        self.engine.service_put(service.key, scheduler, service.flags, timeout_s, mask, b"", edit)
        if not edit:
            if service.way.method == FULLNAT:
                self.engine.laddr_add(service.key, service.laddr)
            for number in range(len(SERVERS)):
                self.put_server(service, number)

    def put_server(
        self, service: Service, number: int, edit: bool = False, weight: int = 1
    ) -> None:
        way = service.way
        af, at = self.server(service, number)
        self.engine.server_put(service.key, (*af, at), way.method, weight, 0, 0, *way[1:4], edit)

    def server(self, service: Service, number: int) -> tuple[tuple[int, bytes], int]:
        """Return ((family, address), port) of a real server of a service."""
        is_v6 = service.is_v6 != service.way.crossed
        text = (SERVERS6 if is_v6 else SERVERS)[number]
        if service.way.method == LOCAL:
            text = service.vip
        port = service.key[3]
        if service.way.method == LOCAL:
            port += number  # one address: told apart by port
        elif service.way.method in (MASQ, FULLNAT) and port == 80:
            port = 8000 + number
        return (socket.AF_INET6 if is_v6 else socket.AF_INET, ip_address(text).packed), port

    def tick(self, random_bits: int) -> None:
        """Let time pass before the next batch: mostly under a millisecond, at times minutes."""
        self.now_ns += (random_bits & 0x3FF) * 1000
        if random_bits & 0x1FF000 == 0:
            self.now_ns += (random_bits >> 24 & 0x1FF) * SECOND_NS

    def edit(self) -> None:
        """Do one thing that control does; what the kernel's interface would refuse is no news."""
        try:
            EDITS[self.random.randrange(len(EDITS))](self)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOENT, errno.ESRCH):
                raise


def _some_service(world: World) -> Service:
    return world.random.choice(world.services)


def _toggle_service(world: World) -> None:
    service = _some_service(world)
    if world.random.random() < 0.3:
        world.engine.service_del(service.key)
    else:
        world.add(service, world.random.choice(SCHEDULERS))


def _edit_service(world: World) -> None:
    world.add(_some_service(world), world.random.choice(SCHEDULERS), edit=True)


def _toggle_server(world: World) -> None:
    service, number = _some_service(world), world.random.randrange(len(SERVERS))
    if world.random.random() < 0.4:
        af, at = world.server(service, number)
        world.engine.server_del(service.key, (*af, at))
    else:
        world.put_server(service, number)


def _edit_server(world: World) -> None:
    weight = world.random.choice((0, 1, 3, 65535))
    world.put_server(_some_service(world), world.random.randrange(len(SERVERS)), True, weight)


def _local_address(world: World) -> None:
    services = [s for s in world.services if s.way.method == FULLNAT]
    service = world.random.choice(services)
    if world.random.random() < 0.5:
        world.engine.laddr_del(service.key, service.laddr)
    else:
        world.engine.laddr_add(service.key, service.laddr)


def _neighbour(world: World) -> None:
    addr = network.packed(world.random.choice(SERVERS + SERVERS6))
    if world.random.random() < 0.8:
        world.engine.neigh_set(network.D1, addr, network.server_mac(1))
    else:
        world.engine.neigh_del(network.D1, addr)


SWITCHES = (
    *("cache_bypass", "expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp"),
    *("sloppy_sctp", "conn_reuse_mode", "nat_icmp_send", "pmtu_disc", "schedule_icmp"),
    *("ignore_tunneled", "secure_tcp", "drop_entry", "drop_packet", "snat_reroute", "toa"),
)


def _setting(world: World) -> None:
    world.engine.set_setting(world.random.choice(SWITCHES), world.random.randrange(2))


def _look(world: World) -> None:
    world.engine.requests()
    world.engine.estimate()
    world.engine.trash(world.now_ns)
    world.engine.connections(0, 64)
    world.engine.services()


EDITS = (
    _toggle_service,
    _edit_service,
    _toggle_server,
    _toggle_server,
    _edit_server,
    _local_address,
    _neighbour,
    _neighbour,
    _setting,
    _look,
)
