"""The clock that wakes VRRP up."""

from __future__ import annotations

import asyncio

from lbfast.vrrp.clock import Clock

MS = 1_000_000
S = 1000 * MS


def test_planned_call_comes_at_its_time_though_the_deadline_is_later() -> None:
    """Announcements that wait are planned by a task, when the deadline is set already."""

    async def test() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        clock = Clock(loop, lambda: clock.run_agenda(clock.now()))
        try:
            clock.arm(clock.now() + 3600 * S)
            wanted = clock.now() + 20 * MS
            clock.call_at(wanted, lambda: done.set_result(clock.now()))
            return wanted, await asyncio.wait_for(done, 10)
        finally:
            clock.close()

    wanted, came = asyncio.run(test())
    assert wanted <= came < wanted + 5 * S
