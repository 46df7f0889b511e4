"""What VRRP says to the forwarder: whose the addresses are.  Straight, because the parent may hang
or be dead; and before an address is announced packets to it must be balanced, or the host's own
TCP refuses the first connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from lbfast.control import messages as m
from lbfast.errors import ControlError

PATIENCE_S = 0.1  # an announcement does not wait longer
AGAIN_S = 0.2  # between attempts to reach the forwarder
LOST_S = 3.0  # a forwarder that is started again is back by then

_FAILURES = (OSError, EOFError, ControlError, msgspec.MsgspecError, ValueError)


class ForwarderLink:
    """A connection to the forwarder's control socket, opened again whenever it ends.

    `lost` is called with True when no forwarder has answered for LOST_S, and with False when one
    does again.
    """

    def __init__(self, control: Path, lost: Callable[[bool], None]) -> None:
        self._control, self._lost = control, lost
        self._standby: frozenset[bytes] | None = None
        self._in_force: frozenset[bytes] | None = None
        self._news, self._settled = asyncio.Event(), asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_lost = False
        self._task = asyncio.create_task(self._run())

    def tell(self, standby: frozenset[bytes]) -> None:
        """Names the addresses that others serve; of several calls in a row the last counts."""
        self._standby = standby
        self._settled.clear()
        self._news.set()

    async def settled(self) -> None:
        """Returns when packets meet what was told, or when that takes too long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), PATIENCE_S)

    def close(self) -> None:
        self._task.cancel()
        self._cancel()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(*_FAILURES):
                await self._converse()
            self._in_force = None
            if self._timer is None and not self._is_lost:
                self._timer = asyncio.get_running_loop().call_later(LOST_S, self._tell_loss, True)
            await asyncio.sleep(AGAIN_S)

    async def _converse(self) -> None:
        """Talks to one forwarder until it is gone."""
        reader, writer = await asyncio.open_unix_connection(str(self._control))
        try:
            await _ask(reader, writer, m.Settle())
            self._cancel()
            if self._is_lost:
                self._tell_loss(False)
            while True:
                self._news.clear()
                await self._bring(reader, writer)
                await self._wait_for_news(reader)
        finally:
            writer.close()

    async def _bring(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Says what is new.  The second answer comes when the forwarder has also heard of the
        address itself, for the kernel told it before we did."""
        standby = self._standby
        if standby is None:
            return
        if standby != self._in_force:
            await _ask(reader, writer, m.Standby(sorted(standby)))
            await _ask(reader, writer, m.Settle())
            self._in_force = standby
        if standby == self._standby:
            self._settled.set()

    async def _wait_for_news(self, reader: asyncio.StreamReader) -> None:
        """Returns when there is something to say; EOFError when the forwarder is gone."""
        end = asyncio.create_task(reader.read(1))
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait((end, news), return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                raise EOFError
        finally:
            end.cancel()
            news.cancel()
            await asyncio.gather(end, news, return_exceptions=True)

    def _tell_loss(self, is_lost: bool) -> None:
        self._timer = None
        self._is_lost = is_lost
        self._lost(is_lost)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: m.Request
) -> None:
    """Waits for a request to be done; ControlError if it is not."""
    writer.write(m.frame(request))
    (length,) = m.HEADER.unpack(await reader.readexactly(m.HEADER.size))
    reply = m.decode_reply(await reader.readexactly(length))
    if not isinstance(reply, m.Done):
        raise ControlError(f"the forwarder answered {reply}")
