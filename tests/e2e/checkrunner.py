"""Runs the virtual servers of a keepalived.conf as the checker process does; edits go to a file.

    python -m tests.e2e.checkrunner FILE LOG

The lines of LOG are those of `fakeipvs.c`, so that both can be compared.  Reads FILE again on
SIGHUP, ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
import time

import uvloop

from lbfast.check.service import HealthChecks
from lbfast.config.load import load
from lbfast.config.system import System
from lbfast.model import RealServer, ServerKey, ServiceKey, VirtualService
from tests.fake_balancer import FakeBalancer


class Log(FakeBalancer):
    """A balancer that writes down what it is told."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def _write(self, what: str, key: ServiceKey, more: str = "") -> None:
        address = f"{ipaddress.ip_address(key.addr)}:{key.port}"
        with open(self._path, "a") as log:
            log.write(f"{time.monotonic():.3f} {what} {address}{more}\n")

    def add_service(self, svc: VirtualService) -> None:
        super().add_service(svc)
        self._write("NEW_SERVICE", svc.key)

    def edit_service(self, svc: VirtualService) -> None:
        super().edit_service(svc)
        self._write("SET_SERVICE", svc.key)

    def delete_service(self, key: ServiceKey) -> None:
        super().delete_service(key)
        self._write("DEL_SERVICE", key)

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        super().add_server(key, server)
        self._write("NEW_DEST", key, f"{_shown(server.key)} weight {server.weight}")

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        super().edit_server(key, server)
        self._write("SET_DEST", key, f"{_shown(server.key)} weight {server.weight}")

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        super().delete_server(key, server)
        self._write("DEL_DEST", key, _shown(server))


def _shown(key: ServerKey) -> str:
    return f" {ipaddress.ip_address(key.addr)}:{key.port}"


async def main(path: str, log: str) -> None:
    configuration = load(path, System()).configuration.check
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, signals.put_nowait, number)
    checks = HealthChecks()
    await checks.start(configuration, Log(log))
    while await signals.get() == signal.SIGHUP:
        old, configuration = configuration, load(path, System()).configuration.check
        await checks.reload(old, configuration)
    await checks.stop()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
