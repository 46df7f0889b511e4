"""What goes over the control socket: frames, requests and replies.

A frame is a length (4 bytes, big-endian) and that many bytes of MessagePack.  A request is one
frame.  Its reply is one of `Answer`, `Done`, `Refused`, `Failed`; a long answer is any number of
`Rows` first, then `Done`.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import msgspec

from lbfast.model import (
    RealServer,
    ServerKey,
    ServiceKey,
    SyncDaemon,
    SyncRole,
    Timeouts,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule

HEADER = struct.Struct("!I")
MAX_REQUEST = 1 << 16
MAX_REPLY = 1 << 24


class AddService(msgspec.Struct, tag=True, frozen=True):
    svc: VirtualService


class EditService(msgspec.Struct, tag=True, frozen=True):
    svc: VirtualService


class DeleteService(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey


class Flush(msgspec.Struct, tag=True, frozen=True):
    pass


class Settle(msgspec.Struct, tag=True, frozen=True):
    pass


class Standby(msgspec.Struct, tag=True, frozen=True):
    addresses: list[bytes]


class AddServer(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey
    server: RealServer


class EditServer(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey
    server: RealServer


class DeleteServer(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey
    server: ServerKey


class AddLaddr(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey
    addr: bytes


class DelLaddr(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey
    addr: bytes


class Laddrs(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey


class Zero(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey | None = None


class SetTimeouts(msgspec.Struct, tag=True, frozen=True):
    timeouts: Timeouts


class GetTimeouts(msgspec.Struct, tag=True, frozen=True):
    pass


class Services(msgspec.Struct, tag=True, frozen=True):
    pass


class Service(msgspec.Struct, tag=True, frozen=True):
    key: ServiceKey


class Connections(msgspec.Struct, tag=True, frozen=True):
    pass


class Arena(msgspec.Struct, tag=True, frozen=True):
    """Asks for the arena to be read: the answer is True and carries its file, or is False."""


class TableSize(msgspec.Struct, tag=True, frozen=True):
    pass


class Sysctl(msgspec.Struct, tag=True, frozen=True):
    name: str


class SetSysctl(msgspec.Struct, tag=True, frozen=True):
    name: str
    value: str


class Counters(msgspec.Struct, tag=True, frozen=True):
    pass


class Marks(msgspec.Struct, tag=True, frozen=True):
    pass


class SetMarks(msgspec.Struct, tag=True, frozen=True):
    rules: list[FwmarkRule]


class AddMark(msgspec.Struct, tag=True, frozen=True):
    rule: FwmarkRule


class DeleteMark(msgspec.Struct, tag=True, frozen=True):
    rule: FwmarkRule


class StartDaemon(msgspec.Struct, tag=True, frozen=True):
    daemon: SyncDaemon


class StopDaemon(msgspec.Struct, tag=True, frozen=True):
    role: SyncRole


class Daemons(msgspec.Struct, tag=True, frozen=True):
    pass


Request: TypeAlias = (
    AddService
    | EditService
    | DeleteService
    | Flush
    | Settle
    | Standby
    | AddServer
    | EditServer
    | DeleteServer
    | AddLaddr
    | DelLaddr
    | Laddrs
    | Zero
    | SetTimeouts
    | GetTimeouts
    | Services
    | Service
    | Connections
    | Arena
    | TableSize
    | Sysctl
    | SetSysctl
    | Counters
    | Marks
    | SetMarks
    | AddMark
    | DeleteMark
    | StartDaemon
    | StopDaemon
    | Daemons
)


class Answer(msgspec.Struct, tag=True, frozen=True):
    """The whole answer, encoded by itself."""

    value: msgspec.Raw


class Rows(msgspec.Struct, tag=True, frozen=True):
    """A part of a long answer: a list, encoded by itself."""

    rows: msgspec.Raw


class Done(msgspec.Struct, tag=True, frozen=True):
    """It is done, or there are no more rows."""


class Refused(msgspec.Struct, tag=True, frozen=True):
    """The kernel would refuse it so."""

    errno: int


class Failed(msgspec.Struct, tag=True, frozen=True):
    """It cannot be done, in one sentence."""

    sentence: str


Reply: TypeAlias = Answer | Rows | Done | Refused | Failed

# A connection as a row: its fields in order, without their names.
ConnectionRow: TypeAlias = tuple[
    int, int, bytes, int, bytes, int, bytes, int, str, int, int, str, bytes, bytes, int
]


_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """Returns a message as it goes over the socket."""
    payload = _encoder.encode(message)
    return HEADER.pack(len(payload)) + payload


def raw(value: Any) -> msgspec.Raw:
    """Returns a value encoded by itself."""
    return msgspec.Raw(_encoder.encode(value))


def decode_request(payload: bytes) -> Request:
    """Returns the request in a frame; raises msgspec.MsgspecError or ValueError."""
    return _request_decoder.decode(payload)


def decode_reply(payload: bytes) -> Reply:
    """Returns the reply in a frame; raises msgspec.MsgspecError or ValueError."""
    return _reply_decoder.decode(payload)
