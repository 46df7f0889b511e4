"""Seeing packets on an interface: tcpdump into a file, scapy out of it."""

from __future__ import annotations

from types import TracebackType

from scapy.packet import Packet
from scapy.utils import rdpcap

from netns.build import Net


class Capture:
    """Captures from entering to leaving the context; the packets are there afterwards."""

    def __init__(
        self, net: Net, host: str, interface: str, expression: str = "", snap: int = 0
    ) -> None:
        """Prepare it; `snap` bytes of each packet are kept, 0 means all."""
        self.path = net.scratch / f"{host}-{interface}-{len(net.processes)}.pcap"
        words = ["tcpdump", "-U", "--immediate-mode", "-n", "-i", interface, "-B", "65536"]
        words += ["-s", str(snap), "-w", str(self.path), *expression.split()]
        self._process = net.start(host, words, f"tcpdump-{len(net.processes)}")
        self.packets: list[Packet] = []

    def __enter__(self) -> Capture:
        self._process.wait_for_line("listening on")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the capture and read it; the context does it at its end."""
        self._process.stop()
        self.packets = list(rdpcap(str(self.path)))
