"""Listings and rules as text, byte for byte as ipvsadm prints them (spec/ipvs.md 10.5-10.8)."""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lbfast.cli.addresses import Names, show_endpoint
from lbfast.cli.order import compare_servers, difference, merge_sort
from lbfast.cli.schedflags import show_sched_flags
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Connection,
    Method,
    RealServer,
    ServerState,
    ServiceFlags,
    ServiceState,
    Stats,
    SyncDaemon,
    SyncRole,
    Timeouts,
    TunnelFlags,
    TunnelType,
    VirtualService,
)

_UINT_MAX = 0xFFFFFFFF
_SERVICE_WIDTH, _SERVER_WIDTH = 33, 28  # IPv4 text is cut there
_PROTOCOLS: Mapping[int, str] = {
    socket.IPPROTO_TCP: "TCP",
    socket.IPPROTO_UDP: "UDP",
    socket.IPPROTO_SCTP: "SCTP",
}
_METHODS: Mapping[Method, str] = {
    Method.MASQ: "Masq",
    Method.LOCAL: "Local",
    Method.TUNNEL: "Tunnel",
    Method.DROUTE: "Route",
    Method.FULLNAT: "FullNat",
}


class Columns(enum.Enum):
    """What a listing shows of each server; the first one asked for wins."""

    STATS = "stats"
    RATE = "rate"
    THRESHOLDS = "thresholds"
    PERSISTENT_CONN = "persistent-conn"
    TUN_INFO = "tun-info"
    NORMAL = ""


@dataclass(frozen=True, slots=True)
class Style:
    """How a listing is to look; `names` is None for numbers only."""

    columns: Columns = Columns.NORMAL
    names: Names | None = None
    is_exact: bool = False
    is_sorted: bool = True


def version_line(table_size: int) -> str:
    """Returns the first line of a listing of everything."""
    return f"IP Virtual Server version 1.2.1 (size={table_size})\n"


def _titles(*titles: str) -> str:
    return "Prot LocalAddress:Port".ljust(33) + "".join(f" {title:>8}" for title in titles)


_REMOTE = "  -> RemoteAddress:Port"
_TITLES: Mapping[Columns, tuple[str, str]] = {
    Columns.STATS: (_titles("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"), _REMOTE),
    Columns.RATE: (_titles("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"), _REMOTE),
    Columns.THRESHOLDS: (
        "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ",
        _REMOTE,
    ),
    Columns.PERSISTENT_CONN: (
        "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ",
        _REMOTE,
    ),
    Columns.TUN_INFO: (
        "Prot LocalAddress:Port Scheduler Flags",
        _REMOTE.ljust(33) + " Forward TunnelInfo    Weight ActiveConn InActConn",
    ),
    Columns.NORMAL: (
        "Prot LocalAddress:Port Scheduler Flags",
        _REMOTE.ljust(33) + " Forward Weight ActiveConn InActConn",
    ),
}


def title(style: Style) -> str:
    """Returns the two title lines of a listing."""
    return "".join(line + "\n" for line in _TITLES[style.columns])


def large_number(value: int, *, is_exact: bool) -> str:
    """Returns a counter in at least nine columns, cut down to thousands and more if need be."""
    if is_exact:
        return f"{value:9d}" if value < 100_000_000 else f" {value}"
    for limit, unit, letter in _SCALES:
        if value < limit:
            return f"{value:9d}" if not letter else f"{value // unit:8d}{letter}"
    return f"{value // 10**12:8d}T"


_SCALES = (
    (100_000_000, 1, ""),
    (1_000_000_000, 10**3, "K"),
    (100_000_000_000, 10**6, "M"),
    (100_000_000_000_000, 10**9, "G"),
)


def service_block(state: ServiceState, style: Style) -> Iterator[str]:
    """Yields the line of a service and those of its servers."""
    service = state.service
    name = _service_name(service, style.names)
    if style.columns is Columns.STATS:
        yield f"{name:<33}{_counters(state.stats, style)}\n"
    elif style.columns is Columns.RATE:
        yield f"{name:<33}{_rates(state.stats, style)}\n"
    else:
        yield f"{name} {service.scheduler}{_service_suffix(service)}\n"
    show = _SERVER_ROWS[style.columns]
    for server in in_order(state.servers, style):
        yield show(_server_name(service, server.server, style.names), server, style)


def in_order(servers: Sequence[ServerState], style: Style) -> Sequence[ServerState]:
    return merge_sort(servers, compare_servers) if style.is_sorted else servers


def _service_name(service: VirtualService, names: Names | None) -> str:
    key = service.key
    if key.fwmark:
        version = " IPv6" if key.af == AF_INET6 else ""
        return f"FWM  {difference(key.fwmark, 0)}{version}"
    endpoint = show_endpoint(key.af, key.addr, key.port, key.protocol, names)
    name = f"{_PROTOCOLS.get(key.protocol, '?'):<4} {endpoint}"
    return name[:_SERVICE_WIDTH] if key.af == AF_INET else name


def _service_suffix(service: VirtualService) -> str:
    text = ""
    flags = show_sched_flags(service.scheduler, service.flags)
    if flags is not None:
        text += f" ({flags})"
    if service.flags & ServiceFlags.PERSISTENT:
        text += f" persistent {service.timeout_s}"
        if not is_default_netmask(service):
            text += f" mask {netmask_text(service)}"
        if service.pe_name:
            text += f" pe {service.pe_name}"
    if service.flags & ServiceFlags.ONEPACKET:
        text += " ops"
    return text


def is_default_netmask(service: VirtualService) -> bool:
    return service.netmask == (128 if service.key.af == AF_INET6 else _UINT_MAX)


def netmask_text(service: VirtualService) -> str:
    if service.key.af == AF_INET6:
        return str(service.netmask)
    return socket.inet_ntoa(service.netmask.to_bytes(4, "big"))


def _server_name(service: VirtualService, server: RealServer, names: Names | None) -> str:
    key = server.key
    name = show_endpoint(key.af, key.addr, key.port, service.key.protocol, names)
    return name[:_SERVER_WIDTH] if key.af == AF_INET else name


def _numbers(values: Sequence[int], style: Style) -> str:
    return "".join(large_number(value, is_exact=style.is_exact) for value in values)


def _counters(stats: Stats, style: Style) -> str:
    values = (stats.conns, stats.inpkts, stats.outpkts, stats.inbytes, stats.outbytes)
    return _numbers(values, style)


def _rates(stats: Stats, style: Style) -> str:
    return _numbers((stats.cps, stats.inpps, stats.outpps, stats.inbps, stats.outbps), style)


# ipvsadm 1.31 keeps only 32 bits of a server's counters, except bytes


def _counters_row(name: str, server: ServerState, style: Style) -> str:
    stats = server.stats
    counts = [value & _UINT_MAX for value in (stats.conns, stats.inpkts, stats.outpkts)]
    return f"  -> {name:<28}{_numbers([*counts, stats.inbytes, stats.outbytes], style)}\n"


def _rates_row(name: str, server: ServerState, style: Style) -> str:
    stats = server.stats
    packets = "".join(
        f" {value & _UINT_MAX:8d}" for value in (stats.cps, stats.inpps, stats.outpps)
    )
    rates = [value & _UINT_MAX for value in (stats.inbps, stats.outbps)]
    return f"  -> {name:<28}{packets}{_numbers(rates, style)}\n"


def _thresholds_row(name: str, state: ServerState, style: Style) -> str:
    server = state.server
    return (
        f"  -> {name:<28} {server.u_threshold:<10} {server.l_threshold:<10} "
        f"{state.active:<10} {state.inactive:<10}\n"
    )


def _persistent_row(name: str, state: ServerState, style: Style) -> str:
    return (
        f"  -> {name:<28} {state.server.weight:<9} {state.persistent:<11} "
        f"{state.active:<10} {state.inactive:<10}\n"
    )


def _tunnel_row(name: str, state: ServerState, style: Style) -> str:
    server = state.server
    return (
        f"  -> {name:<28} {_METHODS.get(server.method, '?'):<7} {_tunnel(server):<13} "
        f"{server.weight:<6} {state.active:<10} {state.inactive:<10}\n"
    )


def _normal_row(name: str, state: ServerState, style: Style) -> str:
    server = state.server
    return (
        f"  -> {name:<28} {_METHODS.get(server.method, '?'):<7} "
        f"{server.weight:<6} {state.active:<10} {state.inactive:<10}\n"
    )


_SERVER_ROWS: Mapping[Columns, Callable[[str, ServerState, Style], str]] = {
    Columns.STATS: _counters_row,
    Columns.RATE: _rates_row,
    Columns.THRESHOLDS: _thresholds_row,
    Columns.PERSISTENT_CONN: _persistent_row,
    Columns.TUN_INFO: _tunnel_row,
    Columns.NORMAL: _normal_row,
}
_CHECKSUM_MARKS: Mapping[int, str] = {
    TunnelFlags.NOCSUM: "-c",
    TunnelFlags.CSUM: "+c",
    TunnelFlags.REMCSUM: "r+c",
}


def _tunnel(server: RealServer) -> str:
    if server.method is not Method.TUNNEL:
        return "n/a"
    mark = _CHECKSUM_MARKS.get(server.tun_flags, "?")
    if server.tun_type is TunnelType.GUE:
        return f"gue:{server.tun_port}:{mark}"
    return f"gre:{mark}" if server.tun_type is TunnelType.GRE else "ipip"


def address_text(addr: bytes) -> str:
    return socket.inet_ntop(_family(addr), addr)


def _family(addr: bytes) -> int:
    return AF_INET6 if len(addr) == 16 else AF_INET


def laddr_block(state: ServiceState, style: Style) -> Iterator[str]:
    """Yields the line of a service and those of its local addresses."""
    yield f"{_service_name(state.service, style.names)}\n"
    for addr in state.laddrs:
        yield f"  -> {address_text(addr)}\n"


LADDR_TITLE = "Prot VirtualAddress:Port\n  -> LocalAddress\n"


def connection_title(style: Style) -> str:
    """Returns what stands above the rows of the connection table."""
    text = f"IPVS connection entries\npro expire {'state':<11} {'source':<18} {'virtual':<18} "
    if style.columns is Columns.PERSISTENT_CONN:
        return f"{text}{'destination':<18} {'pe name':<16} pe_data\n"
    return f"{text}destination\n"


def connection_row(connection: Connection, style: Style) -> str:
    """Returns the row of one connection."""
    c = connection
    protocol = "IP" if c.protocol == 0 else _PROTOCOLS.get(c.protocol, f"IP_{c.protocol}")
    expire = f"{c.expires_s // 60:02d}:{c.expires_s % 60:02d}"
    shown = show_endpoint if style.names else _seen_before
    client = show_endpoint(_family(c.caddr), c.caddr, c.cport, c.protocol, style.names)
    virtual = shown(_family(c.vaddr), c.vaddr, c.vport, c.protocol, style.names)
    real = shown(_family(c.daddr), c.daddr, c.dport, c.protocol, style.names)
    row = f"{protocol:<3} {expire:<6} {c.state:<11} {client:<18} {virtual:<18} "
    if style.columns is Columns.PERSISTENT_CONN and c.pe_name:
        data = c.pe_data.decode("utf-8", "surrogateescape")
        return f"{row}{real:<16} {c.pe_name:<18} {data}\n"
    if c.laddr:  # FULLNAT: the client as its server sees it
        local = show_endpoint(_family(c.laddr), c.laddr, c.lport, c.protocol, style.names)
        return f"{row}{real:<18} {local}\n"
    return f"{row}{real}\n"


# of services and servers, of which there are few in a table of many connections
_seen_before: Callable[..., str] = lru_cache(maxsize=4096)(show_endpoint)


def timeout_line(timeouts: Timeouts) -> str:
    """Returns the line of `-L --timeout`."""
    return f"Timeout (tcp tcpfin udp): {timeouts.tcp} {timeouts.tcpfin} {timeouts.udp}\n"


def daemon_line(daemon: SyncDaemon) -> str:
    """Returns the line of one daemon in `-L --daemon`; what is not known is left out."""
    role = "master" if daemon.role is SyncRole.MASTER else "backup"
    parts = [f"mcast={daemon.interface}", f"syncid={daemon.sync_id}"]
    if daemon.maxlen:
        parts.append(f"maxlen={daemon.maxlen}")
    if daemon.group:
        parts.append(f"group={address_text(daemon.group)}")
    if daemon.port:
        parts.append(f"port={daemon.port}")
    if daemon.ttl:
        parts.append(f"ttl={daemon.ttl}")
    return f"{role} sync daemon ({', '.join(parts)})\n"
