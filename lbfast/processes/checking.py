"""The checker process as a child: health checks, and the table that follows from them."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lbfast.check.service import HealthChecks
from lbfast.config.diff import AddLocal, local_edits
from lbfast.control.client import Client
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    RealServer,
    ServerKey,
    ServiceKey,
    ServiceState,
    Timeouts,
    VirtualService,
)
from lbfast.model.configuration import Configuration
from lbfast.processes import channel as c

logger = logging.getLogger("lbfast")

_PATIENCE_S = 2.0  # with the forwarder: well below the parent's patience with us
T = TypeVar("T")


class Reached:
    """A balancer behind a control socket that is opened again after its owner was away."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._client: Client | None = None

    def _do(self, act: Callable[[Client], T]) -> T:
        """Asks; when nobody answers that is raised, and the next time begins anew."""
        try:
            if self._client is None:
                self._client = Client(self._control, patience_s=_PATIENCE_S)
            return act(self._client)
        except KernelError:
            raise
        except (ControlError, OSError):
            self.forget()
            raise

    def forget(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def add_service(self, svc: VirtualService) -> None:
        self._do(lambda client: client.add_service(svc))

    def edit_service(self, svc: VirtualService) -> None:
        self._do(lambda client: client.edit_service(svc))

    def delete_service(self, key: ServiceKey) -> None:
        self._do(lambda client: client.delete_service(key))

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        self._do(lambda client: client.add_server(key, server))

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        self._do(lambda client: client.edit_server(key, server))

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        self._do(lambda client: client.delete_server(key, server))

    def services(self) -> list[ServiceState]:
        return self._do(lambda client: client.services())

    def flush(self) -> None:
        self._do(lambda client: client.flush())

    def settle(self) -> None:
        self._do(lambda client: client.settle())

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._do(lambda client: client.add_laddr(key, addr))

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._do(lambda client: client.del_laddr(key, addr))

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._do(lambda client: client.set_timeouts(timeouts))


class Checking:
    """Implements `lbfast.processes.child.Work`."""

    title = "Keepalived_healthcheckers"

    def __init__(self) -> None:
        self._checks = HealthChecks()
        self._keep_table = False
        self._is_started = False
        self._sessions: dict[str, bool] = {}  # of BFD: whether they are up

    async def start(self, setup: c.Setup, channel: c.Channel) -> str:
        self._keep_table = setup.keep_table
        self._balancer = Reached(Path(setup.control))
        check = setup.configuration.check
        await self._checks.start(check, self._balancer, resume=setup.resume)
        self._is_started = True
        self._sessions = dict(setup.sessions)
        self._tell_sessions()
        self._configuration = setup.configuration
        self._edit_locals(Configuration(), setup.configuration)
        self._settle()
        return f"checks of {len(check.services)} virtual servers"

    async def reload(self, old: Configuration, new: Configuration) -> None:
        await self._checks.reload(old.check, new.check)
        self._configuration = new
        self._edit_locals(old, new)
        self._tell_sessions()
        self._settle()

    def _settle(self) -> None:
        """Waits until packets meet the table, before it is said to be ready."""
        try:
            self._balancer.settle()
        except (ControlError, OSError) as away:
            logger.warning("table not reached: %s", away)

    def _tell_sessions(self) -> None:
        """Gives the BFD checks what is known: those of a new configuration have heard nothing."""
        for session, is_up in self._sessions.items():
            self._checks.bfd(session, is_up=is_up)

    def _edit_locals(self, old: Configuration, new: Configuration) -> None:
        """Gives services their local addresses; one that is there already is no failure."""
        for edit in local_edits(old, new):
            try:
                if isinstance(edit, AddLocal):
                    self._balancer.add_laddr(edit.service, edit.addr)
                else:
                    self._balancer.del_laddr(edit.service, edit.addr)
            except KernelError as refused:
                if refused.errno not in (errno.EEXIST, errno.ENOENT):
                    logger.warning("local address %s: %s", edit.addr.hex(), refused.strerror)
            except (ControlError, OSError) as away:
                logger.warning("table not reached: %s", away)

    def hear(self, message: c.Message) -> None:
        if isinstance(message, c.Bfd):
            self._sessions[message.session] = message.is_up
            self._checks.bfd(message.session, is_up=message.is_up)
        if isinstance(message, c.Restored):
            self._balancer.forget()
            self._checks.restore()
            self._edit_locals(Configuration(), self._configuration)

    def text(self, what: str) -> str:
        return self._checks.dump() if what == "data" else ""

    async def stop(self, *, is_orphan: bool) -> None:
        if self._is_started:
            await self._checks.stop(keep_table=is_orphan or self._keep_table)
