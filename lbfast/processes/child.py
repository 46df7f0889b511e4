"""What every child process has in common: it is set up, answers hellos, reloads, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from typing import Protocol

import uvloop

from lbfast.errors import LbfastError
from lbfast.model.configuration import Configuration
from lbfast.processes import channel as c
from lbfast.processes.channel import Channel, Setup
from lbfast.processes.log import set_up
from lbfast.processes.supervision import FAILED_EXIT, FATAL_EXIT, ORPHAN_S

logger = logging.getLogger("lbfast")


class Work(Protocol):
    """One kind of child; `title` is its name in the system's log."""

    title: str

    async def start(self, setup: Setup, channel: Channel) -> str:
        """Begins; returns what runs, for the log."""

    async def reload(self, old: Configuration, new: Configuration) -> None:
        """Goes over to another configuration."""

    def hear(self, message: c.Message) -> None:
        """Takes a message that is its own."""

    def text(self, what: str) -> str:
        """Returns a dump."""

    async def stop(self, *, is_orphan: bool) -> None:
        """Ends; an orphan's parent is gone, and somebody may start it again."""


def run(work: Work, fd: int) -> int:
    """Runs a child at its end of the socket pair; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # a terminal's signals are the parent's to handle
    return uvloop.run(serve(work, fd))


async def serve(work: Work, fd: int) -> int:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd))
    channel = Channel(reader, writer)
    setup = await channel.receive()
    if not isinstance(setup, Setup):
        return 0
    inbox = Inbox(channel)
    set_up(setup.log, work.title)
    told = LbfastError("told to end by SIGTERM")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, channel.fail, told)
    is_left = False
    try:
        channel.send(c.Ready(await work.start(setup, channel)))
        is_left = True  # whoever comes next takes over what a failure leaves
        is_left = await _listen(work, inbox, setup.configuration)
        if is_left:
            logger.warning("the parent is gone, going on for %g s", ORPHAN_S)
            await _wait_for_successor()
    except (LbfastError, OSError) as failed:
        logger.error("%s", failed)
        return FAILED_EXIT if is_left or setup.resume else FATAL_EXIT
    finally:
        await work.stop(is_orphan=is_left)
        inbox.close()
        channel.close()
    return 0


async def _wait_for_successor() -> None:
    """Lets the work go on for a while: another parent kills us and goes on in our place."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), ORPHAN_S)


class Inbox:
    """Reads what the parent says: hellos are answered at once, however long other things take."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._waiting: asyncio.Queue[c.Message | LbfastError | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while (message := await self.channel.receive()) is not None:
                if isinstance(message, c.Hello):
                    self.channel.send(message)
                else:
                    self._waiting.put_nowait(message)
        except LbfastError as failed:
            self._waiting.put_nowait(failed)
        else:
            self._waiting.put_nowait(None)

    async def receive(self) -> c.Message | None:
        """Returns the next message that is no hello, None when the parent is gone."""
        message = await self._waiting.get()
        if isinstance(message, LbfastError):
            raise message
        return message

    def close(self) -> None:
        self._reader.cancel()


async def _listen(work: Work, inbox: Inbox, configuration: Configuration) -> bool:
    """Does what the parent says until it says stop, or is gone; returns whether it is gone."""
    while True:
        message = await inbox.receive()
        match message:
            case None:
                return True
            case c.Stop():
                return False
            case c.Reload(new):
                await work.reload(configuration, new)
                configuration = new
            case c.Ask(what):
                inbox.channel.send(c.Text(what, work.text(what)))
            case _:
                work.hear(message)
