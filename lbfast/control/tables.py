"""The single writer of the data path's tables: nouns of the model in, records of the arena out."""

from __future__ import annotations

import collections
import errno
import os
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from lbfast._fastpath import REASONS, RX_USECS, Engine, Reader, Rings
from lbfast.control import arena, marking, states
from lbfast.control.settings import FIXED, PARTS, SETTINGS
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    Connection,
    Counter,
    Method,
    RealServer,
    ServerKey,
    ServerState,
    ServiceFlags,
    ServiceKey,
    ServiceState,
    Stats,
    SyncDaemon,
    SyncRole,
    Timeouts,
    TunnelFlags,
    TunnelType,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule

__all__ = ["REASONS", "RX_USECS", "Engine", "Rings", "Tables", "open_engine"]

CHUNK = 4096  # connections read at a time
STATE_FLAGS = states.TEMPLATE | states.ASSURED
CELLS = states.cells()
PE_NAME = "sip"  # the only persistence engine there is
NO_PORTS = (
    "net.ipv4.ip_local_port_range leaves no port to local addresses: found all of 1025 to 65535 "
    "in it, expected some outside"
)
NO_SYNC = "connection synchronisation is not built yet"


def _service_key(key: ServiceKey) -> tuple[int, int, bytes, int, int]:
    return (key.af, key.protocol, key.addr, key.port, key.fwmark)


def _server_key(key: ServerKey) -> tuple[int, bytes, int]:
    return (key.af, key.addr, key.port)


class Tables:
    """A `Balancer` on top of an Engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.standby: frozenset[bytes] = frozenset()  # addresses that are left to the host
        # edits refused for want of room, by the table's name and the option that sizes it
        self.turned_away: collections.Counter[tuple[str, str]] = collections.Counter()

    def _refused(self, failed: OSError, table: str, option: str) -> KernelError:
        if failed.errno == errno.ENOSPC:
            self.turned_away[table, option] += 1
        return KernelError(failed.errno or errno.EINVAL)

    def _edit_service(self, svc: VirtualService, *, edit: bool) -> None:
        try:
            self.engine.service_put(
                _service_key(svc.key),
                svc.scheduler.encode()[:15],
                int(svc.flags),
                svc.timeout_s,
                svc.netmask,
                svc.pe_name.encode()[:15],
                edit,
            )
        except OSError as e:
            raise self._refused(e, "service", "services") from None

    def add_service(self, svc: VirtualService) -> None:
        self._edit_service(svc, edit=False)

    def edit_service(self, svc: VirtualService) -> None:
        self._edit_service(svc, edit=True)

    def delete_service(self, key: ServiceKey) -> None:
        try:
            self.engine.service_del(_service_key(key))
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def flush(self) -> None:
        for row in self.engine.services():
            self.engine.service_del(row[0])

    def settle(self) -> None:
        """Does nothing: the engine meets an edit at once."""

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        old, self.standby = self.standby, addresses
        for addr in old ^ addresses:
            self.engine.standby_set(addr, addr in addresses)

    def _edit_server(self, key: ServiceKey, server: RealServer, *, edit: bool) -> None:
        try:
            self.engine.server_put(
                _service_key(key),
                _server_key(server.key),
                int(server.method),
                server.weight,
                server.u_threshold,
                server.l_threshold,
                int(server.tun_type),
                server.tun_port,
                int(server.tun_flags),
                edit,
            )
        except OSError as e:
            raise self._refused(e, "server", "servers") from None

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        self._edit_server(key, server, edit=False)

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        self._edit_server(key, server, edit=True)

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        try:
            self.engine.server_del(_service_key(key), _server_key(server))
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        if not self.engine.local_ports():
            raise ControlError(NO_PORTS)
        try:
            self.engine.laddr_add(_service_key(key), addr)
        except OSError as e:
            raise self._refused(e, "local address", "services") from None

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        try:
            self.engine.laddr_del(_service_key(key), addr)
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def laddrs(self, key: ServiceKey) -> list[bytes]:
        try:
            return self.engine.laddrs(_service_key(key))
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def zero(self, key: ServiceKey | None) -> None:
        try:
            self.engine.zero(None if key is None else _service_key(key))
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def set_timeouts(self, timeouts: Timeouts) -> None:
        for name in ("tcp", "tcpfin", "udp"):
            value = getattr(timeouts, name)
            if value:
                self.engine.set_setting(f"{name}_timeout_s", value)

    def timeouts(self) -> Timeouts:
        return Timeouts(
            *(self.engine.setting(f"{name}_timeout_s") for name in ("tcp", "tcpfin", "udp"))
        )

    def services(self) -> list[ServiceState]:
        rows = [_service_state(row) for row in self.engine.services()]
        return sorted(rows, key=lambda s: s.service.key.fwmark != 0)

    def service(self, key: ServiceKey) -> ServiceState:
        try:
            return _service_state(self.engine.service(_service_key(key)))
        except OSError as e:
            raise KernelError(e.errno or errno.EINVAL) from None

    def lingering(self) -> list[tuple[ServiceKey, RealServer]]:
        """Returns the deleted servers whose connections may go on, with their service's key."""
        return [
            (ServiceKey(*key), _server_state(row).server) for key, row in self.engine.lingering()
        ]

    def connections(self) -> Iterator[Connection]:
        return _read(self.engine.connections)

    def listing(self, *, with_engines: bool) -> Iterator[bytes]:
        return _blocks(lambda start: self.engine.text(start, CELLS, with_engines))

    def table_size(self) -> int:
        return self.engine.table_size

    def sysctl(self, name: str) -> str:
        if name in FIXED:
            return FIXED[name]()
        if name not in SETTINGS:
            raise KernelError(errno.ENOENT)
        return "\t".join(str(self.engine.setting(part)) for part in PARTS.get(name, (name,)))

    def set_sysctl(self, name: str, value: str) -> None:
        if name in FIXED:
            raise KernelError(errno.EPERM)
        if name not in SETTINGS:
            raise KernelError(errno.ENOENT)
        numbers = SETTINGS[name].parse(value)
        for part, number in zip(PARTS.get(name, (name,)), numbers, strict=True):
            self.engine.set_setting(part, number)

    def counters(self) -> list[Counter]:
        became = [("sent", "sent"), ("given back", "host"), ("held", "held"), ("dropped", "drop")]
        verdicts = self.engine.verdicts()
        rows = [Counter("packets", name, verdicts[verdict]) for name, verdict in became]
        rows.append(Counter("packets", "handed over", self.engine.handed()))
        rows += [Counter("dropped", *row) for row in sorted(self.engine.reasons().items())]
        for scheduler, (_, events, _) in sorted(self.engine.schedulers().items()):
            prefix = scheduler.decode()
            rows += [Counter("scheduler", f"{prefix} {what}", n) for what, n in events.items()]
        return rows

    def marks(self) -> list[FwmarkRule]:
        return [marking.model_rule(row) for row in self.engine.marks()]

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        marking.check(rules)
        self.engine.marks_replace([marking.engine_row(rule) for rule in rules])

    def add_mark(self, rule: FwmarkRule) -> None:
        self.set_marks([*self.marks(), rule])

    def delete_mark(self, rule: FwmarkRule) -> None:
        self.set_marks(marking.without_rule(self.marks(), rule))

    def find_interfaces(self) -> bool:
        """Looks up again where the interfaces are that mark rules name; True if one moved."""
        rows = self.engine.marks()
        found = [marking.engine_row(marking.model_rule(row)) for row in rows]
        if found == rows:
            return False
        self.engine.marks_replace(found)
        return True

    def add_scheduler(self, name: str, scheduler: Any) -> str:
        """Registers a scheduler that is not built in; returns its name.

        `scheduler`: a class like model.scheduling.Scheduler, or the capsule of a compiled one,
        which has a name of its own.  Raises TypeError or ValueError when it does not fit.
        """
        if isinstance(scheduler, type):
            self.engine.scheduler_add(name.encode(), scheduler)
            return name
        return self.engine.scheduler_add_capsule(scheduler).decode()

    def start_daemon(self, daemon: SyncDaemon) -> None:
        raise ControlError(NO_SYNC)

    def stop_daemon(self, role: SyncRole) -> None:
        raise KernelError(errno.ESRCH)

    def daemons(self) -> list[SyncDaemon]:
        return []


def read_connections(fd: int) -> Iterator[Connection]:
    """Yields the connections in the arena file of a director that may be at work, which it does
    not disturb; ControlError when the file is none, or of another version of lbfast."""
    reader = _reader(fd)
    return _read(lambda start, limit: reader.connections(start, limit, time.monotonic_ns()))


def read_listing(fd: int, *, with_engines: bool) -> Iterator[bytes]:
    """Yields the same as rows of `ipvsadm -Lnc`, a block at a time."""
    reader = _reader(fd)
    return _blocks(lambda start: reader.text(start, time.monotonic_ns(), CELLS, with_engines))


def _reader(fd: int) -> Reader:
    try:
        return Reader(fd)
    except ValueError as wrong:
        raise ControlError(f"cannot read the director's connections: {wrong}") from None


def _read(rows_from: Callable[[int, int], tuple[list[Any], int]]) -> Iterator[Connection]:
    start = 0
    while True:
        rows, start = rows_from(start, CHUNK)
        yield from map(_connection, rows)
        if not start:
            return


def _blocks(block_from: Callable[[int], tuple[bytes, int]]) -> Iterator[bytes]:
    start = 0
    while True:
        block, start = block_from(start)
        if block:
            yield block
        if not start:
            return


def open_engine(
    fd: int, sizes: tuple[int, int, int], *, workers: int, boot_id: bytes, now_ns: int
) -> Engine:
    """Maps the arena file and attaches to what is in it.

    `sizes`: connections, destinations, services of a new arena; one that is there keeps its own.
    An arena of another layout, or of another boot of the kernel (whose clock the timers follow),
    is emptied; `Engine.found` says what was taken over.
    """
    there = arena.sizes_in(fd)
    engine = None
    if there is not None and there[0] == arena.LAYOUT_VERSION:
        engine = _map(fd, there[1:], workers, boot_id, now_ns)
        if engine.boot_id != boot_id:
            engine = None
    if engine is None:
        os.ftruncate(fd, 0)
        engine = _map(fd, sizes, workers, boot_id, now_ns)
        engine.set_setting("sync_qlen_max", os.sysconf("SC_AVPHYS_PAGES") // 32)
    return engine


def _map(
    fd: int, sizes: tuple[int, int, int], workers: int, boot_id: bytes, now_ns: int
) -> Engine:
    conns, dests, services = sizes
    return Engine(
        conns=conns, dests=dests, services=services, workers=workers, fd=fd, boot_id=boot_id,
        now_ns=now_ns,
    )  # fmt: skip


# ---- rows of the engine as nouns of the model


def _stats(row: tuple[int, ...]) -> Stats:
    return Stats(*row)


def _server_state(row: tuple) -> ServerState:  # type: ignore[type-arg]
    key, method, weight, upper, lower, kind, port, flags, active, inactive, persistent, stats = row
    server = RealServer(
        ServerKey(*key),
        Method(method),
        weight,
        upper,
        lower,
        TunnelType(kind),
        port,
        TunnelFlags(flags),
    )
    return ServerState(server, active, inactive, persistent, _stats(stats))


def _service_state(row: tuple) -> ServiceState:  # type: ignore[type-arg]
    key, scheduler, flags, timeout_s, netmask, pe_name, stats, servers, laddrs = row
    service = VirtualService(
        ServiceKey(*key),
        scheduler.decode(),
        ServiceFlags(flags),
        timeout_s,
        netmask,
        pe_name.decode(),
    )
    states = tuple(_server_state(s) for s in servers)
    return ServiceState(service, states, _stats(stats), laddrs)


def _connection(row: tuple) -> Connection:  # type: ignore[type-arg]
    af, protocol, caddr, cport, vaddr, vport, daddr, dport, state, ms, flags, pe_data, *local = row
    return Connection(
        af,
        protocol,
        caddr,
        cport,
        vaddr,
        vport,
        daddr,
        dport,
        _state_name(protocol, state, flags & STATE_FLAGS),
        ms // 1000,
        flags,
        PE_NAME if pe_data else "",
        pe_data,
        *local,
    )


_state_name = lru_cache(maxsize=1024)(states.name)
