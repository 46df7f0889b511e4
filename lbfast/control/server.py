"""The control socket: answers requests from a balancer that lives in the same event loop.

A client can waste its own connection and nothing else: who it is, how long its requests are, how
long it takes over one and how many clients there are is limited, and a long answer is given in
pieces between which the loop does its other work.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from lbfast.control import messages as m
from lbfast.control.api import Balancer
from lbfast.control.validate import check
from lbfast.errors import KernelError, LbfastError
from lbfast.model import ServiceState

logger = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_BACKLOG = 128
_ROWS = 256  # in one frame: well below a millisecond of work


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a client can go."""

    clients: int = 64  # one more, and the one that is idle for the longest goes
    request_s: float = 10.0  # for the rest of a request once its length has come
    answer_s: float = 600.0  # for taking a piece of an answer: somebody may be reading it


class _Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, task: asyncio.Task[None], turn: int) -> None:
        self.writer = writer
        self.task = task
        self.is_idle = True
        self.turn = turn  # of its last request, among everybody's


class ControlServer:
    """Listens on a Unix socket and does what clients ask of a balancer."""

    def __init__(
        self, balancer: Balancer, path: Path, limits: Limits | None = None, arena_fd: int = -1
    ) -> None:
        """arena_fd: the file that clients may read connections from; -1: there is none."""
        self._balancer = balancer
        self._arena_fd = arena_fd
        self._path = path
        self._limits = limits or Limits()
        self._uids = {0, os.geteuid()}
        self._clients: set[_Client] = set()
        self._turn = 0
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Listens; the directory of the socket must be this process's alone (rundir.claim)."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, str(self._path), limit=m.MAX_REQUEST, backlog=_BACKLOG
        )
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stops listening and ends all connections."""
        if self._server is None:
            return
        self._server.close()
        tasks = [client.task for client in self._clients]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._server = None
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one client from beginning to end."""
        task = asyncio.current_task()
        assert task is not None
        self._turn += 1
        client = _Client(writer, task, self._turn)
        self._make_room()
        self._clients.add(client)
        try:
            if self._is_allowed(writer):
                await self._converse(client, reader)
            else:
                await self._write(writer, m.Refused(errno.EPERM))
            writer.close()
        except (EOFError, OSError, asyncio.CancelledError):
            # gone, too slow or in the way: what it has not read is of no use.  Nobody awaits
            # this task, and asyncio reports one that ends as cancelled.
            writer.transport.abort()
        finally:
            self._clients.discard(client)

    def _is_allowed(self, writer: asyncio.StreamWriter) -> bool:
        connection = writer.get_extra_info("socket")
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(packed)[1] in self._uids

    def _make_room(self) -> None:
        """Ends the connection that is idle for the longest when there are too many."""
        if len(self._clients) < self._limits.clients:
            return
        oldest = min(self._clients, key=lambda client: (not client.is_idle, client.turn))
        self._clients.discard(oldest)
        oldest.task.cancel()

    async def _converse(self, client: _Client, reader: asyncio.StreamReader) -> None:
        """Answers requests one after the other until the client leaves or talks nonsense."""
        while True:
            client.is_idle = True
            (length,) = m.HEADER.unpack(await reader.readexactly(m.HEADER.size))
            client.is_idle = False
            self._turn += 1
            client.turn = self._turn
            if length > m.MAX_REQUEST:
                raise EOFError
            async with asyncio.timeout(self._limits.request_s):
                payload = await reader.readexactly(length)
            try:
                request = m.decode_request(payload)
            except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
                await self._write(client.writer, m.Failed(f"request makes no sense: {failed}"))
                return
            await self._answer(request, client.writer)

    async def _answer(self, request: m.Request, writer: asyncio.StreamWriter) -> None:
        """Does one request and writes all of its answer."""
        if isinstance(request, m.Arena):
            await self._show_arena(writer)
            return
        last: m.Reply
        try:
            check(request)
            answer = _ANSWERS[type(request)](self._balancer, request)
            if isinstance(answer, _Pieces):
                for piece in answer.pieces:
                    await self._write(writer, m.Rows(m.raw(piece)))
                    await asyncio.sleep(0)
                answer = None
            last = m.Done() if answer is None else m.Answer(m.raw(answer))
        except KernelError as refused:
            last = m.Refused(refused.errno or errno.EINVAL)
        except LbfastError as failed:
            last = m.Failed(str(failed))
        except (ConnectionError, TimeoutError):
            raise  # of the connection, not of the request
        except Exception as bug:
            logger.exception("control request %s failed", type(request).__name__)
            last = m.Failed(f"the daemon failed inside: {type(bug).__name__}: {bug}")
        await self._write(writer, last)

    async def _show_arena(self, writer: asyncio.StreamWriter) -> None:
        """Gives a client the arena's file, opened for reading only, beside the answer."""
        if self._arena_fd < 0:
            await self._write(writer, m.Answer(m.raw(False)))
            return
        if writer.transport.get_write_buffer_size():
            raise EOFError  # asked before it had read the last answer
        fd = os.open(f"/proc/self/fd/{self._arena_fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
                socket.send_fds(same, [m.frame(m.Answer(m.raw(True)))], [fd])
        finally:
            os.close(fd)

    async def _write(self, writer: asyncio.StreamWriter, reply: m.Reply) -> None:
        """Writes a frame, waiting while the client does not take what it was given before."""
        writer.write(m.frame(reply))
        async with asyncio.timeout(self._limits.answer_s):
            await writer.drain()


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A long answer: lists that are each encoded and written by themselves."""

    pieces: Iterator[list[Any]]


def _connections(balancer: Balancer) -> _Pieces:
    rows = balancer.connections()
    return _Pieces(iter(lambda: list(islice(rows, _ROWS)), []))


def _services(states: Iterable[ServiceState]) -> _Pieces:
    return _Pieces(_by_size(states))


def _by_size(states: Iterable[ServiceState]) -> Iterator[list[ServiceState]]:
    """Yields services so many at a time; one with many servers comes as several of one key."""
    piece: list[ServiceState] = []
    size = 0
    for state in states:
        for at in range(0, len(state.servers) or 1, _ROWS):
            part = replace(state, servers=state.servers[at : at + _ROWS])
            piece.append(part)
            size += 1 + len(part.servers)
            if size >= _ROWS:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


_ANSWERS: Mapping[type, Callable[[Balancer, Any], object]] = {
    m.AddService: lambda balancer, r: balancer.add_service(r.svc),
    m.EditService: lambda balancer, r: balancer.edit_service(r.svc),
    m.DeleteService: lambda balancer, r: balancer.delete_service(r.key),
    m.Flush: lambda balancer, r: balancer.flush(),
    m.Settle: lambda balancer, r: balancer.settle(),
    m.Standby: lambda balancer, r: balancer.set_standby(frozenset(r.addresses)),
    m.AddServer: lambda balancer, r: balancer.add_server(r.key, r.server),
    m.EditServer: lambda balancer, r: balancer.edit_server(r.key, r.server),
    m.DeleteServer: lambda balancer, r: balancer.delete_server(r.key, r.server),
    m.AddLaddr: lambda balancer, r: balancer.add_laddr(r.key, r.addr),
    m.DelLaddr: lambda balancer, r: balancer.del_laddr(r.key, r.addr),
    m.Laddrs: lambda balancer, r: balancer.laddrs(r.key),
    m.Zero: lambda balancer, r: balancer.zero(r.key),
    m.SetTimeouts: lambda balancer, r: balancer.set_timeouts(r.timeouts),
    m.GetTimeouts: lambda balancer, r: balancer.timeouts(),
    m.TableSize: lambda balancer, r: balancer.table_size(),
    m.Sysctl: lambda balancer, r: balancer.sysctl(r.name),
    m.SetSysctl: lambda balancer, r: balancer.set_sysctl(r.name, r.value),
    m.Counters: lambda balancer, r: balancer.counters(),
    m.Marks: lambda balancer, r: balancer.marks(),
    m.SetMarks: lambda balancer, r: balancer.set_marks(r.rules),
    m.AddMark: lambda balancer, r: balancer.add_mark(r.rule),
    m.DeleteMark: lambda balancer, r: balancer.delete_mark(r.rule),
    m.StartDaemon: lambda balancer, r: balancer.start_daemon(r.daemon),
    m.StopDaemon: lambda balancer, r: balancer.stop_daemon(r.role),
    m.Daemons: lambda balancer, r: balancer.daemons(),
    m.Services: lambda balancer, r: _services(balancer.services()),
    m.Service: lambda balancer, r: _services([balancer.service(r.key)]),
    m.Connections: lambda balancer, r: _connections(balancer),
}
