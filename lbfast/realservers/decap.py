"""The process that unwraps tunnels: raw sockets in, a TUN device out, eBPF in front (ingress.py).

`python -m lbfast.realservers.decap DIRECTORY DEVICE KIND…` runs until SIGTERM; SIGHUP makes it
read the VIPs again.  Raw sockets give whole packets: the kernel has put fragments together.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lbfast.realservers.host import IFF_LOOPBACK, Netlink
from lbfast.realservers.ingress import Ingress
from lbfast.realservers.notes import NotesFile
from lbfast.realservers.unwrap import Refusal, inner_length, unwrap

# kind: (family of the outer header, protocol number of the inner one)
KINDS = {
    "4in4": (socket.AF_INET, socket.IPPROTO_IPIP),
    "6in4": (socket.AF_INET, socket.IPPROTO_IPV6),
    "4in6": (socket.AF_INET6, socket.IPPROTO_IPIP),
    "6in6": (socket.AF_INET6, socket.IPPROTO_IPV6),
}
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x1000, 0x4000
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 32 << 20
BATCH = 64
PACKET = 1 << 17
LOOK_EVERY_S = 10.0  # for new addresses and interfaces, while there are packets for the process


TUN = "/dev/net/tun"


@dataclass(frozen=True, slots=True)
class Source:
    """One raw socket and what it carries."""

    sock: socket.socket
    outer_v6: bool
    inner_v6: bool


def open_tun(device: str) -> int:
    """Make the TUN device, up, with checks of the way back that let tunnelled clients in."""
    try:
        tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SystemExit(f"{TUN} is not there: load the kernel's module tun") from None
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    settings = Path("/proc/sys/net")
    # loose: the way back to a client leads over another interface (the higher of this and
    # `all` counts)
    (settings / "ipv4/conf" / device / "rp_filter").write_text("2")
    for name, value in (("addr_gen_mode", "1"), ("accept_ra", "0")):
        with contextlib.suppress(FileNotFoundError):  # a host without IPv6
            (settings / "ipv6/conf" / device / name).write_text(value)
    netlink = Netlink()
    netlink.add_dummy_address(device)
    netlink.set_up(device, True)
    netlink.close()
    return tun


def open_source(kind: str) -> Source:
    family, protocol = KINDS[kind]
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    return Source(sock, family == socket.AF_INET6, protocol == socket.IPPROTO_IPV6)


class Decapsulator:
    """Moves packets from the sources into the TUN device and counts what it refuses."""

    def __init__(self, tun: int) -> None:
        self.tun = tun
        self.vips: frozenset[bytes] = frozenset()
        self.counts: Counter[str] = Counter()
        self._buffer = memoryview(bytearray(PACKET))

    def drain(self, source: Source) -> None:
        """Take up to BATCH packets that are there."""
        for _ in range(BATCH):
            try:
                if source.outer_v6:
                    size, ecn, start = *self._receive_v6(source.sock), 0
                else:
                    size = source.sock.recv_into(self._buffer)
                    ecn, start = self._buffer[1] & 3, (self._buffer[0] & 15) * 4
            except BlockingIOError:
                return
            self._packet(self._buffer[start:size], source.inner_v6, ecn)

    def _receive_v6(self, sock: socket.socket) -> tuple[int, int]:
        """Return size and ECN of a packet; an IPv6 raw socket keeps the outer header back."""
        size, notes, _, _ = sock.recvmsg_into([self._buffer], socket.CMSG_SPACE(4))
        return size, int.from_bytes(notes[0][2], sys.byteorder) & 3 if notes else 0

    def _packet(self, inner: memoryview, is_v6: bool, ecn: int) -> None:
        length = inner_length(inner, is_v6)
        inner = inner[:length]
        verdict = unwrap(inner, is_v6, ecn, self.vips) if length else Refusal.SHORT
        if isinstance(verdict, Refusal):
            self.counts[verdict.value] += 1
            return
        try:
            os.writev(self.tun, (verdict, inner))
            self.counts["passed on"] += 1
        except OSError as error:
            self.counts[f"writing to the tunnel device: {error.strerror}"] += 1


class Quick:
    """The eBPF half, as far as this kernel has it, kept in step with the host."""

    def __init__(self, device: str, kinds: list[str]) -> None:
        self._netlink = Netlink()
        self._due = 0.0
        self._ingress: Ingress | None = None
        with contextlib.suppress(OSError):
            self._ingress = Ingress(self._netlink.links()[device][0], kinds)

    def follow(self, vips: frozenset[bytes], *, at_once: bool = True) -> None:
        """Look at the host's interfaces and addresses, unless that was done just now."""
        now = time.monotonic()
        if self._ingress is None or (not at_once and now < self._due):
            return
        self._due = now + LOOK_EVERY_S
        links = self._netlink.links().items()
        self._ingress.follow(
            {at: is_strict(name) for name, (at, flags) in links if not flags & IFF_LOOPBACK},
            [ip_address(text).packed for text in self._netlink.holders()],
            vips,
        )


def is_strict(interface: str) -> bool:
    """Return whether packets must arrive where the way back to their senders leads."""
    settings = Path("/proc/sys/net/ipv4/conf")
    return (
        max((settings / at / "rp_filter").read_text().strip() for at in ("all", interface)) == "1"
    )


def read_vips(notes: NotesFile) -> frozenset[bytes]:
    return frozenset(ip_address(vip.address).packed for vip in notes.read().vips)


def run(notes: NotesFile, device: str, kinds: list[str]) -> None:
    """Unwrap until SIGTERM; says `ready` on standard output once packets are taken."""
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    worker = Decapsulator(open_tun(device))
    worker.vips = read_vips(notes)
    quick = Quick(device, kinds)
    quick.follow(worker.vips)
    selector = selectors.EpollSelector()
    selector.register(wake, selectors.EVENT_READ, None)
    for kind in kinds:
        source = open_source(kind)
        selector.register(source.sock, selectors.EVENT_READ, source)
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever started us may close the other end
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                worker.drain(key.data)
                quick.follow(worker.vips, at_once=False)
                continue
            numbers = wake.recv(64)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                for what, count in worker.counts.items():
                    print(f"{count} {what}", file=sys.stderr)
                return
            worker.vips = read_vips(notes)
            quick.follow(worker.vips)


if __name__ == "__main__":
    run(NotesFile(Path(sys.argv[1])), sys.argv[2], sys.argv[3:])
