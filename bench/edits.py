"""What does an edit cost a director among few services, and among thousands?

    python -m bench.edits [SERVICES ...]

For each number a director with as many TCP services of two NAT servers each, all loaded in one go.
Then edits one by one, each waited for until the rules have followed.  Prints for each kind of edit
the time that the asking side waits, and the CPU time of the director's control thread, in
milliseconds: medians of 20.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.lab import RUN, lab
from lbfast.control.client import Client
from lbfast.control.rundir import control_path, director_name
from lbfast.model import AF_INET, Method, RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.selfcall import environment

NUMBERS = (10, 1000, 10_000)
TURNS = 20
SIZES = ("--services", str(1 << 14), "--servers", str(1 << 15), "--connections", str(1 << 12))
NEW = 12_000  # where the services begin that are added one by one


def service(number: int) -> ServiceKey:
    return ServiceKey(AF_INET, socket.IPPROTO_TCP, bytes((10, 100, number >> 8, number & 255)), 80)


def server(number: int, side: int, weight: int = 1) -> RealServer:
    addr = bytes((10, 101 + side, number >> 8, number & 255))
    return RealServer(ServerKey(AF_INET, addr, 80), Method.MASQ, weight)


def edits(client: Client, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the edits of one turn, by name."""
    key = service(number)
    yield "add a service", lambda: client.add_service(VirtualService(key))
    yield "add a server", lambda: client.add_server(key, server(number, 0))
    yield "change a weight", lambda: client.edit_server(key, server(number, 0, 7))
    yield "delete a server", lambda: client.delete_server(key, server(number, 0).key)
    yield "delete a service", lambda: client.delete_service(key)


def control_s(pid: int) -> float:
    """Return the CPU seconds of a process's first thread."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def load(client: Client, services: int) -> None:
    for number in range(services):
        client.add_service(VirtualService(service(number)))
        for side in (0, 1):
            client.add_server(service(number), server(number, side))
    client.settle()


def measure(pid: int, services: int) -> None:
    """Print the figures of the director in this network namespace."""
    client = Client(control_path(director_name()))
    began, spent = time.monotonic(), control_s(pid)
    load(client, services)
    loaded = f"loaded in {time.monotonic() - began:.2f} s, {control_s(pid) - spent:.2f} s of CPU"
    print(f"{services} services, {loaded}")
    times: dict[str, list[tuple[float, float]]] = {}
    for turn in range(TURNS):
        for name, edit in edits(client, NEW + turn):
            began, spent = time.monotonic(), control_s(pid)
            edit()
            client.settle()
            row = time.monotonic() - began, control_s(pid) - spent
            times.setdefault(name, []).append(row)
    for name, rows in times.items():
        waited, cost = (statistics.median(column) * 1e3 for column in zip(*rows, strict=True))
        print(f"{services} services, {name}: {waited:.2f} ms, {cost:.2f} ms of CPU")


def main(words: list[str]) -> None:
    if words and words[0] == "inside":
        measure(int(words[1]), int(words[2]))
        return
    for services in map(int, words or NUMBERS):
        with lab(left=[*RUN, *SIZES]) as net:
            inside = ["inside", str(net.director.pid), str(services)]
            command = [sys.executable, "-m", "bench.edits", *inside]
            done = net.net.run("director", command, timeout_s=120, environment=environment())
            print(done.stdout, end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
