"""The forwarder as a child: data path, control socket, and marks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lbfast.config.diff import mark_edits
from lbfast.control.forwarder import Forwarder, Plan
from lbfast.errors import ControlError
from lbfast.model.configuration import Configuration
from lbfast.processes import channel as c


class Forwarding:
    """Implements `lbfast.processes.child.Work`."""

    title = "lbfast_forwarder"

    def __init__(self) -> None:
        self._forwarder: Forwarder | None = None
        self._keep_table = False

    async def start(self, setup: c.Setup, channel: c.Channel) -> str:
        self._keep_table = setup.keep_table
        plan = Plan(name=setup.name, control=Path(setup.control), **setup.forwarder)
        forwarder = Forwarder(plan)
        forwarder.standby(setup.standby)
        await forwarder.start()
        self._forwarder = forwarder
        forwarder.failed.add_done_callback(lambda future: channel.fail(_failure(future)))
        await self.reload(Configuration(), setup.configuration)
        return forwarder.describe()

    async def reload(self, old: Configuration, new: Configuration) -> None:
        assert self._forwarder is not None
        for edit in mark_edits(old, new):
            self._forwarder.set_marks(list(edit.rules))

    def hear(self, message: c.Message) -> None:
        if isinstance(message, c.Standby) and self._forwarder is not None:
            self._forwarder.standby(message.addresses)

    def text(self, what: str) -> str:
        return ""

    async def stop(self, *, is_orphan: bool) -> None:
        if self._forwarder is not None:
            kept = is_orphan or self._keep_table
            await self._forwarder.stop(keep_arena=kept, keep_rules=is_orphan)


def _failure(future: asyncio.Future[BaseException]) -> ControlError:
    """Returns why a part of the forwarder cannot go on; the parent starts another process."""
    return ControlError(f"forwarder: {future.result()}")
