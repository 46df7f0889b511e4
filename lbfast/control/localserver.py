"""Replies of real servers that are the director itself, under NAT, reach the data path.

Such a reply is never received, it is sent: by the host, from the real server's address and port.
An eBPF program at the egress of each interface swaps its MAC addresses and lets it arrive on that
interface, with a mark at which the nftables rules drop it behind the tap.  To the data path it is
a frame for this host like the reply of any other real server, only that its source address is
local; the destination's MAC is kept as its source, so that it can go on unchanged (`tx_pass`).

Limits: Ethernet interfaces; not for clients on the director (they use `lo`); no IPv6 extension
headers but Fragment; needs BPF, without which a local server is for direct routing alone.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from lbfast import bpf
from lbfast.control import egress
from lbfast.control.parts import Element, Slot
from lbfast.control.steering import MARK_PASS, MARK_REPLY, SteeringPlan
from lbfast.model import AF_INET, AF_INET6

CAPACITY = 4096
REPLIES = ("sources", "any_source", "source_addrs")  # sets of a plan

_ETH = 14
_MORE_OR_OFFSET, _FRAGMENT_HEADER = 0x3FFF, 44
# On the program's stack: the key, sixteen bytes of address first; a copy of headers; two MACs.
_KEY, _HEADERS, _MACS = -24, -64, -80
_KEY_SIZE = 20
_PORT, _PROTOCOL, _WHOLE = _KEY + 16, _KEY + 18, _KEY + 19


def map_keys(plan: SteeringPlan, local: Iterable[bytes]) -> frozenset[bytes]:
    """Returns the keys of the program's map: the plan's NAT servers whose address is local."""
    sets = {
        (af, name): getattr(plan.of(af), name) for af in (AF_INET, AF_INET6) for name in REPLIES
    }
    return part_keys(sets, frozenset(local))


def part_keys(
    sets: Mapping[Slot, frozenset[Element]], local: frozenset[bytes] | None = None
) -> frozenset[bytes]:
    """Returns the same of some elements of a plan's sets; without `local` of every address."""
    parts = (_source(x) for (_, name), found in sets.items() if name in REPLIES for x in found)
    return frozenset(
        _key(addr, port, protocol)
        for protocol, addr, port in parts
        if local is None or addr in local
    )


def _source(element: Any) -> tuple[int, bytes, int]:
    """Returns protocol, address and port of an element of one of the sets of replies."""
    if isinstance(element, bytes):
        return 0, element, 0
    protocol, addr, *port = element
    return protocol, addr, port[0] if port else 0


def _key(addr: bytes, port: int, protocol: int) -> bytes:
    """Packs a key.  Port 0: any; protocol 0: fragments and ICMP errors of that address."""
    return struct.pack("!16sHBB", addr, port, protocol, len(addr))


class LocalServers:
    """The programs of one director; nothing is attached while there is no local NAT server.

    `interfaces` maps ifindex to name.  `way` is "tcx", "clsact", or "lo" where there is no BPF:
    then nothing can be done and `obstacles` says so.
    """

    def __init__(self, interfaces: Mapping[int, str], way: str = "tcx") -> None:
        self._interfaces = dict(interfaces)
        self._way = way
        self._keys: frozenset[bytes] = frozenset()
        self._attached: dict[int, egress.Attachment] = {}
        self._map_fd = self._prog_fd = -1

    def set_servers(self, keys: frozenset[bytes]) -> None:
        """Makes `map_keys` of a plan real; raises OSError, E2BIG beyond CAPACITY."""
        if keys and self._way != "lo":
            self._start()
            for key in keys - self._keys:
                bpf.map_put(self._map_fd, key, b"\0\0\0\0")
            for key in self._keys - keys:
                bpf.map_remove(self._map_fd, key)
        self._keys = keys
        if not keys:
            self.close()

    def add_interface(self, ifindex: int, name: str) -> None:
        self.remove_interface(ifindex)
        self._interfaces[ifindex] = name
        if self._prog_fd >= 0:
            self._attach(ifindex)

    def remove_interface(self, ifindex: int) -> None:
        self._interfaces.pop(ifindex, None)
        if attached := self._attached.pop(ifindex, None):
            attached.close()

    def tx_pass(self, ifindex: int) -> tuple[int, int]:
        """Says how a captured frame that is no reply goes on: (ifindex, SO_MARK).

        Its two MAC addresses have to be swapped back, and the socket must not bypass the qdisc
        (so that the mark is taken off).
        """
        return ifindex, MARK_PASS

    def obstacles(self) -> list[str]:
        if self._keys and self._way == "lo":
            return [
                "a real server under NAT is this host itself and the kernel has no BPF for its "
                "replies; use direct routing (-g) for it"
            ]
        return []

    def close(self) -> None:
        """Detaches everything."""
        for attached in self._attached.values():
            attached.close()
        self._attached.clear()
        for fd in (self._prog_fd, self._map_fd):
            if fd >= 0:
                os.close(fd)
        self._prog_fd = self._map_fd = -1
        self._keys = frozenset()

    def _start(self) -> None:
        if self._prog_fd >= 0:
            return
        self._map_fd = bpf.create_hash(_KEY_SIZE, 4, CAPACITY)
        self._prog_fd = bpf.load_program(program(self._map_fd), "lbfast_local")
        for ifindex in self._interfaces:
            self._attach(ifindex)

    def _attach(self, ifindex: int) -> None:
        way, slot = self._way, egress.LOCAL_SERVER
        self._attached[ifindex] = egress.attach(way, self._prog_fd, ifindex, slot)


# ---------------------------------------------------------------- the program


def program(map_fd: int) -> bytes:
    """Returns the egress program that looks for replies of local servers."""
    p = bpf.Program()
    p.mov_reg(6, 1)
    p.load(4, 0, 6, bpf.SKB_MARK)
    p.jump_if(0, "eq", MARK_PASS, "pass")
    p.mov(0, 0)
    for off in (_KEY, _KEY + 8, _KEY + 16):
        p.store(8, 10, off, 0)
    p.load(4, 7, 6, bpf.SKB_PROTOCOL)
    p.jump_if(7, "eq", socket.htons(0x0800), "ip4")
    p.jump_if(7, "ne", socket.htons(0x86DD), "next")
    _ipv6(p)
    _ipv4(p)
    _transport(p)
    _lookups(p, map_fd)
    _capture(p)
    p.label("pass")
    p.mov(0, 0)
    p.store(4, 6, bpf.SKB_MARK, 0)
    p.label("next")
    p.exit(bpf.NEXT)
    return p.encode()


def _ipv6(p: bpf.Program) -> None:
    """Reads the header: r7 next header, r8 offset of the transport header."""
    _headers(p, 40)
    for word in range(0, 16, 8):
        p.load(8, 0, 10, _HEADERS + 8 + word)
        p.store(8, 10, _KEY + word, 0)
    _constant(p, _WHOLE, 16)
    p.load(1, 7, 10, _HEADERS + 6)
    p.mov(8, _ETH + 40)
    p.jump_if(7, "eq", _FRAGMENT_HEADER, "whole")
    p.jump_if(7, "eq", socket.IPPROTO_ICMPV6, "icmp6")
    p.jump("transport")
    p.label("icmp6")
    _load_bytes(p, 8, 1)
    p.load(1, 0, 10, _HEADERS)
    p.jump_if(0, "lt", 128, "whole")
    p.jump("next")


def _ipv4(p: bpf.Program) -> None:
    p.label("ip4")
    _headers(p, 20)
    p.load(4, 0, 10, _HEADERS + 12)
    p.store(4, 10, _KEY, 0)
    _constant(p, _WHOLE, 4)
    p.load(1, 8, 10, _HEADERS)
    p.and_(8, 15)
    p.shl(8, 2)
    p.add(8, _ETH)
    p.load(2, 0, 10, _HEADERS + 6)
    p.jump_if(0, "set", socket.htons(_MORE_OR_OFFSET), "whole")
    p.load(1, 7, 10, _HEADERS + 9)
    p.jump_if(7, "ne", socket.IPPROTO_ICMP, "transport")
    _load_bytes(p, 8, 1)
    p.load(1, 0, 10, _HEADERS)
    for error in (3, 4, 11):
        p.jump_if(0, "eq", error, "whole")
    p.jump("next")


def _transport(p: bpf.Program) -> None:
    """Puts protocol and source port into the key."""
    p.label("transport")
    p.store(1, 10, _PROTOCOL, 7)
    _load_bytes(p, 8, 2)
    p.load(2, 0, 10, _HEADERS)
    p.store(2, 10, _PORT, 0)


def _lookups(p: bpf.Program, map_fd: int) -> None:
    """Looks for the port, then for any port; `whole` comes here with neither."""
    _lookup(p, map_fd)
    p.jump_if_null(0, "any")
    p.jump("capture")
    p.label("any")
    _constant(p, _PORT, 0, size=2)
    p.label("whole")
    _lookup(p, map_fd)
    p.jump_if_null(0, "next")


def _capture(p: bpf.Program) -> None:
    """Swaps the MAC addresses and lets the frame arrive, marked."""
    p.label("capture")
    p.mov(2, 0)
    _load_to(p, _MACS, 12)
    for target, source in ((0, _MACS + 6), (6, _MACS)):
        p.mov_reg(1, 6)
        p.mov(2, target)
        p.mov_reg(3, 10)
        p.add(3, source)
        p.mov(4, 6)
        p.mov(5, 0)
        p.call(bpf.STORE_BYTES)
        p.jump_if(0, "ne", 0, "next")
    p.mov(0, MARK_REPLY)
    p.store(4, 6, bpf.SKB_MARK, 0)
    p.load(4, 1, 6, bpf.SKB_IFINDEX)
    p.mov(2, bpf.REDIRECT_INGRESS)
    p.call(bpf.REDIRECT)
    p.exit()


def _lookup(p: bpf.Program, map_fd: int) -> None:
    p.map_fd(1, map_fd)
    p.mov_reg(2, 10)
    p.add(2, _KEY)
    p.call(bpf.MAP_LOOKUP)


def _constant(p: bpf.Program, off: int, value: int, size: int = 1) -> None:
    p.mov(0, value)
    p.store(size, 10, off, 0)


def _headers(p: bpf.Program, size: int) -> None:
    """Copies the IP header; a frame without one goes on."""
    p.mov(2, _ETH)
    _load_to(p, _HEADERS, size)


def _load_bytes(p: bpf.Program, offset: int, size: int) -> None:
    """Copies bytes at the offset that a register holds."""
    p.mov_reg(2, offset)
    _load_to(p, _HEADERS, size)


def _load_to(p: bpf.Program, where: int, size: int) -> None:
    """Copies bytes of the frame from offset r2 to the stack."""
    p.mov_reg(1, 6)
    p.mov_reg(3, 10)
    p.add(3, where)
    p.mov(4, size)
    p.call(bpf.LOAD_BYTES)
    p.jump_if(0, "ne", 0, "next")
