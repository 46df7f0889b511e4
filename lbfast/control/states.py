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
