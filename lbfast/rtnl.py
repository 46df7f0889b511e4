"""Netlink route sockets and messages, below what control and VRRP do with them.

The sockets are plain ones: those of pyroute2 want a datagram transport of the event loop, which
uvloop refuses for this family, and hide the overrun of the receive queue.  Messages are decoded by
pyroute2's classes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWRULE, DELRULE, GETRULE = 32, 33, 34
NEWQDISC, DELQDISC = 36, 37
NEWTFILTER, DELTFILTER, GETTFILTER = 44, 45, 46

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
_ERROR, _DONE = 2, 3
_DUMP_INTERRUPTED = 0x10

_HEADER = struct.Struct("=IHHII")
_RCVBUFFORCE, _RCVBUF_SIZE = 33, 8 << 20
_CHUNK = 1 << 17

# Of struct rtgenmsg and all that start with it: AF_UNSPEC, padded to the largest header asked for.
ANY_FAMILY = bytes(16)


def attribute(kind: int, data: bytes) -> bytes:
    """Packs one attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields (type, value) of the attributes between two offsets."""
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields (type, flags, offset, end) of every message in a datagram."""
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if length < 16:
            return
        yield kind, flags, at, at + length
        at += length + 3 & ~3


def message(kind: int, flags: int, payload: bytes, sequence: int = 1) -> bytes:
    return _HEADER.pack(16 + len(payload), kind, flags, sequence, 0) + payload


def error_of(data: bytes, at: int) -> int:
    """Returns the errno of an error message, 0 for an acknowledgement."""
    return -int(struct.unpack_from("=i", data, at + 16)[0])


def open_socket(groups: int = 0, *, blocking: bool = True) -> socket.socket:
    """Opens a route socket with a large receive queue, subscribed to a bitmap of groups."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _RCVBUF_SIZE)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RCVBUF_SIZE)
        sock.bind((0, groups))
        sock.setblocking(blocking)
    except BaseException:
        sock.close()
        raise
    return sock


def request(kind: int, flags: int, payload: bytes, doing: str) -> None:
    """Asks for a change and waits for the answer; raises OSError that says what was being done."""
    with open_socket() as sock:
        sock.send(message(kind, REQUEST | ACK | flags, payload))
        data = sock.recv(_CHUNK)
    for answer, _, at, _ in messages(data):
        if answer == _ERROR and (code := error_of(data, at)):
            raise OSError(code, f"{doing}: {os.strerror(code)}")


def dump(sock: socket.socket, kind: int, payload: bytes = ANY_FAMILY) -> Iterator[bytes]:
    """Yields the datagrams of a dump, from a blocking socket.

    Raises OSError(EINTR) if the table changed under it in a way that makes it incomplete.
    """
    sock.send(message(kind, REQUEST | DUMP, payload))
    interrupted = False
    while True:
        data = sock.recv(_CHUNK)
        end, broken = _dump_end(data)
        interrupted |= broken
        yield data
        if end:
            break
    if interrupted:
        raise InterruptedError(errno.EINTR, "netlink dump: the table changed meanwhile")


def _dump_end(data: bytes) -> tuple[bool, bool]:
    """Returns whether a datagram is a dump's last, and whether it says the dump is incomplete."""
    end = broken = False
    for kind, flags, at, _ in messages(data):
        broken |= bool(flags & _DUMP_INTERRUPTED)
        if kind == _ERROR and (code := error_of(data, at)):
            raise OSError(code, f"netlink dump: {os.strerror(code)}")
        end |= kind in (_DONE, _ERROR)
    return end, broken
