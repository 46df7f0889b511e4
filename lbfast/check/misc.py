"""MISC_CHECK: a program's exit status, and with misc_dynamic the weight in it (spec 3.5)."""

from __future__ import annotations

import asyncio
import signal

from lbfast.check.base import SUCCESS, Report, Result, failure
from lbfast.errors import ConfigError
from lbfast.model.check import MiscCheck
from lbfast.notify.program import Program, has_no_room, spawn

KILL_AFTER_S = 2.0  # from SIGTERM to SIGKILL
_WEIGHT_BASE = 2  # a dynamic exit status says the weight plus two


def judge(status: int, *, is_dynamic: bool) -> Result:
    """Returns what an exit status means; minus a signal's number is that signal."""
    if status == 0:
        return SUCCESS
    if status < 0:
        return failure(f"killed by {signal.Signals(-status).name}")
    if is_dynamic and status >= _WEIGHT_BASE:
        return Result(True, weight=status - _WEIGHT_BASE)
    return failure(f"exit status {status}")


class Run:
    """One run of the program; after its time is over SIGTERM, then SIGKILL, and it has failed."""

    __slots__ = ("_check", "_is_late", "_loop", "_program", "_report", "_timeout_s", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        check: MiscCheck,
        timeout_s: float,
        report: Report,
    ) -> None:
        self._loop = loop
        self._check = check
        self._timeout_s = timeout_s
        self._report = report
        self._program: Program | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False

    def start(self) -> None:
        try:
            process = spawn(self._check.script)
        except (OSError, ConfigError) as failed:
            # as in keepalived: what the program would have looked at is not at fault
            verdict = None if has_no_room(failed) else True
            self._report(Result(verdict, f"not started, which is no failure: {failed}"))
            return
        self._program = Program(self._loop, process, self._ended)
        self._timer = self._loop.call_later(self._timeout_s, self._too_late)

    def cancel(self) -> None:
        self._stop_timer()
        if self._program is not None:
            self._program.abandon()
            self._program = None

    def _too_late(self) -> None:
        assert self._program is not None
        self._program.look()  # the loop may have been stalled since it ended
        if self._program is None:
            return
        self._is_late = True
        self._program.signal(signal.SIGTERM)
        self._timer = self._loop.call_later(KILL_AFTER_S, self._program.signal, signal.SIGKILL)

    def _ended(self, status: int) -> None:
        self._stop_timer()
        self._program = None
        if self._is_late:
            self._report(failure(f"not finished within {self._timeout_s}s"))
        else:
            self._report(judge(status, is_dynamic=self._check.is_dynamic))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
