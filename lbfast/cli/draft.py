"""What one command line asks for, as far as it has been read."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from lbfast.model import (
    AF_INET,
    Method,
    RealServer,
    ServerKey,
    ServiceFlags,
    ServiceKey,
    SyncDaemon,
    SyncRole,
    Timeouts,
    TunnelFlags,
    TunnelType,
    VirtualService,
)

FAILED = 255  # what -1 is as an exit status
USAGE = 2


class Stop(Exception):
    """Ends the whole run at once, also one that reads many lines: an exit status and texts."""

    def __init__(self, status: int, error: str = "", output: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.output = status, error, output


class LineFailed(Exception):
    """Ends one line; where many are read the next one follows."""


def usage_error(sentence: str) -> Stop:
    """Returns what says that the words make no sense."""
    return Stop(USAGE, sentence + "\n")


@dataclass(slots=True)
class ServiceDraft:
    """A virtual service being described; ports stay 0 and protocol 0 until an option says."""

    af: int = 0
    protocol: int = 0
    addr: bytes = b""
    port: int = 0
    fwmark: int = 0
    netmask: int = 0xFFFFFFFF
    scheduler: str = ""
    flags: ServiceFlags = ServiceFlags.NONE
    timeout_s: int = 0
    pe_name: str = ""
    sched_flags: str = ""  # as typed, understood once the scheduler is known

    def key(self) -> ServiceKey:
        if self.fwmark:
            return ServiceKey(self.af, fwmark=self.fwmark)
        return ServiceKey(self.af, self.protocol, self.addr, self.port)

    def service(self) -> VirtualService:
        return VirtualService(
            key=self.key(),
            scheduler=self.scheduler,
            flags=self.flags,
            timeout_s=self.timeout_s,
            netmask=self.netmask,
            pe_name=self.pe_name,
        )


@dataclass(slots=True)
class ServerDraft:
    """A real server being described."""

    af: int = 0
    addr: bytes = b""
    port: int = 0
    method: Method = Method.DROUTE
    weight: int = 1
    u_threshold: int = 0
    l_threshold: int = 0
    tun_type: TunnelType = TunnelType.IPIP
    tun_port: int = 0
    tun_flags: TunnelFlags = TunnelFlags.NOCSUM

    def key(self) -> ServerKey:
        return ServerKey(self.af, self.addr, self.port)

    def server(self) -> RealServer:
        return RealServer(
            key=self.key(),
            method=self.method,
            weight=self.weight,
            u_threshold=self.u_threshold,
            l_threshold=self.l_threshold,
            tun_type=self.tun_type,
            tun_port=self.tun_port,
            tun_flags=self.tun_flags,
        )


@dataclass(slots=True)
class DaemonDraft:
    """A synchronisation daemon being described."""

    role: SyncRole = SyncRole.MASTER
    interface: str = ""
    sync_id: int = 0
    maxlen: int = 0
    group: bytes = b""
    port: int = 0
    ttl: int = 0

    def daemon(self) -> SyncDaemon:
        return SyncDaemon(
            role=self.role,
            interface=self.interface or "eth0",
            sync_id=self.sync_id,
            maxlen=self.maxlen,
            group=self.group,
            port=self.port,
            ttl=self.ttl,
        )


_KEEP = Timeouts(0, 0, 0)


@dataclass(slots=True)
class Draft:
    """One command line: its command, the classes of its options, and what they said."""

    command: str
    given: set[str] = field(default_factory=set)
    service: ServiceDraft = field(default_factory=ServiceDraft)
    server: ServerDraft = field(default_factory=ServerDraft)
    daemon: DaemonDraft = field(default_factory=DaemonDraft)
    timeouts: Timeouts = _KEEP
    laddr: bytes = b""

    def set_fwmark(self, mark: int) -> None:
        """Makes the service one of a firewall mark; its protocol only matters to port names."""
        self.service.af, self.service.protocol = AF_INET, socket.IPPROTO_TCP
        self.service.fwmark = mark
