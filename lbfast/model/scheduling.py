"""What a scheduler in Python is given, and what it has to be; `lbfast.lab` hands these on."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar, NamedTuple


class Flow(NamedTuple):
    """A connection that is to be made, was made, or ended.

    Addresses are bytes in network order, 4 or 16 of them; ports are numbers (ICMP has none: 0).
    """

    protocol: int  # 6 TCP, 17 UDP, 132 SCTP
    caddr: bytes  # client
    cport: int
    vaddr: bytes  # virtual service, as the client sees it
    vport: int
    fwmark: int = 0  # of the service; 0: the service is an address
    now_ns: int = 0  # CLOCK_MONOTONIC, or the clock of a trial

    @property
    def client(self) -> IPv4Address | IPv6Address:
        """The client's address, as ipaddress has it."""
        return ip_address(self.caddr)


class Server(NamedTuple):
    """A real server at the moment of the call; the next call gets new ones."""

    addr: bytes  # 4 or 16 bytes in network order
    port: int  # 0: the client's
    weight: int = 1  # 0: quiesced
    active: int = 0  # established connections
    inactive: int = 0  # in any other state
    overloaded: bool = False  # over its upper threshold

    @property
    def usable(self) -> bool:
        """Whether it may get new connections: neither quiesced nor overloaded."""
        return self.weight > 0 and not self.overloaded

    @property
    def overhead(self) -> int:
        """The load that lc and wlc compare: an active connection counts as 256 more."""
        return 257 * self.active + self.inactive

    def __str__(self) -> str:
        address = ip_address(self.addr)
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"


class Scheduler:
    """Base class of schedulers in Python.  `name` is the one to be given with `ipvsadm -s`.

    Each virtual service gets an instance of its own, made without arguments.  `pick` is all that
    is needed; the other methods are hooks, called only where a class has its own.  Calls of one
    director never overlap.  An exception, a wrong answer or one that takes longer than 20 ms is
    counted and logged, and wlc decides instead.
    """

    name: ClassVar[str] = ""

    def pick(self, flow: Flow, servers: Sequence[Server]) -> Server | None:
        """Returns one of the usable `servers` for a new connection, or None to refuse it.

        `servers` is a tuple, the server added last comes first; a server counts by its address
        and port, so one that was kept from an earlier call will do.
        """
        raise NotImplementedError

    def opened(self, flow: Flow, server: Server) -> None:
        """A connection was made, also one that `pick` was not asked for (persistence)."""

    def closed(self, flow: Flow, server: Server) -> None:
        """A connection ended; not called once its server was removed from the service."""

    def changed(self, servers: Sequence[Server]) -> None:
        """The list, a weight or a threshold changed; called before the next `pick`."""
