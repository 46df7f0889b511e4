"""A balancer whose edits are followed by the rules that keep its frames from the host."""

from __future__ import annotations

from collections.abc import Callable

from lbfast.control.pacing import Paced
from lbfast.control.tables import Engine, Tables
from lbfast.model import Counter, RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.marks import FwmarkRule


class SteeredTables(Tables):
    """Tables that call `steer` after every edit that may change what is taken from the host.

    `frames` says what the rings of each interface saw.
    """

    def __init__(
        self,
        engine: Engine,
        steer: Paced,
        frames: Callable[[], list[Counter]],
    ) -> None:
        super().__init__(engine)
        self._steer, self._frames = steer, frames

    def counters(self) -> list[Counter]:
        return super().counters() + self._frames()

    def add_service(self, svc: VirtualService) -> None:
        super().add_service(svc)
        self._steer()

    def delete_service(self, key: ServiceKey) -> None:
        super().delete_service(key)
        self._steer()

    def flush(self) -> None:
        super().flush()
        self._steer()

    def settle(self) -> None:
        self._steer.settle()

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        super().add_server(key, server)
        self._steer()

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        super().edit_server(key, server)
        self._steer()

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        super().delete_server(key, server)
        self._steer()

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        super().add_laddr(key, addr)
        self._steer()

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        super().del_laddr(key, addr)
        self._steer()

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        super().set_marks(rules)
        self._steer()

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        """Leaves what is sent to these addresses to the host: another director serves them."""
        if addresses != self.standby:
            super().set_standby(addresses)
            self._steer.now()

    def begin_standby(self, addresses: frozenset[bytes]) -> None:
        """Does the same before there are rules to follow."""
        super().set_standby(addresses)

    def find_interfaces(self) -> bool:
        moved = super().find_interfaces()
        if moved:
            self._steer()
        return moved
