"""The one eBPF program of lbfast, and the bpf() calls that load and attach it.

The program is eight instructions, so they are written out here: no compiler and no object file is
needed at run time, and the standard library's ctypes is enough for the two system calls.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# Number of bpf(2) per machine; everything newer uses the generic table's 280.
_SYSCALL = {"x86_64": 321, "i686": 357, "armv7l": 386, "ppc64le": 361, "s390x": 351}

_PROG_LOAD, _LINK_CREATE = 5, 28
_PROG_TYPE_SCHED_CLS = 3
_ATTACH_TCX_EGRESS = 47
_BEFORE = 1 << 3  # BPF_F_BEFORE: first in the chain, no other program sees the frame

# Offsets in struct __sk_buff (linux/bpf.h) and the helper's number.
_SKB_MARK, _SKB_IFINDEX = 8, 40
_HELPER_REDIRECT = 23
_F_INGRESS = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """Packs one instruction in the machine's byte order."""
    little = struct.pack("<H", 1) == struct.pack("=H", 1)
    regs = dst | src << 4 if little else dst << 4 | src
    return struct.pack("=BBhI", code, regs, off, imm & 0xFFFFFFFF)


def egress_program(mark: int) -> bytes:
    """Returns the program: a frame that carries `mark` arrives on the interface it was leaving.

    Every other frame goes on as if the program were not there.
    """
    return b"".join(
        (
            _insn(0x61, dst=0, src=1, off=_SKB_MARK),  # r0 = skb->mark
            _insn(0x56, dst=0, off=4, imm=mark),  # if (u32)r0 != mark goto +4
            _insn(0x61, dst=1, src=1, off=_SKB_IFINDEX),  # r1 = skb->ifindex
            _insn(0xB7, dst=2, imm=_F_INGRESS),  # r2 = BPF_F_INGRESS
            _insn(0x85, imm=_HELPER_REDIRECT),  # r0 = bpf_redirect(r1, r2)
            _insn(0x95),  # return r0
            _insn(0xB7, dst=0, imm=-1),  # TCX_NEXT, and TC_ACT_UNSPEC to cls_bpf
            _insn(0x95),
        )
    )


def _bpf(command: int, attr: bytes, doing: str) -> int:
    """Calls bpf(2) and returns the new descriptor, close-on-exec as the kernel makes it."""
    number = _SYSCALL.get(platform.machine(), 280)
    buf = ctypes.create_string_buffer(attr, len(attr))
    fd = int(_libc.syscall(number, command, buf, len(attr)))
    if fd < 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{doing}: {os.strerror(err)}")
    return fd


def load_program(code: bytes, name: str) -> int:
    """Loads a traffic-control program and returns its descriptor.

    Raises OSError (EPERM without CAP_BPF and CAP_NET_ADMIN, ENOSYS without BPF in the kernel).
    """
    insns = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"MIT")
    attr = struct.pack(
        "=IIQQIIQII16s",
        _PROG_TYPE_SCHED_CLS,
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


def attach_egress(prog_fd: int, ifindex: int) -> int:
    """Attaches the program to an interface's egress (tcx, Linux 6.6); returns the link's fd.

    The attachment lasts as long as the descriptor: it goes with the process, however that ends.
    Raises OSError (EINVAL on a kernel without tcx).
    """
    attr = struct.pack("=IIIIIIQ", prog_fd, ifindex, _ATTACH_TCX_EGRESS, _BEFORE, 0, 0, 0)
    return _bpf(_LINK_CREATE, attr, f"attaching the eBPF program to interface {ifindex}")
