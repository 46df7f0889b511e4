"""When a worker sleeps by the clock, and when until a frame comes (pace.pxd)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fast.wiretest import load

SECOND_US = 1_000_000
WAKE_US = 3  # from a frame's arrival to the worker's look


class Waiter:
    """A worker's sleeps on a clock of our own.

    arrivals(start_us, end_us) says how many frames come meanwhile, next_us(now_us) when the next
    one does.
    """

    def __init__(self, longest_us: int = 900) -> None:
        self.pace = load().Pace(longest_us)
        self.now_us = self.before_us = 0
        self.naps: list[int] = []
        self.wakes = 0

    def sleep(self, frames: int, next_us: Callable[[int], int], **kinds: int) -> None:
        nap_us = self.pace.next(frames, self.now_us - self.before_us, **kinds)
        self.before_us = self.now_us
        if nap_us:
            self.naps.append(nap_us)
            self.now_us += nap_us
        else:
            self.wakes += 1
            self.now_us = next_us(self.now_us) + WAKE_US


def open_loop(waiter: Waiter, gap_us: int, seconds: float, kind: str = "") -> None:
    """Frames come every gap_us, all of that kind, whatever the worker does."""
    end = waiter.now_us + int(seconds * SECOND_US)
    seen = waiter.now_us // gap_us
    while waiter.now_us < end:
        frames = waiter.now_us // gap_us - seen
        seen += frames
        kinds = {kind: frames} if kind else {}
        waiter.sleep(frames, lambda now: (now // gap_us + 1) * gap_us, **kinds)


def bursts(waiter: Waiter, size: int, gap_us: int, seconds: float) -> None:
    """So many frames come at once, every gap_us, whatever the worker does."""
    end = waiter.now_us + int(seconds * SECOND_US)
    seen = waiter.now_us // gap_us
    while waiter.now_us < end:
        came = waiter.now_us // gap_us - seen
        seen += came
        waiter.sleep(came * size, lambda now: (now // gap_us + 1) * gap_us)


def closed_loop(waiter: Waiter, senders: int, answer_us: int, seconds: float) -> int:
    """Each sender sends again answer_us after its frame was forwarded; returns how many were."""
    end = waiter.now_us + int(seconds * SECOND_US)
    due = [waiter.now_us + i * answer_us // senders for i in range(senders)]
    forwarded = 0
    while waiter.now_us < end:
        ready = [i for i, at in enumerate(due) if at <= waiter.now_us]
        forwarded += len(ready)
        for i in ready:
            due[i] = waiter.now_us + answer_us
        waiter.sleep(len(ready), lambda now: max(now, min(due)))
    return forwarded


def test_a_steady_load_is_taken_in_batches() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=10, seconds=0.5)
    assert waiter.wakes < 100
    assert max(waiter.naps) == 900
    assert len(waiter.naps) < 700


def test_bursts_do_not_wait_for_the_clock() -> None:
    waiter = Waiter()
    bursts(waiter, size=40, gap_us=200, seconds=2)
    assert not waiter.naps


def test_small_bursts_are_taken_in_batches() -> None:
    waiter = Waiter()
    bursts(waiter, size=8, gap_us=80, seconds=0.5)
    assert max(waiter.naps) == 900
    assert waiter.wakes < 100


def test_a_rare_packet_never_waits_for_the_clock() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=500, seconds=2)
    assert not waiter.naps


def test_after_a_pause_the_next_packet_does_not_wait() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=10, seconds=0.2)
    waiter.naps.clear()
    waiter.now_us += 900  # the last nap brings nothing
    for _ in range(3):
        waiter.sleep(0, lambda now: now + 5000)
        waiter.sleep(1, lambda now: now)
    assert not waiter.naps


@pytest.mark.parametrize("senders", [1, 2, 16, 100])
def test_senders_who_wait_for_answers_are_not_slowed_down(senders: int) -> None:
    at_once = closed_loop(Waiter(0), senders, answer_us=60, seconds=0.5)
    paced = closed_loop(Waiter(), senders, answer_us=60, seconds=0.5)
    assert paced > 0.9 * at_once


def test_a_load_that_becomes_a_closed_loop_is_noticed() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=10, seconds=0.5)
    closed_loop(waiter, 16, answer_us=60, seconds=0.2)  # time to notice
    at_once = closed_loop(Waiter(0), 16, answer_us=60, seconds=0.5)
    assert closed_loop(waiter, 16, answer_us=60, seconds=1) > 0.9 * at_once


def test_super_frames_are_waited_for() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=40, seconds=0.5, kind="big")
    assert not waiter.naps


def test_tcp_gets_short_naps() -> None:
    waiter = Waiter()
    open_loop(waiter, gap_us=10, seconds=0.2)
    waiter.naps.clear()
    open_loop(waiter, gap_us=10, seconds=0.2, kind="tcp")
    assert max(waiter.naps) == 100
    open_loop(waiter, gap_us=10, seconds=0.2)
    assert max(waiter.naps) == 900


@pytest.mark.parametrize("longest_us", [0, 100, 900, 5000])
def test_no_nap_is_longer_than_allowed(longest_us: int) -> None:
    waiter = Waiter(longest_us)
    open_loop(waiter, gap_us=7, seconds=0.2)
    assert max(waiter.naps, default=0) == min(longest_us, 900)


def test_a_flood_shortens_the_naps() -> None:
    """So that a ring of 8,192 slots holds what comes meanwhile."""
    waiter = Waiter()
    gap_us = 1
    open_loop(waiter, gap_us, seconds=0.1)
    settled = waiter.naps[len(waiter.naps) // 2 :]
    assert settled
    assert max(settled) // gap_us < 1024
