"""A child process and its way to the parent and to the forwarder."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from pathlib import Path

import pytest

from lbfast.errors import ControlError
from lbfast.model.configuration import Configuration
from lbfast.model.netlines import Address
from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import channel as c
from lbfast.processes import child, log
from lbfast.processes.checking import Reached
from lbfast.processes.supervision import FAILED_EXIT, FATAL_EXIT

VIP = bytes((10, 0, 0, 1))


def instance(name: str, *addresses: bytes) -> VrrpInstance:
    return VrrpInstance(name, 1, "eth0", addresses=tuple(Address(a, 32) for a in addresses))


# ---- the channel


def test_messages_arrive_whole_and_in_order_and_the_end_is_noticed() -> None:
    async def talk() -> list[c.Message | None]:
        left, right = socket.socketpair()
        ours = c.Channel(*await asyncio.open_connection(sock=left))
        theirs = c.Channel(*await asyncio.open_connection(sock=right))
        setup = c.Setup("n", "/c", Configuration(vrrp=VrrpConfig((instance("A", VIP),))))
        ours.send(setup)
        ours.send(c.Hello(3))
        found = [await theirs.receive(), await theirs.receive()]
        assert found[0] == setup
        ours.close()
        return [*found, await theirs.receive()]

    found = asyncio.run(talk())
    assert found[1:] == [c.Hello(3), None]


def test_answer_that_nobody_has_read_yet_is_seen() -> None:
    async def look() -> list[bool]:
        left, right = socket.socketpair()
        ours = c.Channel(*await asyncio.open_connection(sock=left))
        found = [ours.is_heard_soon()]
        right.send(b"....")
        return [*found, ours.is_heard_soon()]  # the loop has had no turn between

    assert asyncio.run(look()) == [False, True]


# ---- a child


class Toy:
    """A child's work that notes what is asked of it."""

    title = "toy"

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.may_go_on: asyncio.Event | None = None  # a reload waits for that
        self.notes: list[str] = []

    async def start(self, setup: c.Setup, channel: c.Channel) -> str:
        if self.fails:
            raise ControlError("cannot")
        self.channel = channel
        return "toy"

    async def reload(self, old: Configuration, new: Configuration) -> None:
        if self.may_go_on is not None:
            await self.may_go_on.wait()
        self.notes.append(f"reload {old == new}")

    def hear(self, message: c.Message) -> None:
        self.notes.append(type(message).__name__)

    def text(self, what: str) -> str:
        return f"text of {what}"

    async def stop(self, *, is_orphan: bool) -> None:
        self.notes.append(f"stop {is_orphan}")


def conversation(work: Toy, *messages: c.Message, then: str = "") -> tuple[int, list[c.Message]]:
    """Plays the parent of a child: says something, then hears everything it answers."""

    async def play() -> tuple[int, list[c.Message]]:
        left, right = socket.socketpair()
        parent = c.Channel(*await asyncio.open_connection(sock=left))
        running = asyncio.create_task(child.serve(work, right.detach()))
        parent.send(c.Setup("n", "/c", Configuration(), log=log.LogSettings(is_silent=True)))
        heard: list[c.Message] = []
        if not work.fails:
            heard.append(await parent.receive() or c.Stop())
        for message in messages:
            parent.send(message)
        if then == "leave":
            parent.close()
        elif then == "fail":
            work.channel.fail(ControlError("gone wrong"))
        status = await running
        while (answer := await parent.receive()) is not None:
            heard.append(answer)
        return status, heard

    before = logging.getLogger().handlers[:]
    try:
        return asyncio.run(play())
    finally:
        logging.getLogger().handlers[:] = before


def test_child_answers_reloads_and_stops() -> None:
    work = Toy()
    status, heard = conversation(
        work, c.Hello(5), c.Reload(Configuration()), c.Ask("data"), c.Restored(), c.Stop()
    )
    assert status == 0
    assert heard == [c.Ready("toy"), c.Hello(5), c.Text("data", "text of data")]
    assert work.notes == ["reload True", "Restored", "stop False"]


def test_child_answers_hellos_while_a_reload_takes_its_time() -> None:
    work = Toy()

    async def play() -> int:
        work.may_go_on = asyncio.Event()
        left, right = socket.socketpair()
        parent = c.Channel(*await asyncio.open_connection(sock=left))
        running = asyncio.create_task(child.serve(work, right.detach()))
        parent.send(c.Setup("n", "/c", Configuration(), log=log.LogSettings(is_silent=True)))
        for message in (c.Reload(Configuration()), c.Restored(), c.Hello(1)):
            parent.send(message)
        assert await parent.receive() == c.Ready("toy")
        assert await asyncio.wait_for(parent.receive(), 10) == c.Hello(1)
        assert work.notes == []
        work.may_go_on.set()
        parent.send(c.Stop())
        return await running

    before = logging.getLogger().handlers[:]
    try:
        assert asyncio.run(play()) == 0
    finally:
        logging.getLogger().handlers[:] = before
    assert work.notes == ["reload True", "Restored", "stop False"]


def test_child_without_parent_leaves_its_things_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "ORPHAN_S", 0.01)
    work = Toy()
    assert conversation(work, then="leave")[0] == 0
    assert work.notes == ["stop True"]


def test_child_that_fails_later_is_worth_starting_again() -> None:
    work = Toy()
    assert conversation(work, then="fail")[0] == FAILED_EXIT
    assert work.notes == ["stop True"]


def test_child_that_cannot_start_is_not() -> None:
    work = Toy(fails=True)
    assert conversation(work)[0] == FATAL_EXIT
    assert work.notes == ["stop False"]


# ---- the checker's way to the forwarder


def test_balancer_that_is_away_is_reached_again_later(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    reached = Reached(control)
    with pytest.raises(OSError, match="No such file"):
        reached.services()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as owner:
        owner.bind(str(control))
        owner.listen()
        answering = threading.Thread(target=lambda: owner.accept()[0].close())
        answering.start()
        with pytest.raises(ControlError):  # it hangs up: the next call opens another
            reached.services()
        answering.join()
        answering = threading.Thread(target=lambda: owner.accept()[0].close())
        answering.start()
        with pytest.raises(ControlError):
            reached.flush()
        answering.join()
