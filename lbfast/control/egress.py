"""Attaching an eBPF program to the egress of an interface, by tcx or as a clsact filter."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import zlib
from typing import NamedTuple, Protocol

from lbfast import bpf, rtnl

_ETH_P_ALL = 3


class Slot(NamedTuple):
    """The place of one of lbfast's programs among the filters of an interface."""

    pref: int
    handle: int


GIVEBACK, LOCAL_SERVER = Slot(1, 0x6C62), Slot(2, 0x6C63)


def loopback_slot(director: str) -> Slot:
    """Returns a director's own place on `lo`, which several directors of a host may share."""
    name = zlib.crc32(director.encode()) & 0xFFFF
    return Slot(GIVEBACK.pref, GIVEBACK.handle << 16 | name)


def _is_lbfasts(handle: int) -> bool:
    return handle in (GIVEBACK.handle, LOCAL_SERVER.handle) or handle >> 16 == GIVEBACK.handle


class Attachment(Protocol):
    def close(self) -> None: ...


class _Tcx:
    """The program on one interface by a tcx link, which goes with this process (Linux 6.6)."""

    def __init__(self, prog_fd: int, ifindex: int, slot: Slot) -> None:
        self._fd = bpf.attach_egress(prog_fd, ifindex, first=slot.pref == 1)

    def close(self) -> None:
        os.close(self._fd)


class _Clsact:
    """The program on one interface as a traffic-control filter.

    It stays after a kill and does no harm: no frame carries the mark then; the next director
    replaces it.  The clsact qdisc goes at close if it is ours and nobody else's filter is there.
    """

    _PARENT_QDISC, _HANDLE_QDISC = 0xFFFFFFF1, 0xFFFF0000
    _EGRESS, _INGRESS = 0xFFFFFFF3, 0xFFFFFFF2
    _KIND, _OPTIONS, _BPF_FD, _BPF_NAME, _BPF_FLAGS = 1, 2, 6, 7, 8
    _DIRECT_ACTION = 1

    def __init__(self, prog_fd: int, ifindex: int, slot: Slot) -> None:
        self._ifindex, self._slot = ifindex, slot
        try:
            self._qdisc(rtnl.NEWQDISC, rtnl.CREATE | rtnl.EXCL)
            self._ours = True
        except FileExistsError:
            found = self._filters(self._EGRESS)
            self._ours = bool(found) and all(map(_is_lbfasts, found))
        options = rtnl.attribute(self._BPF_FD, struct.pack("=I", prog_fd))
        options += rtnl.attribute(self._BPF_NAME, b"lbfast\0")
        options += rtnl.attribute(self._BPF_FLAGS, struct.pack("=I", self._DIRECT_ACTION))
        self._filter(rtnl.NEWTFILTER, rtnl.CREATE | rtnl.REPLACE, options)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the interface may be gone
            self._filter(rtnl.DELTFILTER, 0, b"")
            if self._ours and not self._filters(self._EGRESS) + self._filters(self._INGRESS):
                self._qdisc(rtnl.DELQDISC, 0)

    def _qdisc(self, kind: int, flags: int) -> None:
        payload = self._tcmsg(self._HANDLE_QDISC, self._PARENT_QDISC, 0)
        payload += rtnl.attribute(self._KIND, b"clsact\0")
        rtnl.request(kind, flags, payload, f"clsact on interface {self._ifindex}")

    def _filter(self, kind: int, flags: int, options: bytes) -> None:
        info = self._slot.pref << 16 | socket.htons(_ETH_P_ALL)
        payload = self._tcmsg(self._slot.handle, self._EGRESS, info)
        payload += rtnl.attribute(self._KIND, b"bpf\0")
        payload += rtnl.attribute(self._OPTIONS, options)
        rtnl.request(kind, flags, payload, f"egress filter on interface {self._ifindex}")

    def _filters(self, parent: int) -> list[int]:
        """Returns the handles of the filters on one side of the qdisc."""
        with rtnl.open_socket() as sock:
            found = [
                handle
                for data in rtnl.dump(sock, rtnl.GETTFILTER, self._tcmsg(0, parent, 0))
                for kind, _, at, _ in rtnl.messages(data)
                if kind == rtnl.NEWTFILTER
                for handle in struct.unpack_from("=I", data, at + 24)
            ]
        return [handle for handle in found if handle]

    def _tcmsg(self, handle: int, parent: int, info: int) -> bytes:
        return struct.pack("=BxxxiIII", 0, self._ifindex, handle, parent, info)


def attach(way: str, prog_fd: int, ifindex: int, slot: Slot) -> Attachment:
    """Attaches by `tcx` or `clsact`; raises OSError where the kernel cannot."""
    return (_Tcx if way == "tcx" else _Clsact)(prog_fd, ifindex, slot)
