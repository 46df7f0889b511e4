"""What the parent and its children say to each other, and how.

A message is a length (4 bytes) and a pickle.  Both ends are the same program, and the socket pair
between them is nobody else's: that is why a pickle is good enough, and keeps the model whole.
"""

from __future__ import annotations

import asyncio
import pickle
import select
import struct
from dataclasses import dataclass, field
from typing import Any

from lbfast.model.configuration import Configuration
from lbfast.processes.log import LogSettings

_LENGTH = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a child is told first."""

    name: str  # the director's
    control: str  # path of the forwarder's control socket
    configuration: Configuration
    forwarder: dict[str, Any] = field(default_factory=dict)  # words for a forwarder's Plan
    standby: frozenset[bytes] = frozenset()  # addresses that another director serves now
    resume: bool = False  # a child of this kind ran before and died
    masters: dict[str, float] = field(default_factory=dict)  # led in it; when it died, monotonic
    sessions: dict[str, bool] = field(default_factory=dict)  # of BFD: whether they are up
    log: LogSettings = field(default_factory=LogSettings)
    keep_addresses: bool = False
    keep_table: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A child works; `text` describes it."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Hello:
    """Are you there?  A child sends it back."""

    number: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Goes over to another configuration."""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Standby:
    """The addresses that another director serves from now on."""

    addresses: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Restored:
    """The forwarder has been started anew: its table may need what was in it."""


@dataclass(frozen=True, slots=True)
class State:
    """An instance has entered a state."""

    instance: str
    state: str


@dataclass(frozen=True, slots=True)
class Bfd:
    """A BFD session is up or down: from VRRP to the parent, from there to the checks."""

    session: str
    is_up: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Wants a text: `data`, `stats`, `json`, or `clear` for zeroed statistics."""

    what: str


@dataclass(frozen=True, slots=True)
class Text:
    """The answer to an Ask."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends orderly."""


Message = Setup | Ready | Hello | Reload | Standby | Restored | State | Bfd | Ask | Text | Stop


class Channel:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, message: Message) -> None:
        """Sends without waiting; what a dead end does not take is lost."""
        if self._writer.is_closing():
            return
        data = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Message | None:
        """Returns the next message, None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: Message = pickle.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    def is_heard_soon(self) -> bool:
        """Returns whether something has come that nobody has read yet."""
        sock = self._writer.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return any(what & select.POLLIN for _, what in poll.poll(0))

    def fail(self, error: Exception) -> None:
        """Lets whoever waits for a message get this instead."""
        self._reader.set_exception(error)

    def close(self) -> None:
        self._writer.close()
