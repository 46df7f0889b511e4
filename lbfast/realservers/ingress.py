"""The quick half of unwrapping: eBPF at the ingress of the host's interfaces.

It takes the outer header off whole packets of 4in4 and 6in6, super-frames and unfinished checksums
as they are.  They arrive on the interface they came in on or, where a strict rp_filter might drop
them, on the TUN device, at the cost of a second pass through the kernel's queue, which reorders a
few.  All it is not sure of goes on to the host, where the process of decap.py finds it: other
kinds, options, fragments, a congestion mark to be copied inwards, outer addresses that it does not
know yet.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping

from lbfast import bpf

# offsets on the program's stack: both IP headers, and behind them a key of either map
_HEADERS, _KEY = -96, -16
_ETH, _ADDRESS = 14, 16
_CE = 3  # RFC 3168: both bits of ECN
_PACKET_HOST = 0
_MAX_ADDRESSES = 65536
_FAMILIES = {"4in4": (0x0800, 20, bpf.DECAP_IPV4), "6in6": (0x86DD, 40, bpf.DECAP_IPV6)}


def program(kinds: Iterable[str], device: int, hosts: int, vips: int) -> bytes:
    """Return the program; `device` is the ifindex of where packets arrive, 0 where they came in.

    hosts, vips: the maps' descriptors.
    """
    p = bpf.Program()
    p.mov_reg(6, 1)
    p.load(4, 0, 6, bpf.SKB_PKT_TYPE)
    p.jump_if(0, "ne", _PACKET_HOST, "next")
    p.load(4, 7, 6, bpf.SKB_PROTOCOL)
    for kind in kinds:
        ethertype, size, decap = _FAMILIES[kind]
        p.jump_if(7, "ne", socket.htons(ethertype), f"not {kind}")
        _load(p, 2 * size)
        _is_plain(p, size)
        _known(p, size, hosts, outer=True)
        _known(p, size, vips, outer=False)
        _unwrap(p, size, decap, device)
        p.label(f"not {kind}")
    p.label("next")
    p.exit(bpf.NEXT)
    return p.encode()


def _load(p: bpf.Program, size: int) -> None:
    """Copies the headers to the stack; a frame too short for them goes on."""
    p.mov_reg(1, 6)
    p.mov(2, _ETH)
    p.mov_reg(3, 10)
    p.add(3, _HEADERS)
    p.mov(4, size)
    p.call(bpf.LOAD_BYTES)
    p.jump_if(0, "ne", 0, "next")


def _is_plain(p: bpf.Program, size: int) -> None:
    """Goes on with what has options, is a fragment or bears a congestion mark."""
    if size == 40:
        p.load(1, 0, 10, _HEADERS + 6)
        p.jump_if(0, "ne", socket.IPPROTO_IPV6, "next")
        p.load(1, 0, 10, _HEADERS + 1)
        p.and_(0, _CE << 4)
        p.jump_if(0, "eq", _CE << 4, "next")
        return
    p.load(1, 0, 10, _HEADERS)
    p.jump_if(0, "ne", 0x45, "next")
    p.load(1, 0, 10, _HEADERS + 9)
    p.jump_if(0, "ne", socket.IPPROTO_IPIP, "next")
    p.load(2, 0, 10, _HEADERS + 6)
    p.jump_if(0, "set", socket.htons(0x3FFF), "next")
    p.load(1, 0, 10, _HEADERS + 1)
    p.and_(0, _CE)
    p.jump_if(0, "eq", _CE, "next")


def _known(p: bpf.Program, size: int, map_fd: int, *, outer: bool) -> None:
    """Goes on unless the map has the destination address of one of the headers."""
    header = _HEADERS if outer else _HEADERS + size
    width = 16 if size == 40 else 4
    p.mov(0, 0)
    p.store(8, 10, _KEY, 0)
    p.store(8, 10, _KEY + 8, 0)
    for word in range(0, width, 4):
        p.load(4, 0, 10, header + size - width + word)
        p.store(4, 10, _KEY + word, 0)
    p.map_fd(1, map_fd)
    p.mov_reg(2, 10)
    p.add(2, _KEY)
    p.call(bpf.MAP_LOOKUP)
    p.jump_if_null(0, "next")


def _unwrap(p: bpf.Program, size: int, decap: int, device: int) -> None:
    """Takes the outer header off and lets the packet arrive."""
    p.mov_reg(1, 6)
    p.mov(2, -size)
    p.mov(3, bpf.AT_MAC)
    p.mov(4, bpf.FIXED_GSO | decap)
    p.call(bpf.ADJUST_ROOM)
    p.jump_if(0, "ne", 0, "next")
    if not device:
        p.exit(bpf.NEXT)
        return
    p.mov(1, device)
    p.mov(2, bpf.REDIRECT_INGRESS)
    p.call(bpf.REDIRECT)
    p.exit()


class Ingress:
    """The program at the host's interfaces, and the addresses it knows."""

    def __init__(self, device: int, kinds: Iterable[str]) -> None:
        """Load it; raises OSError where the kernel cannot (no BPF, or older than Linux 6.6)."""
        self._links: dict[tuple[int, bool], int] = {}
        self._device = device
        self._maps = [bpf.create_hash(_ADDRESS, 1, _MAX_ADDRESSES) for _ in range(2)]
        self._known: list[frozenset[bytes]] = [frozenset(), frozenset()]
        try:
            known = [kind for kind in kinds if kind in _FAMILIES]
            self._programs = [
                bpf.load_program(program(known, where, *self._maps), "lbfast_unwrap")
                for where in (0, device)
            ]
        except OSError:
            for fd in self._maps:
                os.close(fd)
            raise

    def follow(
        self, interfaces: Mapping[int, bool], hosts: Iterable[bytes], vips: Iterable[bytes]
    ) -> None:
        """Be at these interfaces and know these addresses, 4 or 16 bytes, and no others.

        interfaces: {ifindex: whether its rp_filter is strict}.  What an interface refuses is left
        to the process.
        """
        wanted = {one for one in interfaces.items() if one[0] != self._device}
        for gone in self._links.keys() - wanted:
            os.close(self._links.pop(gone))
        for ifindex, is_strict in wanted - self._links.keys():
            with contextlib.suppress(OSError):
                program_fd = self._programs[is_strict]
                self._links[ifindex, is_strict] = bpf.attach_ingress(program_fd, ifindex)
        for at, addresses in enumerate((hosts, vips)):
            self._enter(at, frozenset(addresses))

    def _enter(self, at: int, addresses: frozenset[bytes]) -> None:
        fd, before = self._maps[at], self._known[at]
        self._known[at] = addresses
        for gone in before - addresses:
            bpf.map_remove(fd, gone.ljust(_ADDRESS, b"\0"))
        for new in addresses - before:
            bpf.map_put(fd, new.ljust(_ADDRESS, b"\0"), b"\1")
