"""Health checks at work against servers on the loopback, for the tests of lbfast.check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lbfast.check import service as checker
from lbfast.check.service import HealthChecks
from lbfast.model import RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.check import (
    CheckConfiguration,
    CheckedService,
    Checker,
    CheckSettings,
    Endpoint,
    Timing,
)
from tests.checklab import packed, server, service, shown
from tests.fake_balancer import FakeBalancer

TIMEOUT_S = 20
FAST = Timing(delay_loop_s=0.05, delay_before_retry_s=0.05, connect_timeout_s=5, warmup_s=0)
RS = "10.7.0.11"
DOWN, UP = f"DEL_DEST {RS}", f"NEW_DEST {RS} weight 1"
OK, BAD = b"HTTP/1.0 200 OK\r\n\r\nabc", b"HTTP/1.0 500 no\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Recorder(FakeBalancer):
    """A balancer that keeps the edits of servers as lines and wakes who waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.failure: Exception | None = None  # raised by every call
        self._changed = asyncio.Event()

    def add_service(self, svc: VirtualService) -> None:
        self._check()
        super().add_service(svc)

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        self._check()
        super().add_server(key, server)
        self._tell(f"NEW_DEST {shown(server.key)} weight {server.weight}")

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        self._check()
        super().edit_server(key, server)
        self._tell(f"SET_DEST {shown(server.key)} weight {server.weight}")

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        self._check()
        super().delete_server(key, server)
        self._tell(f"DEL_DEST {shown(server)}")

    def services(self) -> list[Any]:
        self._check()
        return super().services()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _tell(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def lines_are(self, *expected: str) -> None:
        """Wait until exactly these edits have been made since the last call; forget them."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.lines) < len(expected):
                self._changed.clear()
                await self._changed.wait()
        assert self.lines == list(expected)
        self.lines.clear()

    def weights(self) -> dict[str, int]:
        """Every server of every service with its weight."""
        return {
            shown(state.server.key): state.server.weight
            for states in self.servers.values()
            for state in states
        }


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that makes no sound of its own when it changes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def look() -> None:
        if condition():
            done.set_result(None)
        elif not done.done():
            loop.call_later(0.005, look)

    look()
    await asyncio.wait_for(done, TIMEOUT_S)


def endpoint(port: int, **settings: Any) -> Endpoint:
    return Endpoint(packed("127.0.0.1"), port, **settings)


def one(*checkers: Checker, timing: Timing = FAST, **settings: Any) -> CheckedService:
    """A service with one real server and no scripts."""
    defaults: dict[str, Any] = {"quorum_up": None, "quorum_down": None}
    quiet = server(RS, *checkers, notify_up=None, notify_down=None)
    return service(quiet, timing=timing, **(defaults | settings))


@asynccontextmanager
async def running(
    *services: CheckedService,
    settings: CheckSettings | None = None,
    balancer: Recorder | None = None,
    **more: Any,
) -> AsyncIterator[tuple[HealthChecks, Recorder]]:
    """Checks that have started; what they have put into the table is not in the lines."""
    balancer = balancer or Recorder()
    checks = HealthChecks(more.pop("addresses", None))
    configuration = CheckConfiguration(services, settings or CheckSettings(), **more)
    await checks.start(configuration, balancer)
    balancer.lines.clear()
    try:
        yield checks, balancer
    finally:
        await checks.stop()


class Listener:
    """A TCP server on the loopback that counts, and remembers who came."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.port = 0
        self.peers: list[tuple[str, int]] = []
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._came = asyncio.Event()

    async def open(self, **settings: Any) -> Listener:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, reuse_address=True, **settings
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[:2])
        self._came.set()
        try:
            if self._handler is not None:
                await self._handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def came(self, count: int) -> None:
        """Wait until so many connections have come in all."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.peers) < count:
                self._came.clear()
                await self._came.wait()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()


def answering(text: Callable[[], bytes]) -> Handler:
    """A handler that reads a request and answers with what `text` returns at that time."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text())
        await writer.drain()

    return handle


def go(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first attempts come at once instead of a second after the start."""
    monkeypatch.setattr(checker, "FIRST_S", 0.0)
