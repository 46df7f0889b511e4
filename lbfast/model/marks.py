"""Rules that give packets a fwmark: a tap does not see the marks of the host's own rules."""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.model import AF_INET

MAX_MARK_RULES = 128
ANY_PORT = (0, 65535)


@dataclass(frozen=True, slots=True)
class FwmarkRule:
    """One rule; of several that apply to a packet the last decides.

    A prefix has no bits set behind its length, and without a length is b"".
    """

    mark: int  # 0: the packet has none, whatever rules before this one say
    af: int = AF_INET
    protocol: int = 0  # 6, 17 or 132; 0: any of TCP, UDP, SCTP
    interface: str = ""  # where the packet came in; "": anywhere
    src: bytes = b""
    src_len: int = 0  # bits; 0: any address
    dst: bytes = b""
    dst_len: int = 0
    sport: tuple[int, int] = ANY_PORT  # first and last
    dport: tuple[int, int] = ANY_PORT
