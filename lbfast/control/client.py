"""A balancer at the other end of a control socket."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lbfast.control import messages as m
from lbfast.control.rundir import control_path, director_name
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    Connection,
    Counter,
    RealServer,
    ServerKey,
    ServiceKey,
    ServiceState,
    SyncDaemon,
    SyncRole,
    Timeouts,
    VirtualService,
)
from lbfast.model.marks import FwmarkRule

T = TypeVar("T")
PATIENCE_S = 60.0  # with a daemon that does not answer
NOTICE_S = 5.0  # after which the user learns what is waited for
_CHUNK = 1 << 16
_TIMEVAL = struct.Struct("@ll")
_CLOSED = "the lbfast daemon closed the connection"
_SILENT = "the lbfast daemon does not answer"


def connect() -> Client:
    """Returns a client of the director of this network namespace, or of the one named.

    Raises ControlError when none runs, PermissionError when it is not ours to talk to.
    """
    name = director_name()
    path = control_path(name)
    try:
        return Client(path)
    except PermissionError as refused:
        raise PermissionError(refused.errno, refused.strerror, str(path)) from None
    except OSError:
        raise ControlError(
            f"no lbfast daemon runs for this network namespace (director {name!r}): "
            "start it with 'lbfast run'"
        ) from None


class Client:
    """Implements lbfast.control.api.Balancer over a Unix stream socket.

    One request at a time: an iterator of rows that is given up half-way closes the connection.
    """

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._buffer = bytearray()
        self._files: list[int] = []
        self._patience_s = patience_s
        self._is_busy = False
        self._is_unsettled = False
        try:
            # not settimeout: without blocking, a full backlog is an error instead of a wait
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(patience_s), 0)
            )
            self._socket.connect(str(path))
            self._socket.settimeout(min(NOTICE_S, patience_s))
        except BlockingIOError:
            self._socket.close()
            raise ControlError(_SILENT) from None
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    # services and servers

    def add_service(self, svc: VirtualService) -> None:
        self._do(m.AddService(svc))

    def edit_service(self, svc: VirtualService) -> None:
        self._do(m.EditService(svc))

    def delete_service(self, key: ServiceKey) -> None:
        self._do(m.DeleteService(key))

    def flush(self) -> None:
        self._do(m.Flush())

    def settle(self) -> None:
        if self._is_unsettled:
            self._do(m.Settle())
            self._is_unsettled = False

    def set_standby(self, addresses: frozenset[bytes]) -> None:
        self._do(m.Standby(sorted(addresses)))

    def add_server(self, key: ServiceKey, server: RealServer) -> None:
        self._do(m.AddServer(key, server))

    def edit_server(self, key: ServiceKey, server: RealServer) -> None:
        self._do(m.EditServer(key, server))

    def delete_server(self, key: ServiceKey, server: ServerKey) -> None:
        self._do(m.DeleteServer(key, server))

    def add_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._do(m.AddLaddr(key, addr))

    def del_laddr(self, key: ServiceKey, addr: bytes) -> None:
        self._do(m.DelLaddr(key, addr))

    def laddrs(self, key: ServiceKey) -> list[bytes]:
        return self._ask(m.Laddrs(key), list[bytes])

    def zero(self, key: ServiceKey | None) -> None:
        self._do(m.Zero(key))

    def services(self) -> list[ServiceState]:
        return _joined(self._rows(m.Services(), list[ServiceState]))

    def service(self, key: ServiceKey) -> ServiceState:
        (state,) = _joined(self._rows(m.Service(key), list[ServiceState]))
        return state

    # the rest

    def set_timeouts(self, timeouts: Timeouts) -> None:
        self._do(m.SetTimeouts(timeouts))

    def timeouts(self) -> Timeouts:
        return self._ask(m.GetTimeouts(), Timeouts)

    def connections(self) -> Iterator[Connection]:
        """Yields them from the director's memory, mapped read-only; row by row over the socket
        where it has none to show."""
        fd = self._arena()
        if fd >= 0:
            from lbfast.control.tables import read_connections

            with os.fdopen(fd):
                yield from read_connections(fd)
            return
        for row in self._rows(m.Connections(), list[m.ConnectionRow]):
            yield Connection(*row)

    def listing(self, *, with_engines: bool) -> Iterator[bytes] | None:
        fd = self._arena()
        if fd < 0:
            return None
        from lbfast.control.tables import read_listing

        with os.fdopen(fd):  # it stays mapped
            return read_listing(fd, with_engines=with_engines)

    def table_size(self) -> int:
        return self._ask(m.TableSize(), int)

    def sysctl(self, name: str) -> str:
        return self._ask(m.Sysctl(name), str)

    def set_sysctl(self, name: str, value: str) -> None:
        self._do(m.SetSysctl(name, value))

    def counters(self) -> list[Counter]:
        return self._ask(m.Counters(), list[Counter])

    def marks(self) -> list[FwmarkRule]:
        return self._ask(m.Marks(), list[FwmarkRule])

    def set_marks(self, rules: list[FwmarkRule]) -> None:
        self._do(m.SetMarks(rules))

    def add_mark(self, rule: FwmarkRule) -> None:
        self._do(m.AddMark(rule))

    def delete_mark(self, rule: FwmarkRule) -> None:
        self._do(m.DeleteMark(rule))

    def start_daemon(self, daemon: SyncDaemon) -> None:
        self._do(m.StartDaemon(daemon))

    def stop_daemon(self, role: SyncRole) -> None:
        self._do(m.StopDaemon(role))

    def daemons(self) -> list[SyncDaemon]:
        return self._ask(m.Daemons(), list[SyncDaemon])

    def _arena(self) -> int:
        """Returns a file descriptor of the director's arena, to be closed; -1 without one."""
        return self._files.pop() if self._ask(m.Arena(), bool) and self._files else -1

    # frames

    def _do(self, request: m.Request) -> None:
        self._send(request)
        self._end(self._receive())
        self._is_unsettled = True

    def _ask(self, request: m.Request, kind: type[T]) -> T:
        self._send(request)
        reply = self._receive()
        if not isinstance(reply, m.Answer):
            self._end(reply)
            raise ControlError("the daemon gave no answer: not the same version of lbfast?")
        return _value(reply.value, kind)

    def _rows(self, request: m.Request, kind: type[list[T]]) -> Iterator[T]:
        self._send(request)
        self._is_busy = True
        try:
            while isinstance(reply := self._receive(), m.Rows):
                yield from _value(reply.rows, kind)
            self._is_busy = False
            self._end(reply)
        finally:
            if self._is_busy:
                self.close()

    def _end(self, reply: m.Reply) -> None:
        """Takes the last frame of a reply; raises what it says went wrong."""
        match reply:
            case m.Done():
                return
            case m.Refused(errno):
                raise KernelError(errno)
            case m.Failed(sentence):
                raise ControlError(sentence)
            case _:
                raise ControlError("the daemon answered out of turn")

    def _send(self, request: m.Request) -> None:
        if self._is_busy:
            raise ControlError("a request while another is still being answered")
        try:
            self._socket.sendall(m.frame(request))
        except ConnectionError:
            self._end(self._receive())  # it may have said why before it closed
            raise ControlError(_CLOSED) from None
        except OSError as failed:
            raise ControlError(f"cannot talk to the lbfast daemon: {failed}") from failed

    def _receive(self) -> m.Reply:
        (length,) = m.HEADER.unpack(self._take(m.HEADER.size))
        if length > m.MAX_REPLY:
            raise ControlError(f"the daemon answered {length} bytes, expected {m.MAX_REPLY}")
        try:
            return m.decode_reply(self._take(length))
        except (msgspec.MsgspecError, ValueError) as failed:
            raise ControlError(f"the daemon's answer makes no sense: {failed}") from failed

    def _take(self, length: int) -> bytes:
        """Returns the next so many bytes from the socket."""
        while len(self._buffer) < length:
            try:
                received = self._received()
            except TimeoutError:
                raise ControlError(_SILENT) from None
            except ConnectionError:
                raise ControlError(_CLOSED) from None
            except OSError as failed:
                raise ControlError(f"cannot talk to the lbfast daemon: {failed}") from failed
            if not received:
                raise ControlError(_CLOSED)
            self._buffer += received
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _received(self) -> bytes:
        """Returns what comes next; a user who has to wait is told why, once."""
        try:
            return self._recv()
        except TimeoutError:
            left_s = self._patience_s - NOTICE_S
            if left_s <= 0 or self._socket.gettimeout() != NOTICE_S:
                raise
            print(f"lbfast: {_SILENT}, waiting {left_s:.0f} s more", file=sys.stderr)
            self._socket.settimeout(left_s)
            return self._recv()

    def _recv(self) -> bytes:
        """Returns bytes; an open file that comes with them waits in `_files`."""
        received, files, _, _ = socket.recv_fds(self._socket, _CHUNK, 1, socket.MSG_CMSG_CLOEXEC)
        self._files += files
        return received


def _value(encoded: msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(encoded, type=kind)
    except (msgspec.MsgspecError, ValueError) as failed:
        raise ControlError(f"the daemon's answer makes no sense: {failed}") from failed


def _joined(pieces: Iterator[ServiceState]) -> list[ServiceState]:
    """Puts services together whose servers came in several pieces."""
    states: list[ServiceState] = []
    servers: list[Any] = []
    for piece in pieces:
        if not states or states[-1].service.key != piece.service.key:
            if states:
                states[-1] = replace(states[-1], servers=tuple(servers))
            states.append(piece)
            servers = []
        servers += piece.servers
    if states:
        states[-1] = replace(states[-1], servers=tuple(servers))
    return states
