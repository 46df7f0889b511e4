"""The table of the host's addresses tells that it changed, and only then."""

from __future__ import annotations

from typing import Any, cast

from lbfast.control.links import AddressTable


class Nowhere:
    def addr_add(self, ifindex: int, addr: bytes, prefixlen: int) -> None:
        pass

    addr_del = addr_add


def test_changes_count_what_came_and_went() -> None:
    table = AddressTable(cast(Any, Nowhere()))
    one, other = (2, b"\x0a\1\0\1", 24), (3, b"\x0a\2\0\1", 24)
    counted = []
    for change in (
        lambda: table.put(one, True),
        lambda: table.put(one, True),
        lambda: table.put(other, False),
        lambda: table.put(other, True),
        lambda: table.keep_only({other}),
        lambda: table.remove(one),
    ):
        cast(Any, change)()
        counted.append(table.changes)
    assert counted == [1, 1, 1, 2, 3, 3]
