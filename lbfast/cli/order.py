"""The order of listings: ipvsadm's comparison and the C library's sort.

Addresses and marks are compared by the sign of their difference in 32 bits, so values more than
2^31 apart come out the other way round.  Such an order is not transitive: what comes out depends
on the sorting algorithm and on what went in, so both are the real tool's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from lbfast.model import AF_INET6, ServerState, ServiceState

T = TypeVar("T")


def difference(a: int, b: int) -> int:
    """Returns a - b as a C int holds it."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def merge_sort(items: Sequence[T], compare: Callable[[T, T], int]) -> list[T]:
    """Returns the items in the order in which glibc's qsort leaves them."""
    if len(items) < 2:
        return list(items)
    middle = len(items) // 2
    left, right = merge_sort(items[:middle], compare), merge_sort(items[middle:], compare)
    merged: list[T] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if compare(left[i], right[j]) <= 0:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


def _words(addr: bytes) -> tuple[int, ...]:
    return struct.unpack("!4I", addr.ljust(16, b"\0"))


def _compare_addresses(af: int, a: bytes, b: bytes) -> int:
    """Compares as many words as an address of family `af` has."""
    for x, y in zip(_words(a), _words(b), strict=True):
        result = difference(x, y)
        if result or af != AF_INET6:
            return result
    return 0


def compare_services(a: ServiceState, b: ServiceState) -> int:
    """Returns less than, equal to or more than 0 as a comes before, with or after b."""
    x, y = a.service.key, b.service.key
    return (
        difference(x.fwmark, y.fwmark)
        or x.af - y.af
        or x.protocol - y.protocol
        or _compare_addresses(x.af, x.addr, y.addr)
        or x.port - y.port
    )


def compare_servers(a: ServerState, b: ServerState) -> int:
    """Likewise for two servers of one service, whatever their families."""
    x, y = a.server.key, b.server.key
    return _compare_addresses(x.af, x.addr, y.addr) or x.port - y.port
