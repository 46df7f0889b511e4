"""A balancer of plain dictionaries: it refuses what the kernel refuses and forwards nothing."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lbfast.errors import KernelError
from lbfast.model import (
    AF_INET6,
    Connection,
    Counter,
    Method,
    RealServer,
    ServerKey,
    ServerState,
    ServiceKey,
    ServiceState,
    SyncDaemon,
    SyncRole,
    Timeouts,
    TunnelType,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule

SCHEDULERS = frozenset(
    (
        *("none", "rr", "wrr", "lc", "wlc", "sed", "nq", "lblc", "lblcr"),
        *("dh", "sh", "mh", "fo", "ovf", "twos"),
    )
)
DEFAULT_GROUP = bytes([224, 0, 0, 81])


class FakeBalancer:
    """Implements lbfast.control.api.Balancer in memory."""

    def __init__(
        self, connections: Iterable[Connection] = (), interfaces: Iterable[str] = ("d0", "d1")
    ) -> None:
        self.table: dict[ServiceKey, VirtualService] = {}
        self.servers: dict[ServiceKey, list[ServerState]] = {}
        self.local: dict[ServiceKey, list[bytes]] = {}
        self.times = Timeouts()
        self.running: dict[SyncRole, SyncDaemon] = {}
        self.entries = list(connections)
        self.interfaces = set(interfaces)
        self.settings = {"conn_reuse_mode": "1"}
        self.rules: list[FwmarkRule] = []
        self.zeroed: list[ServiceKey | None] = []
        self.standby: list[frozenset[bytes]] = []

    # services

    def add_service(self, svc: VirtualService) -> None:
        if svc.key in self.table:
            raise KernelError(errno.EEXIST)
        _check_service(svc)
        self.table[svc.key] = svc
        self.servers[svc.key] = []

    def edit_service(self, svc: VirtualService) -> None:
        self._known(svc.key)
        _check_service(svc)
        self.table[svc.key] = svc

    def delete_service(self, key: ServiceKey) -> None:
        self._known(key)
        del self.table[key]
        del self.servers[key]
        self.local.pop(key, None)

    def flush(self) -> None:
        for key in list(self.table):
            self.delete_service(key)

    def settle(self) -> None:
        """Do nothing: an edit is in force at once."""

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        self.standby.append(addresses)

    def services(self) -> list[ServiceState]:
        return [self.service(key) for key in reversed(self.table)]

    def service(self, key: ServiceKey) -> ServiceState:
        self._known(key)
        laddrs = tuple(self.local.get(key, []))
        return ServiceState(self.table[key], tuple(self.servers[key]), laddrs=laddrs)

    def _known(self, key: ServiceKey) -> None:
        if key not in self.table:
            raise KernelError(errno.ESRCH)

    # servers

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        self._known(key)
        _check_server(key, server)
        if self._find(key, server.key) is not None:
            raise KernelError(errno.EEXIST)
        if not _is_unicast(server.key.addr):
            raise KernelError(errno.EINVAL)
        self.servers[key].insert(0, ServerState(server))

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        self._known(key)
        _check_server(key, server)
        at = self._find(key, server.key)
        if at is None:
            raise KernelError(errno.ENOENT)
        self.servers[key][at] = replace(self.servers[key][at], server=server)

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        self._known(key)
        at = self._find(key, server)
        if at is None:
            raise KernelError(errno.ENOENT)
        del self.servers[key][at]

    def _find(self, key: ServiceKey, server: ServerKey) -> int | None:
        keys = [state.server.key for state in self.servers[key]]
        return keys.index(server) if server in keys else None

    # local addresses

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._known(key)
        if addr in self.local.setdefault(key, []):
            raise KernelError(errno.EEXIST)
        self.local[key].append(addr)

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._known(key)
        if addr not in self.local.get(key, []):
            raise KernelError(errno.ENOENT)
        self.local[key].remove(addr)

    def laddrs(self, key: ServiceKey) -> list[bytes]:
        self._known(key)
        return list(self.local.get(key, []))

    # the rest

    def zero(self, key: ServiceKey | None) -> None:
        if key is not None:
            self._known(key)
        self.zeroed.append(key)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        old = self.times
        self.times = Timeouts(
            timeouts.tcp or old.tcp, timeouts.tcpfin or old.tcpfin, timeouts.udp or old.udp
        )

    def timeouts(self) -> Timeouts:
        return self.times

    def connections(self) -> Iterator[Connection]:
        yield from self.entries

    def listing(self, *, with_engines: bool) -> Iterator[bytes] | None:
        return None

    def table_size(self) -> int:
        return 4096

    def sysctl(self, name: str) -> str:
        if name not in self.settings:
            raise KernelError(errno.ENOENT)
        return self.settings[name]

    def set_sysctl(self, name: str, value: str) -> None:
        self.sysctl(name)
        self.settings[name] = value

    def counters(self) -> list[Counter]:
        return [Counter("packets", "sent", 7), Counter("dropped", "no-server", 1 << 40)]

    def marks(self) -> list[FwmarkRule]:
        return list(self.rules)

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        if len(set(rules)) != len(rules):
            raise KernelError(errno.EEXIST)
        self.rules = list(rules)

    def add_mark(self, rule: FwmarkRule) -> None:
        self.set_marks([*self.rules, rule])

    def delete_mark(self, rule: FwmarkRule) -> None:
        if rule not in self.rules:
            raise KernelError(errno.ENOENT)
        self.rules.remove(rule)

    def start_daemon(self, daemon: SyncDaemon) -> None:
        if daemon.interface not in self.interfaces:
            raise KernelError(errno.ENODEV)
        if daemon.role in self.running:
            raise KernelError(errno.EEXIST)
        self.running[daemon.role] = replace(
            daemon,
            maxlen=daemon.maxlen or 1472,
            group=daemon.group or DEFAULT_GROUP,
            port=daemon.port or 8848,
            ttl=daemon.ttl or 1,
        )

    def stop_daemon(self, role: SyncRole) -> None:
        if role not in self.running:
            raise KernelError(errno.ESRCH)
        del self.running[role]

    def daemons(self) -> list[SyncDaemon]:
        return [self.running[role] for role in SyncRole if role in self.running]


def _check_service(svc: VirtualService) -> None:
    if svc.scheduler not in SCHEDULERS or svc.pe_name not in ("", "sip"):
        raise KernelError(errno.ENOENT)
    if svc.key.af == AF_INET6 and not 1 <= svc.netmask <= 128:
        raise KernelError(errno.EINVAL)


def _check_server(key: ServiceKey, server: RealServer) -> None:
    if server.key.af != key.af and server.method is not Method.TUNNEL:
        raise KernelError(errno.EINVAL)
    if server.weight < 0 or server.l_threshold > server.u_threshold:
        raise KernelError(errno.ERANGE)
    is_gue = server.method is Method.TUNNEL and server.tun_type is TunnelType.GUE
    if is_gue and not server.tun_port:
        raise KernelError(errno.EINVAL)


def _is_unicast(addr: bytes) -> bool:
    ip = ipaddress.ip_address(addr)
    if isinstance(ip, ipaddress.IPv6Address):
        is_bad = ip.is_multicast or ip.is_unspecified or ip.is_link_local
        return not is_bad and ip.ipv4_mapped is None
    return not (ip.is_multicast or ip.is_unspecified or addr == b"\xff" * 4)
