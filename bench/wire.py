"""A wire with something in the middle, and traffic over it: the ground of the ring benches.

left 10.91.0.1 ── eth0 [middle] eth1 ── 10.91.0.2 right       (veth pairs, one Ethernet segment)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.program import pinned, program
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Sysctl, Topology, addresses, link

ROOT = Path(__file__).resolve().parent.parent
LEFT, RIGHT, PORT = "10.91.0.1", "10.91.0.2", 7
TRAFFIC_CORE, MIDDLE_CORE = 0, 1
_QUIET = (
    Sysctl("net.ipv6.conf.all.disable_ipv6", "1"),
    Sysctl("net.ipv6.conf.default.disable_ipv6", "1"),
)
_DROP = "add table netdev bench; add chain netdev bench in {{ type filter hook ingress device {} \
priority 0; policy drop; }}"


def topology() -> Topology:
    """Return the wire: hosts left, middle (eth0, eth1) and right."""
    return Topology(
        "wire",
        (
            Host("left", addresses("eth0", f"{LEFT}/24"), sysctls=_QUIET),
            Host("middle", sysctls=_QUIET),
            Host("right", addresses("eth0", f"{RIGHT}/24"), sysctls=_QUIET),
        ),
        (link("left:eth0", "middle:eth0"), link("middle:eth1", "right:eth0")),
    )


@dataclass(frozen=True, slots=True)
class Load:
    """What was offered, and what came out of it."""

    offered_kpps: float
    sent: int
    arrived: int


class Wire(Net):
    """The wire made real."""

    def __init__(self) -> None:
        super().__init__(topology())

    def middle(self, argv: Sequence[str]) -> Process:
        """Start a program between its interfaces; it must carry frames within 0.3 s."""
        return self.start("middle", pinned(MIDDLE_CORE, argv), f"middle{len(self.processes)}")

    def drop_tapped(self, on: bool) -> None:
        """Let the middle's own stack drop what a tap has seen, as lbfast does, or not."""
        self.run("middle", ["nft", "destroy table netdev bench"], check=False)
        self.run("middle", ["nft", "delete table netdev bench"], check=False)
        for device in ("eth0", "eth1"):
            rule = _DROP.format(device).replace(" in ", f" in_{device} ")
            if on:
                self.run("middle", ["nft", rule])

    def arrived(self) -> int:
        """Return how many frames the right end has received."""
        path = "/sys/class/net/eth0/statistics/rx_packets"
        return int(self.run("right", ["cat", path]).stdout)

    def flood(self, pps: float, seconds: float, flows: int = 1000, burst: int = 1) -> Load:
        """Offer 60-byte UDP frames from left to right; `pps` 0 is as many as can be."""
        before = self.arrived()
        words = [program("generate"), "flood", "eth0", f"{pps:g}", f"{seconds:g}", str(flows)]
        out = self.run("left", pinned(TRAFFIC_CORE, [*words, f"burst={burst}"])).stdout
        found = re.search(r"sent (\d+) .* kpps ([\d.]+)", out)
        assert found is not None, out
        return Load(float(found[2]), int(found[1]), self.arrived() - before)

    def ping(self, count: int) -> dict[str, float]:
        """Exchange lone datagrams; return p50, p90, p99, p999 and max of the round trip in us."""
        echo = self.start("right", pinned(TRAFFIC_CORE, [program("generate"), "echo", str(PORT)]))
        words = [program("generate"), "ping", RIGHT, str(PORT), str(count)]
        out = self.run("left", pinned(TRAFFIC_CORE, words)).stdout
        echo.stop()
        return {name: float(value) for name, value in re.findall(r"(p\d+|max|lost) ([\d.]+)", out)}

    def bulk(self, seconds: int) -> float:
        """Run one iperf3 flow from left to right; return Gb/s."""
        server = self.start("right", ["iperf3", "-s", "-1", "--forceflush"], "iperf3")
        server.wait_for_line("listening")
        words = ["iperf3", "-c", RIGHT, "-t", str(seconds), "-f", "g"]
        out = self.run("left", words, check=False, timeout_s=seconds + 20).stdout
        server.stop()
        found = re.findall(r"([\d.]+) Gbits/sec\s+receiver", out)
        return float(found[-1]) if found else 0.0
