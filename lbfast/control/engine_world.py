"""The data path's engine as the `World` that netlink.py keeps in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbfast.control.world import Route, Rule
from lbfast.errors import ControlError

if TYPE_CHECKING:
    from lbfast.control.tables import Engine

KERNEL_TABLES = {255: 0, 254: 1, 253: 2, 0: 1}  # local, main, default; unspecified means main
MAX_TABLES = 16
LOOPBACK = 1


class EngineWorld:
    """Gives the kernel's routing tables small numbers and passes everything on.

    At most 16 tables; policy rules that ask for an incoming interface other than the loopback
    (the host itself) are left out, as the packets that the data path sends are the host's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables = dict(KERNEL_TABLES)
        self.link_set = engine.link_set
        self.link_del = engine.link_del
        self.addr_add = engine.addr_add
        self.neigh_set = engine.neigh_set
        self.neigh_del = engine.neigh_del
        self.requests = engine.requests
        self.request_fd = engine.request_fd

    def _table(self, number: int) -> int:
        if number not in self._tables:
            index = len(set(self._tables.values()))
            if index == MAX_TABLES:
                raise ControlError(f"more than {MAX_TABLES} routing tables in use")
            self._tables[number] = index
        return self._tables[number]

    def addr_del(self, ifindex: int, addr: bytes, prefixlen: int) -> None:
        self._engine.addr_del(ifindex, addr)

    def route_add(
        self,
        table: int,
        dst: bytes,
        prefixlen: int,
        type: int,
        oif: int,
        gateway: bytes,
        prefsrc: bytes,
        mtu: int,
        metric: int,
    ) -> None:
        self._engine.route_add(
            self._table(table), dst, prefixlen, type, oif, gateway, prefsrc, mtu, metric
        )

    def route_del(self, table: int, dst: bytes, prefixlen: int, metric: int) -> None:
        self._engine.route_del(self._table(table), dst, prefixlen, metric)

    def routes_replace(self, routes: list[Route]) -> None:
        self._engine.routes_replace([(self._table(r.table), *r[1:]) for r in routes])

    def rules_replace(self, rules: list[Rule]) -> None:
        self._engine.rules_replace(
            [
                (r.family, self._table(r.table), r.type, r.src, r.src_prefixlen, r.dst,
                 r.dst_prefixlen)
                for r in rules
                if r.iif in (0, LOOPBACK)
            ]
        )  # fmt: skip
