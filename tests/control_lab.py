"""A control server in a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType

from lbfast.control.client import Client
from lbfast.control.server import ControlServer, Limits
from tests.fake_balancer import FakeBalancer

PATIENCE_S = 20.0


class ControlLab:
    """Serves `balancer` on `path` while the context lasts."""

    def __init__(
        self,
        path: Path,
        balancer: FakeBalancer,
        limits: Limits | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.path = path
        self.balancer = balancer
        self.loop = loop or asyncio.new_event_loop()
        self.server = ControlServer(balancer, path, limits)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def client(self) -> Client:
        return Client(self.path, patience_s=PATIENCE_S)

    def __enter__(self) -> ControlLab:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(), self.loop).result(PATIENCE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
