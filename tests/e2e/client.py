"""What clients do in tests: fetch, upload, hold a connection, send odd packets."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from netns.build import Net
from netns.inside import inside
from netns.ownership import NAMESPACES
from netns.process import Process
from netns.web import Answer, parse_answer

CURL = ("curl", "-sS", "-f")


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def fetch(net: Net, host: str, where: str, count: int = 1) -> list[Answer]:
    """Return the pages of http://`where`/, each over a connection of its own.

    Raises RuntimeError with curl's words if one of them failed: its status is the last one's.
    """
    words = [*CURL, "--max-time", "10", "-H", "Connection: close"]
    done = net.run(host, [*words, *[f"http://{where}/"] * count], timeout_s=60 + count)
    if done.stderr:
        raise RuntimeError(f"{host}: {where}: {done.stderr}")
    return [parse_answer(page) for page in done.stdout.splitlines()]


def download(net: Net, host: str, url: str, target: Path, *words: str) -> Process:
    """Start a download to a file."""
    return net.start(host, [*CURL, "--max-time", "300", "-o", str(target), *words, url])


def upload(net: Net, host: str, url: str, source: Path, *words: str) -> Process:
    """Start an upload by PUT."""
    return net.start(host, [*CURL, "--max-time", "300", "-T", str(source), *words, url])


def hold(net: Net, host: str, where: str) -> Process:
    """Open a TCP connection and say nothing."""
    return net.start(host, ["socat", "-u", f"TCP:{where}", "STDOUT"], "hold")


def send(net: Net, host: str, packets: Iterable[bytes]) -> None:
    """Send whole IP packets from a host, to where its routes lead."""
    for packet in packets:
        is_v6 = packet[0] >> 4 == 6
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        at = socket.inet_ntop(family, packet[24:40] if is_v6 else packet[16:20])
        with raw_socket(net, host, family) as sock:
            sock.sendto(packet, (at, 0))


def raw_socket(net: Net, host: str, family: int) -> socket.socket:
    """Return a socket of a host that sends what it is given, header and all."""
    return inside(
        NAMESPACES / net.namespace(host),
        lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW),
    )


def udp_socket(net: Net, host: str, address: str, port: int = 0) -> socket.socket:
    """Return a UDP socket of a host, bound to an address of it."""

    def make() -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((address, port))
        sock.settimeout(5)
        return sock

    return inside(NAMESPACES / net.namespace(host), make)


def counters(net: Net, host: str, *names: str) -> dict[str, int]:
    """Return kernel counters of a host since it was made, as nstat names them."""
    out = net.run(host, ["nstat", "-asz", *names]).stdout
    rows = (line.split() for line in out.splitlines() if not line.startswith("#"))
    return {row[0]: int(row[1]) for row in rows}
