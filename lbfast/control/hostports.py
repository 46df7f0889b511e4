"""Which ports the host gives its own connections: FULLNAT leaves them to it."""

from __future__ import annotations

from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # of this network namespace; IPv6 too


def host_ports(path: Path = RANGE) -> tuple[int, int]:
    """Returns the lowest and the highest of them."""
    low, high = map(int, path.read_text().split())
    return low, high
