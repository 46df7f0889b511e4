"""The data path's hashes, written down again."""

from __future__ import annotations


def conn_hash(seed: int, addr: bytes, port: int, protocol: int) -> int:
    """Hash of the client's side; the address in network order."""
    fold = 0
    for at in range(0, len(addr), 4):
        fold ^= int.from_bytes(addr[at : at + 4], "little")
    swapped = int.from_bytes(port.to_bytes(2, "big"), "little")
    mask = (1 << 64) - 1
    turned = (seed << 32 | seed >> 32) & mask
    first, second = seed ^ 0x9E3779B97F4A7C15, turned ^ 0xD6E8FEB86659FD93
    return (fold * first + (protocol + swapped) * second & mask) >> 32


def local_hash(seed: int, protocol: int, flow: tuple[bytes, int, bytes, int]) -> int:
    laddr, lport, daddr, dport = flow
    fold = 0
    for at in range(0, len(daddr), 4):
        fold ^= int.from_bytes(daddr[at : at + 4], "little")
    server = fold << 16 | int.from_bytes(dport.to_bytes(2, "big"), "little")
    return conn_hash(seed ^ server * 0xBF58476D1CE4E5B9 % 2**64, laddr, lport, protocol)
