"""What FIFOs and scripts hear of transitions; no root, no network."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lbfast.model.mail import Mail
from lbfast.model.script import Script
from lbfast.model.vrrp import Fifo, Notify, VrrpConfig, VrrpGlobals
from lbfast.notify.mail import Mailer
from lbfast.vrrp.actions import State
from lbfast.vrrp.notifier import Notifier
from tests.unit.config_host import read

QUIET = Notify()
TALKS = Notify(priority_changes=True)


def written(tmp_path: Path, tell: object) -> list[str]:
    """Return the lines of a FIFO after `tell` was called with a notifier."""
    path = tmp_path / "fifo"

    async def act() -> list[str]:
        notifier = Notifier(asyncio.get_running_loop())
        notifier.configure(VrrpConfig(settings=VrrpGlobals(fifos=(Fifo(str(path)),))))
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        tell(notifier)  # type: ignore[operator]
        try:
            return os.read(reader, 65536).decode().splitlines()
        except BlockingIOError:
            return []
        finally:
            os.close(reader)
            notifier.close()

    return asyncio.run(act())


@pytest.mark.covers("VRP-37")
def test_fifo_lines_are_those_of_the_field(tmp_path: Path) -> None:
    def tell(notifier: Notifier) -> None:
        notifier.entered("VI 1", State.MASTER, 150, QUIET)
        notifier.entered("G", State.FAULT, 0, QUIET, is_group=True)
        notifier.lower_heard("VI 1", 150, QUIET)
        notifier.priority_changed("VI 1", State.MASTER, 130, TALKS)
        notifier.priority_changed("VI 1", State.BACKUP, 120, TALKS)
        notifier.repeat("VI 1", State.BACKUP, 120)

    assert written(tmp_path, tell) == [
        'INSTANCE "VI 1" MASTER 150',
        'GROUP "G" FAULT 0',
        'INSTANCE "VI 1" MASTER_RX_LOWER_PRI 150',
        'INSTANCE "VI 1" MASTER_PRIORITY 130',
        'INSTANCE "VI 1" BACKUP_PRIORITY 120',
        'INSTANCE "VI 1" BACKUP 120',
    ]


@pytest.mark.parametrize(
    ("state", "notify"), [(State.MASTER, QUIET), (State.FAULT, TALKS), (State.INIT, TALKS)]
)
def test_priority_is_told_only_where_it_is_wanted(
    tmp_path: Path, state: State, notify: Notify
) -> None:
    lines = written(tmp_path, lambda notifier: notifier.priority_changed("a", state, 1, notify))
    assert lines == []


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.MASTER, "master"),
        (State.BACKUP, "backup"),
        (State.FAULT, "fault"),
        (State.STOP, "stop"),
        (State.DELETED, "deleted"),
    ],
)
def test_each_state_has_its_script_and_the_general_one_follows(
    state: State, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[tuple[str, ...]] = []
    words = ("master", "backup", "fault", "stop", "deleted", "any")
    notify = Notify(**{name: Script((name,)) for name in words})  # type: ignore[arg-type]

    async def act() -> None:
        notifier = Notifier(asyncio.get_running_loop())
        monkeypatch.setattr(
            notifier._programs, "run", lambda script, *more: run.append((*script.argv, *more))
        )
        notifier.entered("VI_1", state, 150, notify)

    asyncio.run(act())
    assert run == [(word,), ("any", "INSTANCE", "VI_1", state.value, "150")]


def test_mail_goes_out_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Mailer, "send", lambda self, subject, body: sent.append(subject))

    async def act() -> None:
        notifier = Notifier(asyncio.get_running_loop())
        notifier.configure(VrrpConfig(mail=Mail(("a@b",), server="127.0.0.1")))
        notifier.entered("VI_1", State.MASTER, 150, QUIET)
        notifier.entered("VI_1", State.FAULT, 150, Notify(smtp_alert=True))
        notifier.close()

    asyncio.run(act())
    assert sent == ["VRRP Instance VI_1 - Entering FAULT state"]


def test_no_mail_about_faults_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Mailer, "send", lambda self, subject, body: sent.append(subject))
    text = "global_defs {\n no_email_faults\n}\n"

    async def act() -> None:
        notifier = Notifier(asyncio.get_running_loop())
        notifier.configure(read(text).configuration.vrrp)
        for state in (State.FAULT, State.BACKUP):
            notifier.entered("VI_1", state, 150, Notify(smtp_alert=True))
        notifier.close()

    asyncio.run(act())
    assert sent == ["VRRP Instance VI_1 - Entering BACKUP state"]


def test_missing_script_is_logged_and_holds_nothing_up(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    missing = Notify(master=Script((str(tmp_path / "gone"),)))
    lines = written(tmp_path, lambda n: n.entered("VI_1", State.MASTER, 1, missing))
    assert lines == ['INSTANCE "VI_1" MASTER 1']
    assert "not started" in caplog.text
