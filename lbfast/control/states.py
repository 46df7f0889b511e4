"""Names of connection states as `-Lnc` prints them (spec/ipvs.md 4.5-4.7)."""

from __future__ import annotations

import socket

TEMPLATE = 0x1000
ASSURED = 0x800000

TCP = (
    "NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT",
    "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK",
)  # fmt: skip
SCTP = (
    "NONE", "INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE",
    "C-ECHOED", "ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED",
)  # fmt: skip
_CELL = 12  # the compiled listing's column, with the blank behind it


def cells() -> bytes:
    """Returns the names as the compiled listing takes them (_fast/listing.pxi)."""
    numbered = [tuple(list(names) + ["NONE"] * (16 - len(names))) for names in (TCP, SCTP)]
    names = (*numbered[0], *numbered[1], "UDP", "NONE", "ASSURED")
    return b"".join(name.ljust(_CELL).encode() for name in names)


def name(protocol: int, state: int, flags: int) -> str:
    """Returns the kernel's long name of a connection's state."""
    if flags & TEMPLATE:
        return "ASSURED" if flags & ASSURED else "NONE"
    if protocol == socket.IPPROTO_TCP:
        return TCP[state]
    if protocol == socket.IPPROTO_SCTP:
        return SCTP[state]
    if protocol == socket.IPPROTO_UDP:
        return "UDP"
    return "NONE"
