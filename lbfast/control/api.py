"""What the ipvsadm words, and everybody else, can ask of a running director."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lbfast.model import (
    Connection,
    Counter,
    RealServer,
    ServerKey,
    ServiceKey,
    ServiceState,
    SyncDaemon,
    SyncRole,
    Timeouts,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule


class Balancer(Protocol):
    """The virtual services of one director and what they do.

    Every method raises `KernelError` with the errno the kernel's IPVS would give where that would
    refuse (spec/ipvs.md 9.1), and `ControlError` when the director cannot be reached.
    """

    def add_service(self, svc: VirtualService) -> None:
        """Adds a service; EEXIST, ENOENT for its scheduler or engine, EINVAL."""

    def edit_service(self, svc: VirtualService) -> None:
        """Replaces everything but the key; ESRCH, ENOENT, EINVAL."""

    def delete_service(self, key: ServiceKey) -> None:
        """Deletes a service and its servers; ESRCH."""

    def flush(self) -> None:
        """Deletes all services; connections stay."""

    def settle(self) -> None:
        """Returns when packets meet everything that was edited before."""

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        """Leaves what is sent to these addresses, and to no others, to the host: another director
        serves them."""

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        """Adds a real server at the head of the list; ESRCH, EEXIST, EINVAL, ERANGE."""

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        """Replaces everything but the key, in place; ESRCH, ENOENT, EINVAL, ERANGE."""

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        """Deletes a real server; ESRCH, ENOENT."""

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        """Gives a service a local address for FULLNAT; ESRCH, EEXIST, EINVAL."""

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        """Takes a local address away; ESRCH, ENOENT."""

    def laddrs(self, key: ServiceKey) -> list[bytes]:
        """Returns the local addresses of a service, oldest first; ESRCH."""

    def zero(self, key: ServiceKey | None) -> None:
        """Zeroes the counters of one service, or with None of everything; ESRCH."""

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Sets the time-outs that are not 0."""

    def timeouts(self) -> Timeouts:
        """Returns the time-outs in force."""

    def services(self) -> list[ServiceState]:
        """Returns all services in the kernel's order, servers newest first."""

    def service(self, key: ServiceKey) -> ServiceState:
        """Returns one service; ESRCH."""

    def connections(self) -> Iterator[Connection]:
        """Yields the connection table in no order; entries may come and go meanwhile."""

    def listing(self, *, with_engines: bool) -> Iterator[bytes] | None:
        """Yields the same as finished rows of `ipvsadm -Lnc`, thousands at a time, with what
        persistence engines found where asked; None: connections() has to do."""

    def table_size(self) -> int:
        """Returns the size of the connection hash table that listings show."""

    def sysctl(self, name: str) -> str:
        """Returns the value of `net.ipv4.vs.NAME`; ENOENT."""

    def set_sysctl(self, name: str, value: str) -> None:
        """Sets `net.ipv4.vs.NAME`; ENOENT, EINVAL."""

    def counters(self) -> list[Counter]:
        """Returns what became of packets: verdicts, drops by reason, frames by interface."""

    def marks(self) -> list[FwmarkRule]:
        """Returns the rules that give packets a fwmark, in order."""

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        """Replaces all of them; EEXIST when one is there twice, ENOSPC, EINVAL."""

    def add_mark(self, rule: FwmarkRule) -> None:
        """Adds a rule behind the others; EEXIST, ENOSPC, EINVAL."""

    def delete_mark(self, rule: FwmarkRule) -> None:
        """Deletes a rule; ENOENT."""

    def start_daemon(self, daemon: SyncDaemon) -> None:
        """Starts a synchronisation daemon; EEXIST, ENODEV, EINVAL."""

    def stop_daemon(self, role: SyncRole) -> None:
        """Stops a synchronisation daemon; ESRCH."""

    def daemons(self) -> list[SyncDaemon]:
        """Returns the running synchronisation daemons with everything resolved, master first."""
