"""Scripts that cannot be started: no failure, as in keepalived, and said once."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from lbfast.model.script import Script
from lbfast.model.vrrp import VrrpScript
from lbfast.vrrp import scripts
from lbfast.vrrp.scripts import ScriptTracker
from tests.checkservice import until


def program(path: Path, text: str) -> Script:
    path.write_text(text)
    path.chmod(0o755)
    return Script((str(path),))


def track(script: Script, runs: int) -> tuple[list[bool], ScriptTracker]:
    """Run a script some times; return what was told of it."""

    async def main() -> tuple[list[bool], ScriptTracker]:
        told: list[bool] = []
        config = VrrpScript("x", script, interval_us=10_000, timeout_us=5_000_000)
        tracker = ScriptTracker(
            asyncio.get_running_loop(), config, lambda name, is_up: told.append(is_up)
        )
        tracker.start()
        await until(lambda: tracker.runs >= runs)
        tracker.stop()
        return told, tracker

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 1\n", "has no #! line"),
        ("#!/bin/sh\r\nexit 1\n", "names the interpreter '/bin/sh\\r', which does not exist"),
    ],
)
def test_script_that_the_kernel_refuses_succeeds_and_is_told_of_once(
    text: str, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told, tracker = track(program(tmp_path / "script", text), 4)
    assert told == [True]
    assert tracker.failures == 0
    (line,) = [line for line in caplog.messages if "not started" in line]
    assert why in line


def test_want_of_room_for_a_process_says_nothing_of_the_script(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(script: Script) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(scripts, "spawn", full)
    told, tracker = track(Script(("/bin/true",)), 4)
    assert told == []
    assert tracker.streak.is_up is None
    assert len([line for line in caplog.messages if "not started" in line]) == 1
