"""Which worker gets a frame: an eBPF program that computes the owner of its connection.

All workers' sockets of an interface are a fanout group, and this program is the group's: it hashes
the client's address and port as the data path does (`conn_hash`, `hash_owner`), so both directions
of a connection come to the worker that has its entry.  Which side is the client's a map of the
servers tells that NAT sends replies through this host: of what one of them sends the destination,
of all else the source.  A reply of a FULLNAT server goes by its ends (`local_hash`), by which the
local port was chosen.

What it cannot tell goes to the first worker: fragments, ICMP errors, IPv6 extension headers.  A
wrong guess (a real server that is a client as well) costs a hand-over between workers, no more.
Without BPF the kernel's own flow hash spreads the frames, and hand-overs are the rule under NAT.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys

from lbfast import bpf
from lbfast.control.steering import SteeringPlan

logger = logging.getLogger("lbfast")

CAPACITY = 1 << 17  # servers' addresses; those beyond it are handed over
GONE, NAT, FULLNAT = 0, 1, 2
HASH, EBPF, IGNORE_OUTGOING = 0, 7, 0x4000  # linux/if_packet.h

_MIX = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xBF58476D1CE4E5B9)  # of conn.pxd and chain.pxi
_MORE_OR_OFFSET = 0x3FFF
_BALANCED = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132)
# On the program's stack: the IP header, source and destination as sixteen bytes, two ports.
_HEADER, _SRC, _DST, _PORTS = -40, -56, -72, -80

Spread = tuple[int, int, int]


def replying(plan: SteeringPlan) -> dict[bytes, int]:
    """Returns {address: NAT or FULLNAT} of the servers whose replies pass this host.

    One that is both is taken for a NAT server.
    """
    found: dict[bytes, int] = {}
    for family in (plan.ip4, plan.ip6):
        for addr in family.full_addrs:
            found[map_key(addr)] = FULLNAT
        for addr in family.source_addrs:
            found[map_key(addr)] = NAT
    return found


def map_key(addr: bytes) -> bytes:
    """Returns the key of an address in the map of servers."""
    return addr.ljust(16, b"\0")


class Fanout:
    """The program of one director's sockets and the map of its servers.

    `option` is the value for PACKET_FANOUT but for the group's number, `program` the descriptor
    for PACKET_FANOUT_DATA, -1 without BPF.
    """

    def __init__(self, spread: Spread) -> None:
        self.program = self._map = -1
        self._known: dict[bytes, int] = {}
        try:
            self._map = bpf.create_hash(16, 4, CAPACITY)
            self.program = bpf.load_socket_program(program(self._map, spread), "lbfast_fanout")
        except OSError as e:
            logger.info("frames are spread over the workers by the kernel's flow hash: %s", e)
            self.close()

    @property
    def option(self) -> int:
        return ((EBPF if self.program >= 0 else HASH) | IGNORE_OUTGOING) << 16

    def set_servers(self, servers: dict[bytes, int]) -> None:
        """Makes `replying` of a plan known to the program."""
        self.change(dict.fromkeys(self._known.keys() - servers.keys(), GONE))
        self.change(dict(servers.items() - self._known.items()))

    def change(self, servers: dict[bytes, int]) -> None:
        """Makes the program know these servers otherwise, and forget those that are GONE."""
        if self._map < 0:
            return
        for addr, kind in servers.items():
            if kind == GONE:
                self._forget(addr)
                continue
            try:
                bpf.map_put(self._map, addr, kind.to_bytes(4, sys.byteorder))
            except OSError as e:
                if e.errno != errno.E2BIG:
                    raise
                return
            self._known[addr] = kind

    def _forget(self, addr: bytes) -> None:
        if self._known.pop(addr, None):
            bpf.map_remove(self._map, addr)

    def close(self) -> None:
        for fd in (self.program, self._map):
            if fd >= 0:
                os.close(fd)
        self.program = self._map = -1


# ---------------------------------------------------------------- the program


def program(map_fd: int, spread: Spread) -> bytes:
    """Returns the program of the fanout group; its offsets count from the IP header."""
    p = bpf.Program()
    p.mov_reg(6, 1)
    p.mov(0, 0)
    for off in (_SRC, _SRC + 8, _DST, _DST + 8):
        p.store(8, 10, off, 0)
    p.load(4, 0, 6, bpf.SKB_PROTOCOL)
    p.jump_if(0, "eq", socket.htons(0x86DD), "ip6")
    p.jump_if(0, "ne", socket.htons(0x0800), "first")
    _ipv4(p)
    _ipv6(p)
    _ports(p)
    _direction(p, map_fd, spread[0])
    _hash(p, spread[1], spread[2])
    p.label("first")
    p.exit(0)
    return p.encode()


def _ipv4(p: bpf.Program) -> None:
    """Reads the header: r9 protocol, r8 offset of the transport header."""
    p.mov(2, 0)
    _load(p, _HEADER, 20)
    p.load(2, 0, 10, _HEADER + 6)
    p.jump_if(0, "set", socket.htons(_MORE_OR_OFFSET), "first")
    for target, source in ((_SRC, 12), (_DST, 16)):
        p.load(4, 0, 10, _HEADER + source)
        p.store(4, 10, target, 0)
    p.load(1, 9, 10, _HEADER + 9)
    p.load(1, 8, 10, _HEADER)
    p.and_(8, 15)
    p.shl(8, 2)
    p.jump("transport")


def _ipv6(p: bpf.Program) -> None:
    p.label("ip6")
    p.mov(2, 0)
    _load(p, _HEADER, 40)
    for word in range(0, 32, 8):
        p.load(8, 0, 10, _HEADER + 8 + word)
        p.store(8, 10, (_SRC if word < 16 else _DST) + word % 16, 0)
    p.load(1, 9, 10, _HEADER + 6)
    p.mov(8, 40)


def _ports(p: bpf.Program) -> None:
    p.label("transport")
    for protocol in _BALANCED:
        p.jump_if(9, "eq", protocol, "ports")
    p.jump("first")
    p.label("ports")
    p.mov_reg(2, 8)
    _load(p, _PORTS, 4)


def _direction(p: bpf.Program, map_fd: int, seed: int) -> None:
    """Finds the client's side: r7 address, folded, r8 port, r1 the seed it is hashed with."""
    p.map_fd(1, map_fd)
    p.mov_reg(2, 10)
    p.add(2, _SRC)
    p.call(bpf.MAP_LOOKUP)
    p.mov64(1, seed)
    p.jump_if_null(0, "request")
    p.load(4, 5, 0, 0)
    p.jump_if(5, "eq", NAT, "reply")
    _fold(p, 2, _SRC)  # a FULLNAT server's address and port are part of the hash
    p.shl(2, 16)
    p.load(2, 3, 10, _PORTS)
    p.or_reg(2, 3)
    p.mov64(3, _MIX[2])
    p.mul_reg(2, 3)
    p.xor_reg(1, 2)
    p.label("reply")
    _fold(p, 7, _DST)
    p.load(2, 8, 10, _PORTS + 2)
    p.jump("hash")
    p.label("request")
    _fold(p, 7, _SRC)
    p.load(2, 8, 10, _PORTS)


def _fold(p: bpf.Program, dst: int, where: int) -> None:
    """dst = the words of an address, all XORed."""
    p.load(8, dst, 10, where)
    p.load(8, 4, 10, where + 8)
    p.xor_reg(dst, 4)
    p.mov_reg(4, dst)
    p.shr(4, 32)
    p.xor_reg(dst, 4)
    p.shl(dst, 32)
    p.shr(dst, 32)


def _hash(p: bpf.Program, mask: int, workers: int) -> None:
    """conn_hash, then hash_owner."""
    p.label("hash")
    p.mov64(2, _MIX[0])
    p.xor_reg(2, 1)
    p.mul_reg(7, 2)
    p.mov_reg(2, 1)  # the seed's halves change places
    p.shl(2, 32)
    p.shr(1, 32)
    p.or_reg(2, 1)
    p.mov64(1, _MIX[1])
    p.xor_reg(2, 1)
    p.add_reg(8, 9)
    p.mul_reg(8, 2)
    p.add_reg(7, 8)
    p.shr(7, 32)
    p.mov64(2, mask)
    p.and_reg(7, 2)
    p.mov_reg(0, 7)
    p.mod(0, workers)
    p.exit()


def _load(p: bpf.Program, where: int, size: int) -> None:
    """Copies bytes of the packet from offset r2 to the stack; what is shorter goes to the first
    worker."""
    p.mov_reg(1, 6)
    p.mov_reg(3, 10)
    p.add(3, where)
    p.mov(4, size)
    p.call(bpf.LOAD_BYTES)
    p.jump_if(0, "ne", 0, "first")
