"""What came while the event loop could not run is no time-out."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import uvloop

from lbfast.check.running import RunningCheck
from lbfast.check.service import HealthChecks
from lbfast.model.check import DnsCheck, HttpCheck, MiscCheck, Timing, Url
from lbfast.model.script import Script
from tests.checkservice import RS, at_once, endpoint, one, running, until

THINKS_S, TIMEOUT_S, STALL_S = 0.2, 0.4, 1.2


@contextmanager
def slow_servers() -> Iterator[int]:
    """A web server and a name server on one port, each for one request, answering late."""
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names,
    ):
        names.bind(web.getsockname())

        def serve_web() -> None:
            with web.accept()[0] as peer:
                peer.recv(4096)
                threading.Event().wait(THINKS_S)
                peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        def serve_names() -> None:
            query, client = names.recvfrom(512)
            threading.Event().wait(THINKS_S)
            names.sendto(query[:2] + bytes((0x81, 0x80)) + query[4:], client)

        threads = [threading.Thread(target=serve) for serve in (serve_web, serve_names)]
        for thread in threads:
            thread.start()
        yield web.getsockname()[1]
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_answers_that_came_during_a_stall_are_heard(
    run: Callable[[Coroutine[Any, Any, None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)

    async def test(port: int) -> None:
        loop = asyncio.get_running_loop()
        times = Timing(delay_loop_s=60, connect_timeout_s=TIMEOUT_S, warmup_s=0)
        kinds = (
            HttpCheck(urls=(Url("/"),), endpoint=endpoint(port)),
            DnsCheck(endpoint=endpoint(port)),
            MiscCheck(script=Script(("/bin/sleep", str(THINKS_S))), timeout_s=TIMEOUT_S),
        )
        near, far = socket.socketpair()

        def stall() -> None:  # within the handling of an event, as a slow balancer would
            loop.remove_reader(near)
            threading.Event().wait(STALL_S)

        async with running(one(*kinds, timing=times)) as (checks, table):
            loop.add_reader(near, stall)
            await until(lambda: _are_under_way(checks))
            far.send(b"x")
            await until(lambda: "not run yet" not in checks.dump())
            assert checks.dump().count("last result = success") == len(kinds)
            assert table.weights() == {RS: 1}
        near.close()
        far.close()

    with slow_servers() as port:
        run(test(port))


def _are_under_way(checks: HealthChecks) -> bool:
    return all(cast(RunningCheck, check)._probe is not None for check in checks.checks.values())
