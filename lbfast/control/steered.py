"""A balancer whose edits are followed by what keeps its frames from the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lbfast.control import marking
from lbfast.control.ledger import Ledger, Row
from lbfast.control.pacing import Paced
from lbfast.control.steering import (
    LocalAddresses,
    MarkRule,
    SteeringPlan,
    plan,
    with_standby,
)
from lbfast.control.tables import Engine, Tables
from lbfast.model import (
    Counter,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule


class SteeredTables(Tables):
    """Tables that enter every edit into the ledger, and call `steer` after one that changes what
    is taken from the host.

    `frames` says what the rings of each interface saw.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        steer: Paced,
        frames: Callable[[], list[Counter]],
    ) -> None:
        super().__init__(engine)
        self._ledger, self._steer, self._frames = ledger, steer, frames

    def whole_plan(self) -> SteeringPlan:
        """Returns the steering plan that the tables ask for; the ledger begins anew with it."""
        rows = self.engine.services()
        services = [ServiceKey(*row[0]) for row in rows]
        servers = [
            (key, ServerKey(*server[0]), Method(server[1]))
            for key, row in zip(services, rows, strict=True)
            for server in row[7]
        ]
        lingering, marks = list(self._lingering()), self._mark_rules()
        local = frozenset(self.engine.local_addresses())
        self._ledger.begin(services, servers, lingering)
        self._ledger.set_marks(marks)
        self._ledger.set_local(local)
        self._ledger.set_standby(self.standby)
        made = plan(
            [VirtualService(key) for key in services],
            _pairs(servers),
            marks,
            _pairs(lingering),
            LocalAddresses(local, self._ledger.host_ports),
        )
        return with_standby(made, self.standby)

    def _lingering(self) -> Iterable[Row]:
        for key, row in self.engine.lingering():
            yield ServiceKey(*key), ServerKey(*row[0]), Method(row[1])

    def _mark_rules(self) -> list[MarkRule]:
        return [marking.steering_rule(row) for row in self.engine.marks()]

    def _follow(self) -> None:
        if self._ledger.is_changed:
            self._steer()

    def _local_changed(self) -> None:
        self._ledger.set_local(frozenset(self.engine.local_addresses()))

    def counters(self) -> list[Counter]:
        return super().counters() + self._frames()

    def add_service(self, svc: VirtualService) -> None:
        super().add_service(svc)
        self._ledger.add_service(svc.key)
        self._follow()

    def delete_service(self, key: ServiceKey) -> None:
        super().delete_service(key)
        self._ledger.delete_service(key)
        if self._ledger.has_local:
            self._local_changed()
        self._follow()

    def flush(self) -> None:
        super().flush()
        self._ledger.flush()
        self._local_changed()
        self._follow()

    def settle(self) -> None:
        self._steer.settle()

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        super().add_server(key, server)
        self._put(key, server)

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        super().edit_server(key, server)
        self._put(key, server)

    def _put(self, key: ServiceKey, server: RealServer) -> None:
        self._ledger.put_server(key, server.key, server.method)
        self._follow()

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        super().delete_server(key, server)
        self._ledger.delete_server(key, server)
        self._follow()

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        super().add_laddr(key, addr)
        self._local_changed()
        self._follow()

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        super().del_laddr(key, addr)
        self._local_changed()
        self._follow()

    def empty_trash(self, now_ns: int) -> None:
        """Lets the data path forget deleted servers and addresses without connections."""
        self.engine.trash(now_ns)
        self._ledger.set_lingering(self._lingering())
        self._local_changed()
        self._follow()

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        super().set_marks(rules)
        self._marks_changed()

    def find_interfaces(self) -> bool:
        moved = super().find_interfaces()
        if moved:
            self._marks_changed()
        return moved

    def _marks_changed(self) -> None:
        self._ledger.set_marks(self._mark_rules())
        self._follow()

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        """Leaves what is sent to these addresses to the host: another director serves them."""
        if addresses != self.standby:
            super().set_standby(addresses)
            self._ledger.set_standby(addresses)
            self._steer.now()

    def begin_standby(self, addresses: frozenset[bytes]) -> None:
        """Does the same before there are rules to follow."""
        super().set_standby(addresses)


def _pairs(rows: Iterable[Row]) -> list[tuple[ServiceKey, RealServer]]:
    return [(key, RealServer(server, method)) for key, server, method in rows]
