"""How a frame that was taken but is not the data path's business gets back to the host's stack.

It is transmitted on the interface it came in on, by a packet socket with SO_MARK; an eBPF program
at that interface's egress turns it round, and it arrives there as it did before (docs/steering.md:
what was tried and measured).  Without BPF it is transmitted on `lo` instead.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lbfast import bpf
from lbfast.control import egress
from lbfast.control.steering import MARK_GIVEN, MARK_WRAP

Way = Literal["tcx", "clsact", "lo"]
WAYS: tuple[Way, ...] = ("tcx", "clsact", "lo")

_LO_MAC = bytes(6)
_PROC = Path("/proc/sys/net")
_PROBE_ETHERTYPE = 0x88B5  # IEEE 802: local experimental
_PROBE_TIMEOUT_S = 0.2
_ETH_P_ALL = 3
_IGNORE_OUTGOING, _SOL_PACKET = 23, 263


def egress_program() -> bytes:
    """Returns the program of an interface's egress.

    A frame with MARK_GIVEN arrives on the interface it was leaving.  One with MARK_WRAP, a
    super-frame behind an outer IP header, has that header taken off and put on again as a
    tunnel's: only so does the kernel know how to segment it (virtio-net headers cannot say it).
    """
    p = bpf.Program()
    p.load(4, 0, 1, bpf.SKB_MARK)
    p.jump_if(0, "eq", MARK_WRAP, "wrap")
    p.jump_if(0, "ne", MARK_GIVEN, "next")
    p.load(4, 1, 1, bpf.SKB_IFINDEX)
    p.mov(2, bpf.REDIRECT_INGRESS)
    p.call(bpf.REDIRECT)
    p.exit()
    p.label("wrap")
    p.mov_reg(6, 1)
    p.mov(0, 0)
    p.store(4, 6, bpf.SKB_MARK, 0)
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
    p.exit(bpf.NEXT)


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


class GiveBack:
    """The way back to the host of each interface of one director.

    `interfaces` maps ifindex to name; `ways` are tried in order for each interface and the first
    that works is kept.  Raises OSError if the last one fails.
    """

    def __init__(self, interfaces: Mapping[int, str], ways: tuple[Way, ...] = WAYS) -> None:
        self._ways = ways
        self._names: dict[int, str] = {}
        self._chosen: dict[int, Way] = {}
        self._attached: dict[int, egress.Attachment] = {}
        self._failed: dict[tuple[int, Way], str] = {}
        self._prog_fd = -1
        try:
            for ifindex, name in interfaces.items():
                self.add_interface(ifindex, name)
        except BaseException:
            self.close()
            raise

    def tx(self, ifindex: int) -> tuple[int, int, bytes | None]:
        """Says where to transmit a frame that came in on an interface.

        Returns the outgoing ifindex, the SO_MARK and the destination MAC to write (None: keep).
        The socket must not have PACKET_QDISC_BYPASS, which would put the frame on the wire.
        """
        if self._chosen[ifindex] == "lo":
            return socket.if_nametoindex("lo"), 0, _LO_MAC
        return ifindex, MARK_GIVEN, None

    def wraps(self, ifindex: int) -> bool:
        """Says whether frames with MARK_WRAP may be transmitted on an interface."""
        return self._chosen[ifindex] != "lo"

    def add_interface(self, ifindex: int, name: str) -> None:
        """Prepares the way back of an interface; again after it was renamed or came up."""
        self.remove_interface(ifindex)
        self._names[ifindex] = name
        for way in self._ways:
            try:
                self._choose(ifindex, name, way)
            except OSError as e:
                self._failed[ifindex, way] = e.strerror or str(e)
                if way == self._ways[-1]:
                    raise
            else:
                return

    def remove_interface(self, ifindex: int) -> None:
        if attached := self._attached.pop(ifindex, None):
            attached.close()
        self._chosen.pop(ifindex, None)
        for way in WAYS:
            self._failed.pop((ifindex, way), None)

    def describe(self) -> dict[str, str]:
        """Returns the way of each interface by name: tcx, clsact or lo."""
        return {self._names[i]: way for i, way in self._chosen.items()}

    def obstacles(self) -> list[str]:
        """Returns one sentence for each thing that is in the way, or soon may be."""
        found = [
            f"{self._names[i]}: giving back by {way} failed ({why}), using {self._chosen[i]}"
            for (i, way), why in self._failed.items()
            if i in self._chosen
        ]
        if "lo" in self._chosen.values():
            found += _lo_obstacles()
        return found

    def close(self) -> None:
        """Removes what was attached; frames with the mark would now leave on the wire."""
        for ifindex in list(self._attached):
            self.remove_interface(ifindex)
        self._chosen.clear()
        if self._prog_fd >= 0:
            os.close(self._prog_fd)
            self._prog_fd = -1

    def _choose(self, ifindex: int, name: str, way: Way) -> None:
        if way == "lo":
            self._chosen[ifindex] = way
            return
        if self._prog_fd < 0:
            self._prog_fd = bpf.load_program(egress_program(), "lbfast_giveback")
        attached = egress.attach(way, self._prog_fd, ifindex, egress.GIVEBACK)
        try:
            probe(name)
        except BaseException:
            attached.close()
            raise
        self._attached[ifindex] = attached
        self._chosen[ifindex] = way


def probe(name: str) -> None:
    """Sends a marked frame of our own on an interface and waits for it to come back.

    Raises OSError if it does not, which means that something else at the egress takes it first.
    An interface that is down cannot be tried and is taken at its word.
    """
    nonce = os.urandom(16)
    with _probe_socket(name, _ETH_P_ALL) as listener, _probe_socket(name, 0) as sender:
        listener.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK_GIVEN)
        mac = sender.getsockname()[4]
        frame = mac + mac + struct.pack("!H", _PROBE_ETHERTYPE) + nonce + bytes(30)
        try:
            sender.send(frame)
        except OSError as e:
            if e.errno in (errno.ENETDOWN, errno.ENXIO):
                return
            raise
        while select.select([listener], [], [], _PROBE_TIMEOUT_S)[0]:
            if nonce in listener.recv(256):
                return
    raise OSError(errno.EPROTO, "a trial frame did not come back")


def _probe_socket(name: str, protocol: int) -> socket.socket:
    """Opens a packet socket that receives trial frames only."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # ldh [12]; jeq ETHERTYPE; ret all; ret 0
    program = struct.pack("=HBBI", 0x28, 0, 0, 12)
    program += struct.pack("=HBBI", 0x15, 0, 1, _PROBE_ETHERTYPE)
    program += struct.pack("=HBBI", 0x06, 0, 0, 0x40000) + struct.pack("=HBBI", 0x06, 0, 0, 0)
    bpf.attach_classic_filter(sock, program)
    sock.bind((name, protocol))
    return sock


def _lo_obstacles() -> list[str]:
    """Names the settings that keep frames from arriving on lo."""
    found = []
    values = {s: _setting(f"ipv4/conf/{s}/rp_filter") for s in ("all", "lo")}
    if max(values.values()) == 1:
        names = " and ".join(f"net.ipv4.conf.{s}.rp_filter" for s, v in values.items() if v == 1)
        found.append(
            f"{names} is 1 and frames given back arrive on lo, where they are dropped; "
            "set it to 0 or 2, or run on a kernel with BPF"
        )
    if _setting("ipv6/conf/lo/disable_ipv6") == 1:
        found.append(
            "net.ipv6.conf.lo.disable_ipv6 is 1 and IPv6 frames given back arrive on lo, "
            "where they are dropped; set it to 0"
        )
    return found


def _setting(name: str) -> int:
    """Returns an integer of /proc/sys/net of this network namespace, 0 if there is none."""
    try:
        return int((_PROC / name).read_text())
    except (OSError, ValueError):
        return 0
