"""Frames of fragments, made by scapy, and what is asked of a pool of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

ETHER = {"dst": "02:00:00:00:00:01", "src": "02:00:00:00:00:02"}
SECOND = 100  # ticks
V4 = {"src": "192.0.2.1", "dst": "198.51.100.1", "proto": 17, "id": 7}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}


def v4(start: int, data: bytes, more: bool = True, flags: int = 0, **fields: Any) -> bytes:
    header = IP(**(V4 | fields), frag=start // 8, flags=flags | (1 if more else 0))
    return bytes(Ether(**ETHER) / header / Raw(data))


def v6(
    start: int, data: bytes, more: bool = True, head: Packet | None = None, id: int = 9
) -> bytes:
    fragment = IPv6ExtHdrFragment(offset=start // 8, m=int(more), id=id, nh=17)
    return bytes(Ether(**ETHER) / (head or IPv6(**V6)) / fragment / Raw(data))


def pieces(make: Any, payload: bytes, size: int, **fields: Any) -> list[bytes]:
    """Cut a payload into the frames of its fragments."""
    return [
        make(at, payload[at : at + size], at + size < len(payload), **fields)
        for at in range(0, len(payload), size)
    ]


def payload_of(frame: bytes) -> bytes:
    """Return what follows the IP header of a whole packet, whose lengths must be right."""
    if frame[14] >> 4 == 6:
        assert int.from_bytes(frame[18:20], "big") == len(frame) - 54
        return frame[54:]
    header = IP(frame[14:])
    assert header.len == len(frame) - 14
    assert header.frag == 0
    assert not header.flags.MF
    fresh = header.copy()
    del fresh.chksum
    assert IP(bytes(fresh)).chksum == header.chksum
    return frame[14 + header.ihl * 4 :]


def is_empty(pool: Any, wire: Any) -> bool:
    blocks = wire.limits()["blocks"]
    return bool(pool.free_blocks() == (blocks, blocks) and pool.queues() == (0, 0, 0, 0))


MAKE: dict[str, Callable[..., bytes]] = {"ipv4": v4, "ipv6": v6}
