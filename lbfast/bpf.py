"""eBPF programs without a compiler: an assembler, and the bpf() calls to load and attach them.

The programs of lbfast are a few dozen instructions each, so they are written out in Python; no
compiler and no object file is needed at run time, and ctypes is enough for the system calls.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys
from typing import ClassVar

# Number of bpf(2) per machine; everything newer uses the generic table's 280.
_SYSCALL = {"x86_64": 321, "i686": 357, "armv7l": 386, "ppc64le": 361, "s390x": 351}

_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _LINK_CREATE = 0, 2, 3, 5, 28
_MAP_TYPE_HASH = 1
_PROG_TYPE_SOCKET_FILTER, _PROG_TYPE_SCHED_CLS = 1, 3
_ATTACH_TCX_INGRESS, _ATTACH_TCX_EGRESS = 46, 47
_BEFORE = 1 << 3  # BPF_F_BEFORE: first in the chain, no other program sees the frame

# Offsets in struct __sk_buff and numbers of helpers (linux/bpf.h).
SKB_PKT_TYPE, SKB_MARK, SKB_PROTOCOL, SKB_IFINDEX = 4, 8, 16, 40
MAP_LOOKUP, STORE_BYTES, REDIRECT, LOAD_BYTES, ADJUST_ROOM = 1, 9, 23, 26, 50
REDIRECT_INGRESS = 1
AT_MAC = 1  # BPF_ADJ_ROOM_MAC: room behind the Ethernet header
FIXED_GSO, ENCAP_IPV4, ENCAP_IPV6, DECAP_IPV4, DECAP_IPV6 = 1, 2, 4, 128, 256  # BPF_F_ADJ_ROOM_*
DROP = 2  # TC_ACT_SHOT
NEXT = -1  # TCX_NEXT, and TC_ACT_UNSPEC to cls_bpf: go on as if the program were not there

_SO_ATTACH_FILTER = 26

_libc = ctypes.CDLL(None, use_errno=True)


class Program:
    """Instructions in the order they are added, with jumps to labels.

    Registers are numbers: 0 result, 1-5 arguments, 6-9 kept over calls, 10 the stack's top.
    """

    _SIZES: ClassVar = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
    _JUMPS: ClassVar = {"eq": 0x10, "set": 0x40, "ne": 0x50, "lt": 0xA0}

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int | str, int]] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def load(self, size: int, dst: int, src: int, off: int) -> None:
        """dst = *(src + off), `size` bytes."""
        self._code.append((0x61 | self._SIZES[size], dst, src, off, 0))

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        """*(dst + off) = src, `size` bytes."""
        self._code.append((0x63 | self._SIZES[size], dst, src, off, 0))

    def mov(self, dst: int, value: int) -> None:
        self._code.append((0xB7, dst, 0, 0, value))

    def mov_reg(self, dst: int, src: int) -> None:
        self._code.append((0xBF, dst, src, 0, 0))

    def add(self, dst: int, value: int) -> None:
        self._code.append((0x07, dst, 0, 0, value))

    def and_(self, dst: int, value: int) -> None:
        self._code.append((0x57, dst, 0, 0, value))

    def shl(self, dst: int, bits: int) -> None:
        self._code.append((0x67, dst, 0, 0, bits))

    def shr(self, dst: int, bits: int) -> None:
        self._code.append((0x77, dst, 0, 0, bits))

    def mod(self, dst: int, value: int) -> None:
        self._code.append((0x97, dst, 0, 0, value))

    def or_reg(self, dst: int, src: int) -> None:
        self._code.append((0x4F, dst, src, 0, 0))

    def and_reg(self, dst: int, src: int) -> None:
        self._code.append((0x5F, dst, src, 0, 0))

    def xor_reg(self, dst: int, src: int) -> None:
        self._code.append((0xAF, dst, src, 0, 0))

    def add_reg(self, dst: int, src: int) -> None:
        self._code.append((0x0F, dst, src, 0, 0))

    def mul_reg(self, dst: int, src: int) -> None:
        self._code.append((0x2F, dst, src, 0, 0))

    def mov64(self, dst: int, value: int) -> None:
        """dst = value, of 64 bits."""
        self._code.append((0x18, dst, 0, 0, value))
        self._code.append((0, 0, 0, 0, value >> 32))

    def map_fd(self, dst: int, fd: int) -> None:
        self._code.append((0x18, dst, 1, 0, fd))
        self._code.append((0, 0, 0, 0, 0))

    def jump(self, label: str) -> None:
        self._code.append((0x05, 0, 0, label, 0))

    def jump_if(self, dst: int, test: str, value: int, label: str) -> None:
        """Compares the lower 32 bits, unsigned; `set`: any bit of value is set."""
        self._code.append((0x06 | self._JUMPS[test], dst, 0, label, value))

    def jump_if_null(self, dst: int, label: str) -> None:
        self._code.append((0x15, dst, 0, label, 0))

    def call(self, helper: int) -> None:
        self._code.append((0x85, 0, 0, 0, helper))

    def exit(self, value: int | None = None) -> None:
        """Returns r0, or a value."""
        if value is not None:
            self.mov(0, value)
        self._code.append((0x95, 0, 0, 0, 0))

    def encode(self) -> bytes:
        """Returns the program in the machine's byte order."""
        little = sys.byteorder == "little"
        out = []
        for at, (code, dst, src, off, imm) in enumerate(self._code):
            regs = dst | src << 4 if little else dst << 4 | src
            jump = off if isinstance(off, int) else self._labels[off] - at - 1
            out.append(struct.pack("=BBhI", code, regs, jump, imm & 0xFFFFFFFF))
        return b"".join(out)


def _bpf(command: int, attr: bytes, doing: str) -> int:
    """Calls bpf(2) and returns the new descriptor, close-on-exec as the kernel makes it."""
    number = _SYSCALL.get(platform.machine(), 280)
    buf = ctypes.create_string_buffer(attr, len(attr))
    fd = int(_libc.syscall(number, command, buf, len(attr)))
    if fd < 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{doing}: {os.strerror(err)}")
    return fd


def load_socket_program(code: bytes, name: str) -> int:
    """Loads a program of sockets, as the fanout's is; see `load_program`."""
    return load_program(code, name, _PROG_TYPE_SOCKET_FILTER)


def load_program(code: bytes, name: str, kind: int = _PROG_TYPE_SCHED_CLS) -> int:
    """Loads a traffic-control program and returns its descriptor.

    Raises OSError (EPERM without CAP_BPF and CAP_NET_ADMIN, ENOSYS without BPF in the kernel).
    """
    insns = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"MIT")
    attr = struct.pack(
        "=IIQQIIQII16s",
        kind,
        len(code) // 8,
        ctypes.addressof(insns),
        ctypes.addressof(licence),
        0,  # log_level
        0,  # log_size
        0,  # log_buf
        0,  # kern_version
        0,  # prog_flags
        name.encode()[:15],
    )
    return _bpf(_PROG_LOAD, attr, "loading the eBPF program")


def create_hash(key_size: int, value_size: int, entries: int) -> int:
    """Makes a hash map and returns its descriptor; raises OSError."""
    attr = struct.pack("=IIIII", _MAP_TYPE_HASH, key_size, value_size, entries, 0)
    return _bpf(_MAP_CREATE, attr, "making an eBPF map")


def map_put(fd: int, key: bytes, value: bytes) -> None:
    """Enters a key; raises OSError (E2BIG if the map is full)."""
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value)
    attr = struct.pack("=IIQQQ", fd, 0, ctypes.addressof(k), ctypes.addressof(v), 0)
    _bpf(_MAP_UPDATE, attr, "writing an eBPF map")


def map_remove(fd: int, key: bytes) -> None:
    """Removes a key; raises OSError (ENOENT)."""
    k = ctypes.create_string_buffer(key, len(key))
    _bpf(_MAP_DELETE, struct.pack("=IIQ", fd, 0, ctypes.addressof(k)), "clearing an eBPF map")


def attach_egress(prog_fd: int, ifindex: int, *, first: bool) -> int:
    """Attaches the program to an interface's egress (tcx, Linux 6.6); returns the link's fd.

    The attachment lasts as long as the descriptor: it goes with the process, however that ends.
    `first`: no other program sees the frame.  Raises OSError (EINVAL on a kernel without tcx).
    """
    return _attach(prog_fd, ifindex, _ATTACH_TCX_EGRESS, _BEFORE if first else 0)


def attach_ingress(prog_fd: int, ifindex: int) -> int:
    """Attaches the program to an interface's ingress, as attach_egress does."""
    return _attach(prog_fd, ifindex, _ATTACH_TCX_INGRESS, 0)


def _attach(prog_fd: int, ifindex: int, where: int, flags: int) -> int:
    attr = struct.pack("=IIIIIIQ", prog_fd, ifindex, where, flags, 0, 0, 0)
    return _bpf(_LINK_CREATE, attr, f"attaching the eBPF program to interface {ifindex}")


def attach_classic_filter(sock: socket.socket, program: bytes) -> None:
    """Gives a socket a classic BPF filter; `program`: an array of struct sock_filter."""
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    if struct.calcsize("P") == 4:
        fprog = struct.pack("=HxxI", len(program) // 8, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
