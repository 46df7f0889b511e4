"""Looks at every frame that arrives at some hosts: are its checksums right?

On a link with offloads a checksum is either complete, or announced as unfinished by the virtio-net
header; then the field must hold the sum of the pseudo-header, which whoever finishes it builds on.

As a program it does so on one interface until it is asked to stop: `watch.py INTERFACE`.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
from collections.abc import Sequence
from types import TracebackType

from netns.build import Net
from netns.process import Process

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_IP, SO_RCVBUFFORCE = 0x0800, 33
VNET = 10
NEEDS_CSUM = 1
TCP, IPIP = 6, 4


def ones_sum(data: bytes) -> int:
    """Return the ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    return int.from_bytes(data, "big") % 0xFFFF


def is_right(vnet: bytes, packet: bytes) -> bool:
    """Judge an IPv4 packet by its virtio-net header: IP header and TCP checksum.

    Packets of other protocols are judged by their IP header alone.
    """
    size = (packet[0] & 15) * 4
    total = int.from_bytes(packet[2:4], "big")
    if ones_sum(packet[:size]) != 0:
        return False
    if packet[9] != TCP or int.from_bytes(packet[6:8], "big") & 0x3FFF:
        return True
    segment = packet[size:total]
    pseudo = ones_sum(packet[12:20] + struct.pack(">HH", TCP, len(segment) & 0xFFFF))
    if vnet[0] & NEEDS_CSUM:
        return int.from_bytes(segment[16:18], "big") % 0xFFFF == pseudo
    return (pseudo + ones_sum(segment)) % 0xFFFF == 0


class Watch:
    """Watches eth0 of some hosts from entering to leaving the context."""

    def __init__(self, net: Net, hosts: Sequence[str]) -> None:
        self._net, self._hosts = net, hosts
        self._running: list[Process] = []
        self._counts: list[list[int]] = []

    def __enter__(self) -> Watch:
        for host in self._hosts:
            words = [sys.executable, "-m", "bench.watch", "eth0"]
            self._running.append(self._net.start(host, words, "watch"))
        for process in self._running:
            process.wait_for_line("ready")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            process.stop()
            last = process.stdout().strip().splitlines()[-1:]
            self._counts.append([int(word) for word in " ".join(last).split()] or [0, 0, 1])

    def totals(self) -> tuple[int, int, int]:
        """Return frames seen, those of them with many segments, and those with a bad checksum."""
        seen, large, bad = (sum(column) for column in zip(*self._counts, strict=True))
        return seen, large, bad


def main(words: Sequence[str]) -> int:
    counts = [0, 0, 0]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
        tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        tap.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        tap.bind((words[0], ETH_P_IP))
        tap.settimeout(0.2)
        stopping: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
        print("ready", file=sys.stderr, flush=True)
        while not stopping:
            try:
                raw = tap.recv(VNET + 70_000)
            except TimeoutError:
                continue
            counts[0] += 1
            counts[1] += raw[1] != 0
            counts[2] += not is_right(raw[:VNET], raw[VNET + 14 :])
    print(*counts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
