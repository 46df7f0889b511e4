"""Carries edits to the balancer, and finds what its table lacks after the balancer was away."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from lbfast.check.actions import (
    AddServer,
    AddService,
    DeleteServer,
    DeleteService,
    Edit,
    EditServer,
    EditService,
)
from lbfast.check.effects import server_edits
from lbfast.check.names import key_name
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    RealServer,
    ServerKey,
    ServiceKey,
    ServiceState,
    Timeouts,
    VirtualService,
)

logger = logging.getLogger(__name__)

Wanted = Mapping[ServiceKey, tuple[VirtualService, Mapping[ServerKey, RealServer]]]


class Balancer(Protocol):
    """What health checks ask of `lbfast.control.api.Balancer`."""

    def add_service(self, svc: VirtualService) -> None: ...
    def edit_service(self, svc: VirtualService) -> None: ...
    def delete_service(self, key: ServiceKey) -> None: ...
    def add_server(self, key: ServiceKey, server: RealServer) -> None: ...
    def edit_server(self, key: ServiceKey, server: RealServer) -> None: ...
    def delete_server(self, key: ServiceKey, server: ServerKey) -> None: ...
    def services(self) -> list[ServiceState]: ...
    def flush(self) -> None: ...
    def set_timeouts(self, timeouts: Timeouts) -> None: ...


class Table:
    """One writer of the balancer's table; what it cannot do now, `missing` tells later."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._ours: set[ServiceKey] = set()
        self.is_stale = False  # the balancer could not be reached: edits are missing there

    def apply(self, edit: Edit) -> None:
        """Does one edit; a refusal is logged, an absent balancer is remembered."""
        if isinstance(edit, AddService):
            self._ours.add(edit.service.key)
        elif isinstance(edit, DeleteService) and not self.is_stale:
            self._ours.discard(edit.key)
        if self.is_stale:
            return
        try:
            _do(self._balancer, edit)
        except KernelError as refused:
            self._refused(edit, refused)
        except (ControlError, OSError) as away:
            logger.warning("table not reached: %s", away)
            self.is_stale = True
            if isinstance(edit, DeleteService):
                self._ours.add(edit.key)

    def _refused(self, edit: Edit, refused: KernelError) -> None:
        remedy = _REMEDIES.get((type(edit), refused.errno or 0))
        if remedy is None:
            logger.warning("%s: %s", _shown(edit), refused.strerror)
            return
        other = remedy(edit)
        if other is not None:
            try:
                _do(self._balancer, other)
            except (KernelError, ControlError, OSError) as failed:
                logger.warning("%s: %s", _shown(other), failed)

    def flush(self) -> None:
        """Empties the table, of everybody's services."""
        self._attempt(self._balancer.flush)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._attempt(lambda: self._balancer.set_timeouts(timeouts))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (ControlError, OSError) as failed:
            logger.warning("table not reached: %s", failed)

    def read(self) -> dict[ServiceKey, ServiceState]:
        """Returns the table as it is; empty if the balancer cannot be reached."""
        try:
            return {state.service.key: state for state in self._balancer.services()}
        except (ControlError, OSError) as failed:
            logger.warning("table not reached: %s", failed)
            return {}

    def missing(self, wanted: Wanted) -> list[Edit] | None:
        """Returns the edits from the table as it is to what it ought to be; None out of reach.

        Services of others are left alone; servers that others gave to ours are deleted.
        """
        try:
            held = {state.service.key: state for state in self._balancer.services()}
        except (ControlError, OSError):
            return None
        self.is_stale = False
        return restoring_edits(wanted, held, self._ours)


def restoring_edits(
    wanted: Wanted, held: Mapping[ServiceKey, ServiceState], ours: Iterable[ServiceKey]
) -> list[Edit]:
    """Returns the edits from a table as it is to what it ought to be."""
    edits: list[Edit] = []
    for key, (service, servers) in wanted.items():
        state = held.get(key)
        if state is None:
            edits.append(AddService(service))
        elif state.service != service:
            edits.append(EditService(service))
        there = {one.server.key: one.server for one in state.servers} if state else {}
        edits += server_edits(key, there, dict(servers))
    edits += [DeleteService(key) for key in ours if key in held and key not in wanted]
    return edits


def _do(balancer: Balancer, edit: Edit) -> None:
    match edit:
        case AddService(service):
            balancer.add_service(service)
        case EditService(service):
            balancer.edit_service(service)
        case DeleteService(key):
            balancer.delete_service(key)
        case AddServer(key, server):
            balancer.add_server(key, server)
        case EditServer(key, server):
            balancer.edit_server(key, server)
        case DeleteServer(key, gone):
            balancer.delete_server(key, gone)


def _shown(edit: Edit) -> str:
    key = edit.service.key if isinstance(edit, AddService | EditService) else edit.key
    return f"{type(edit).__name__} of VS {key_name(key)}"


# what to do instead when somebody else has done it, or undone it, before
_REMEDIES: dict[tuple[type, int], Callable[[Any], Edit | None]] = {
    (AddService, errno.EEXIST): lambda edit: EditService(edit.service),
    (AddServer, errno.EEXIST): lambda edit: EditServer(edit.key, edit.server),
    (EditServer, errno.ENOENT): lambda edit: AddServer(edit.key, edit.server),
    (DeleteServer, errno.ENOENT): lambda edit: None,
    (DeleteServer, errno.ESRCH): lambda edit: None,
    (DeleteService, errno.ESRCH): lambda edit: None,
}
