"""How a frame that was taken but is not the data path's business gets back to the host's stack.

It is transmitted on `lo` by a packet socket whose SO_MARK names the interface it came in on; an
eBPF program at the egress of `lo` hands it to that interface, and it arrives there as it did
before.  So no frame that leaves passes a program.  Where that is not possible the same program
turns it round at the interface's own egress; without BPF it just arrives on `lo`
(docs/steering.md: what was tried and measured).
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
from lbfast.control.giveback_program import egress_program
from lbfast.control.steering import MARK_GIVE, MARK_TARGET, MARK_WRAP

Way = Literal["lo-tcx", "lo-clsact", "tcx", "clsact", "lo"]
WAYS: tuple[Way, ...] = ("lo-tcx", "lo-clsact", "tcx", "clsact", "lo")
LOOPBACK = 1  # ifindex of lo in every network namespace (LOOPBACK_IFINDEX)

_LO_MAC = bytes(6)
_PROC = Path("/proc/sys/net")
_PROBE_ETHERTYPE = 0x88B5  # IEEE 802: local experimental
_PROBE_TIMEOUT_S = 0.2
_ETH_P_ALL = 3
_IGNORE_OUTGOING, _SOL_PACKET = 23, 263


def _place(ifindex: int, way: Way) -> tuple[int, str]:
    """Returns where the program of an interface's way is attached, and as what."""
    on_lo, _, kind = way.rpartition("-")
    return LOOPBACK if on_lo else ifindex, kind


def _target(ifindex: int, way: Way, mark: int) -> tuple[int, int]:
    """Returns the interface to transmit on and the SO_MARK, for a way with a program."""
    at, _ = _place(ifindex, way)
    return at, mark if at == ifindex else mark | ifindex


class GiveBack:
    """The way back to the host of each interface of one director.

    `interfaces` maps ifindex to name; `ways` are tried in order for each interface and the first
    that works is kept.  `director`: the name that tells several directors' filters on `lo` apart.
    Raises OSError if the last way fails.
    """

    def __init__(
        self, interfaces: Mapping[int, str], ways: tuple[Way, ...] = WAYS, director: str = "main"
    ) -> None:
        self._ways = ways
        self._loopback_slot = egress.loopback_slot(director)
        self._names: dict[int, str] = {}
        self._chosen: dict[int, Way] = {}
        self._attached: dict[tuple[int, str], egress.Attachment] = {}
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
        The socket must not have PACKET_QDISC_BYPASS, which would pass by the program.
        """
        way = self._chosen[ifindex]
        if way == "lo":
            return LOOPBACK, 0, _LO_MAC
        return *_target(ifindex, way, MARK_GIVE), None

    def tx_wrap(self, ifindex: int) -> tuple[int, int] | None:
        """Says where to transmit a tunnelled super-frame that is to leave by an interface.

        Returns the outgoing ifindex and the SO_MARK; None where there is no program to take it.
        """
        way = self._chosen[ifindex]
        return None if way == "lo" else _target(ifindex, way, MARK_WRAP)

    def add_interface(self, ifindex: int, name: str) -> None:
        """Prepares the way back of an interface; again after it was renamed or `lo` changed."""
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
        self._chosen.pop(ifindex, None)
        self._detach_unused()
        for way in WAYS:
            self._failed.pop((ifindex, way), None)

    def describe(self) -> dict[str, str]:
        """Returns the way of each interface by name, one of WAYS."""
        return {self._names[i]: way for i, way in self._chosen.items()}

    def obstacles(self) -> list[str]:
        """Returns one sentence for each thing that is in the way, or soon may be."""
        named: dict[str, list[str]] = {}
        for (i, way), why in self._failed.items():
            if i in self._chosen:
                sentence = f"giving back by {way} failed ({why}), using {self._chosen[i]}"
                named.setdefault(sentence, []).append(self._names[i])
        found = [f"{', '.join(names)}: {sentence}" for sentence, names in named.items()]
        if "lo" in self._chosen.values():
            found += _lo_obstacles()
        return found

    def close(self) -> None:
        """Removes what was attached; frames with the mark would now be lost."""
        self._chosen.clear()
        self._detach_unused()
        if self._prog_fd >= 0:
            os.close(self._prog_fd)
            self._prog_fd = -1

    def _choose(self, ifindex: int, name: str, way: Way) -> None:
        if way != "lo":
            at, mark = _target(ifindex, way, MARK_GIVE)
            if at != ifindex and ifindex > MARK_TARGET:
                raise OSError(errno.EOVERFLOW, f"ifindex {ifindex} does not fit the mark")
            try:
                self._attach(*_place(ifindex, way))
                probe(name, socket.if_indextoname(at), mark)
            except BaseException:
                self._detach_unused()
                raise
        self._chosen[ifindex] = way

    def _attach(self, at: int, kind: str) -> None:
        if (at, kind) in self._attached:
            return
        if self._prog_fd < 0:
            self._prog_fd = bpf.load_program(egress_program(), "lbfast_giveback")
        slot = self._loopback_slot if at == LOOPBACK else egress.GIVEBACK
        self._attached[at, kind] = egress.attach(kind, self._prog_fd, at, slot)

    def _detach_unused(self) -> None:
        used = {_place(ifindex, way) for ifindex, way in self._chosen.items()}
        for place in self._attached.keys() - used:
            self._attached.pop(place).close()


def probe(name: str, out: str, mark: int) -> None:
    """Sends a marked frame of our own on interface `out` and waits for it to arrive on `name`.

    Raises OSError if it does not: `lo` is down, or something else at the egress takes it first.
    An interface that is down itself cannot be tried and is taken at its word.
    """
    nonce = os.urandom(16)
    with _probe_socket(name, _ETH_P_ALL) as listener, _probe_socket(out, 0) as sender:
        is_down = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN
        listener.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        mac = listener.getsockname()[4]
        frame = mac + mac + struct.pack("!H", _PROBE_ETHERTYPE) + nonce + bytes(30)
        if not (is_down and out == name):
            sender.send(frame)
        if is_down:
            return
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
