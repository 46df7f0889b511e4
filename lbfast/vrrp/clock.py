"""Deadlines served to the microsecond: the event loop's own timers count in milliseconds.

A timerfd (Linux) is set to the nearest one.  Python 3.11 has no call for it, so libc's is used.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import os
import time
from collections.abc import Callable

_CLOCK_MONOTONIC, _ABSTIME, _CLOEXEC, _NONBLOCK = 1, 1, 0o2000000, 0o4000
_NS_PER_S = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Clock:
    """Calls `on_due` when a deadline has passed, and what was planned with `call_at`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _CLOEXEC | _NONBLOCK)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"timerfd_create: {os.strerror(code)}")
        self._loop = loop
        self._on_due = on_due
        self._set: int | None = None
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        loop.add_reader(self._fd, self._fired)

    @staticmethod
    def now() -> int:
        return time.monotonic_ns()

    def call_at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Plan a call; it cannot be taken back, so it must look whether it is still wanted."""
        heapq.heappush(self._agenda, (at_ns, next(self._count), act))
        self.hasten(at_ns)

    def run_agenda(self, now_ns: int) -> None:
        """Do what was planned for now or before."""
        while self._agenda and self._agenda[0][0] <= now_ns:
            heapq.heappop(self._agenda)[2]()

    def arm(self, deadline: int | None) -> None:
        """Wake up at `deadline` (monotonic ns) or at the next planned call."""
        times = [at for at in (deadline, self._agenda[0][0] if self._agenda else None) if at]
        at = max(1, min(times)) if times else 0
        if at == self._set:
            return
        self._set = at
        value = _Itimerspec(_Timespec(0, 0), _Timespec(at // _NS_PER_S, at % _NS_PER_S))
        if self._libc.timerfd_settime(self._fd, _ABSTIME, ctypes.byref(value), None):
            code = ctypes.get_errno()
            raise OSError(code, f"timerfd_settime: {os.strerror(code)}")

    def hasten(self, at: int | None) -> None:
        """Wake up by `at` at the latest: cheap where `arm` has to look at everything."""
        if at is not None and (not self._set or at < self._set):
            self.arm(at)

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._set = None
        self._on_due()

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._agenda.clear()
