"""The nouns that every part of lbfast shares, as frozen values.

Addresses are `bytes` in network byte order (4 for IPv4, 16 for IPv6), ports are plain integers in
host order, times are seconds unless the name says otherwise (spec/ipvs.md section 1).
"""

from __future__ import annotations

import enum
import socket
from dataclasses import dataclass, field
from typing import NamedTuple

AF_INET = int(socket.AF_INET)
AF_INET6 = int(socket.AF_INET6)


class Method(enum.IntEnum):
    """How a packet reaches its real server; the kernel's numbers (spec 1.3)."""

    MASQ = 0
    LOCAL = 1
    TUNNEL = 2
    DROUTE = 3
    BYPASS = 4
    FULLNAT = 5


class TunnelType(enum.IntEnum):
    IPIP = 0
    GUE = 1
    GRE = 2


class TunnelFlags(enum.IntFlag):
    NOCSUM = 0
    CSUM = 1
    REMCSUM = 2


class ServiceFlags(enum.IntFlag):
    """Flags of a virtual service (spec 1.2); the internal HASHED bit is not among them."""

    NONE = 0
    PERSISTENT = 0x01
    ONEPACKET = 0x04
    SCHED1 = 0x08
    SCHED2 = 0x10
    SCHED3 = 0x20


@dataclass(frozen=True, slots=True, order=True)
class ServiceKey:
    """What tells one virtual service from another: a fwmark, or protocol, address and port."""

    af: int
    protocol: int = 0  # IPPROTO_*; 0 for a fwmark service
    addr: bytes = b""
    port: int = 0
    fwmark: int = 0


@dataclass(frozen=True, slots=True)
class VirtualService:
    key: ServiceKey
    scheduler: str = "wlc"
    flags: ServiceFlags = ServiceFlags.NONE
    timeout_s: int = 0  # persistence time-out
    netmask: int = 0xFFFFFFFF  # IPv4: mask as a host-order integer; IPv6: prefix length 1..128
    pe_name: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ServerKey:
    """What tells one real server of a service from another."""

    af: int
    addr: bytes
    port: int


@dataclass(frozen=True, slots=True)
class RealServer:
    key: ServerKey
    method: Method = Method.DROUTE
    weight: int = 1
    u_threshold: int = 0
    l_threshold: int = 0
    tun_type: TunnelType = TunnelType.IPIP
    tun_port: int = 0
    tun_flags: TunnelFlags = TunnelFlags.NOCSUM


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters and their rates as the kernel's estimator shows them (spec 7)."""

    conns: int = 0
    inpkts: int = 0
    outpkts: int = 0
    inbytes: int = 0
    outbytes: int = 0
    cps: int = 0
    inpps: int = 0
    outpps: int = 0
    inbps: int = 0  # bytes per second, as the kernel means it
    outbps: int = 0


@dataclass(frozen=True, slots=True)
class ServerState:
    server: RealServer
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    stats: Stats = field(default_factory=Stats)


@dataclass(frozen=True, slots=True)
class ServiceState:
    service: VirtualService
    servers: tuple[ServerState, ...] = ()  # list order: newest first (spec 1.6)
    stats: Stats = field(default_factory=Stats)
    laddrs: tuple[bytes, ...] = ()  # local addresses for FULLNAT, oldest first


class Connection(NamedTuple):
    """One entry of the connection table as `-Lnc` shows it (spec 4.12).

    A tuple, because a million of them are made to be listed.
    """

    af: int
    protocol: int  # 0 for the template of a fwmark service
    caddr: bytes
    cport: int
    vaddr: bytes  # of a fwmark template: the mark in the first four bytes, then 0
    vport: int
    daddr: bytes
    dport: int
    state: str
    expires_s: int
    flags: int = 0
    pe_name: str = ""
    pe_data: bytes = b""
    laddr: bytes = b""  # FULLNAT: what the real server sees as its client
    lport: int = 0


@dataclass(frozen=True, slots=True)
class Counter:
    """One number since the director started: `packets`, `dropped` or an interface; of what."""

    group: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The three time-outs of `ipvsadm --set`; 0 means keep (spec 4.5)."""

    tcp: int = 900
    tcpfin: int = 120
    udp: int = 300


class SyncRole(enum.IntEnum):
    """What a synchronisation daemon does; the kernel's numbers (spec 9.1)."""

    MASTER = 1
    BACKUP = 2


@dataclass(frozen=True, slots=True)
class SyncDaemon:
    """One synchronisation daemon (spec 8.1); 0 and empty mean: take the default."""

    role: SyncRole
    interface: str
    sync_id: int = 0
    maxlen: int = 0
    group: bytes = b""  # 4 or 16 bytes
    port: int = 0
    ttl: int = 0
