"""Work that follows every edit is done at once, or together once it costs."""

from __future__ import annotations

import asyncio

from lbfast.control.pacing import MOST_S, Paced


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.cost_s = 0.0
        self.done = 0
        self.was_done = asyncio.Event()

    def __call__(self) -> float:
        return self.now_s

    def work(self) -> None:
        self.done += 1
        self.now_s += self.cost_s
        self.was_done.set()

    async def next(self) -> None:
        """Waits until the work is done once more."""
        self.was_done.clear()
        await asyncio.wait_for(self.was_done.wait(), 10)


def test_cheap_work_is_done_for_every_call() -> None:
    clock = Clock()
    paced = Paced(clock.work, lambda wrong: None, clock)
    for _ in range(5):
        paced()
    assert clock.done == 5


def test_cheap_work_for_many_calls_is_put_together() -> None:
    async def edit() -> None:
        clock = Clock()
        clock.cost_s = 0.0005
        paced = Paced(clock.work, lambda wrong: None, clock)
        for _ in range(1000):
            paced()
        assert 10 <= clock.done <= 12, "as much as may be spent at once"
        await clock.next()
        clock.now_s += 10.0
        before = clock.done
        for _ in range(5):
            paced()
        assert clock.done == before + 5, "it is paid for"

    asyncio.run(edit())


def test_dear_work_is_put_off_and_done_once() -> None:
    async def edit() -> int:
        clock = Clock()
        clock.cost_s = 0.006
        paced = Paced(clock.work, lambda wrong: None, clock)
        paced()
        for _ in range(50):
            paced()
        assert clock.done == 1
        await clock.next()
        return clock.done

    assert asyncio.run(edit()) == 2


def test_what_was_put_off_is_done_when_somebody_waits_for_it() -> None:
    async def edit() -> None:
        clock = Clock()
        clock.cost_s = 0.006
        paced = Paced(clock.work, lambda wrong: None, clock)
        paced()
        paced()
        paced.settle()
        assert clock.done == 2
        paced.settle()
        assert clock.done == 2, "there is nothing left to do"

    asyncio.run(edit())


def test_wait_has_a_limit_and_now_means_now() -> None:
    async def edit() -> None:
        clock = Clock()
        clock.cost_s = 60.0
        paced = Paced(clock.work, lambda wrong: None, clock)
        paced()
        paced()
        assert clock.done == 1
        paced.now()
        assert clock.done == 2
        clock.now_s += MOST_S
        clock.cost_s = 0.0
        paced()
        assert clock.done == 3

    asyncio.run(edit())


def test_failure_of_work_put_off_is_told_and_what_is_cancelled_is_not_done() -> None:
    async def edit() -> list[Exception]:
        clock = Clock()
        clock.cost_s = 0.006
        heard: list[Exception] = []

        def work() -> None:
            clock.work()
            if clock.done > 1:
                raise ValueError("no")

        paced = Paced(work, heard.append, clock)
        paced()
        paced()
        await clock.next()
        other = Paced(clock.work, heard.append, clock)
        other()
        done = clock.done
        other()
        other.cancel()
        assert clock.done == done
        clock.now_s += MOST_S
        other()
        assert clock.done == done + 1, "nothing is waiting any more"
        return heard

    assert [str(wrong) for wrong in asyncio.run(edit())] == ["no"]
