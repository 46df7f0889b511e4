"""The eBPF program that turns round frames given back and dresses tunnelled super-frames.

It sits at the egress of `lo`, or of the interface itself.  What it does to a frame, and for which
interface, is in the frame's SO_MARK; other frames pass it untouched.
"""

from __future__ import annotations

import socket

from lbfast import bpf
from lbfast.control.steering import MARK_GIVE, MARK_GIVEN, MARK_TARGET, MARK_WRAP

_KIND = 0xFFFFFFFF & ~MARK_TARGET


def egress_program() -> bytes:
    """Returns the program.

    A frame with MARK_GIVE arrives, with MARK_GIVEN, on the interface that the mark's lower bits
    name, or with 0 there on the one it was leaving.  One with MARK_WRAP, a super-frame behind an
    outer IP header, has that header taken off and put on again as a tunnel's (only so does the
    kernel know how to segment it: virtio-net headers cannot say it), and leaves by the interface.
    """
    p = bpf.Program()
    p.mov_reg(6, 1)
    p.load(4, 7, 6, bpf.SKB_MARK)
    p.mov_reg(8, 7)
    p.and_(8, _KIND)
    p.jump_if(8, "eq", MARK_WRAP, "ours")
    p.jump_if(8, "ne", MARK_GIVE, "next")
    p.label("ours")
    p.and_(7, MARK_TARGET)
    p.jump_if(7, "ne", 0, "known")
    p.load(4, 7, 6, bpf.SKB_IFINDEX)
    p.label("known")
    p.jump_if(8, "eq", MARK_WRAP, "wrap")
    _redirect(p, MARK_GIVEN, bpf.REDIRECT_INGRESS)
    p.label("wrap")
    p.load(4, 0, 6, bpf.SKB_PROTOCOL)
    p.jump_if(0, "eq", socket.htons(0x86DD), "wrap6")
    _wrap(p, 20, bpf.ENCAP_IPV4)
    p.label("wrap6")
    _wrap(p, 40, bpf.ENCAP_IPV6)
    p.label("drop")
    p.exit(bpf.DROP)
    p.label("next")
    p.exit(bpf.NEXT)
    return p.encode()


def _redirect(p: bpf.Program, mark: int, flags: int) -> None:
    """Hands the frame to the interface in r7, with another mark."""
    p.mov(0, mark)
    p.store(4, 6, bpf.SKB_MARK, 0)
    p.mov_reg(1, 7)
    p.mov(2, flags)
    p.call(bpf.REDIRECT)
    p.exit()


def _wrap(p: bpf.Program, size: int, kind: int) -> None:
    """Makes the first `size` bytes behind the Ethernet header a tunnel's outer header."""
    _header(p, bpf.LOAD_BYTES, size)
    for change, flags in ((-size, bpf.FIXED_GSO), (size, bpf.FIXED_GSO | kind)):
        p.mov_reg(1, 6)
        p.mov(2, change)
        p.mov(3, bpf.AT_MAC)
        p.mov(4, flags)
        p.call(bpf.ADJUST_ROOM)
        p.jump_if(0, "ne", 0, "drop")
    _header(p, bpf.STORE_BYTES, size)
    _redirect(p, 0, 0)


def _header(p: bpf.Program, helper: int, size: int) -> None:
    """Copies bytes behind the Ethernet header to the stack or back."""
    p.mov_reg(1, 6)
    p.mov(2, 14)
    p.mov_reg(3, 10)
    p.add(3, -40)
    p.mov(4, size)
    p.mov(5, 0)
    p.call(helper)
    p.jump_if(0, "ne", 0, "drop")
