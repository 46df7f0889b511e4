"""Giving the ipvsadm words to a balancer in memory, with names that no machine decides."""

from __future__ import annotations

import io
import shlex
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lbfast.cli import ipvsadm
from tests.fake_balancer import FakeBalancer

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
SERVICES: tuple[tuple[str, int, str], ...] = (
    ("http", 80, "tcp"),
    ("domain", 53, "udp"),
    ("m2ua", 2904, "sctp"),
)
HOSTS: Mapping[str, str] = {"10.9.0.50": "vip.example.org", "fd00:2::50": "six.example.org"}


class FakeNames:
    """Implements lbfast.cli.addresses.Names from two tables."""

    def __init__(
        self,
        hosts: Mapping[str, str] = HOSTS,
        services: Iterable[Sequence[object]] = SERVICES,
    ) -> None:
        self.hosts = hosts
        self.services = [tuple(row) for row in services]

    def host_address(self, name: str) -> bytes | None:
        found = [a for a, known in self.hosts.items() if known == name and ":" not in a]
        return socket.inet_aton(found[0]) if found else None

    def service_port(self, name: str, protocol: int) -> int | None:
        wanted = (name, _PROTOCOLS.get(protocol))
        return next((int(str(port)) for n, port, p in self.services if (n, p) == wanted), None)

    def address_name(self, af: int, addr: bytes) -> str | None:
        return self.hosts.get(socket.inet_ntop(af, addr))

    def port_name(self, port: int, protocol: int) -> str | None:
        wanted = (port, _PROTOCOLS.get(protocol))
        return next((str(n) for n, number, p in self.services if (number, p) == wanted), None)


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    output: str
    error: str


class Face:
    """ipvsadm on one balancer."""

    def __init__(
        self, balancer: FakeBalancer | None = None, names: FakeNames | None = None
    ) -> None:
        self.balancer = balancer or FakeBalancer()
        self.names = names or FakeNames()

    def __call__(
        self, line: str | Sequence[str], stdin: str = "", prog: str = "ipvsadm"
    ) -> Result:
        """Runs one line, which a shell would split, or its words as they are."""
        words = shlex.split(line) if isinstance(line, str) else line
        output, error = io.StringIO(), io.StringIO()
        status = ipvsadm.main(
            [prog, *words],
            lambda: self.balancer,
            stdin=io.StringIO(stdin),
            stdout=output,
            stderr=error,
            names=self.names,
        )
        return Result(status, output.getvalue(), error.getvalue())

    def all(self, lines: str) -> None:
        """Runs every line; none may fail."""
        for line in filter(None, (text.strip() for text in lines.splitlines())):
            result = self(line)
            assert result.status == 0, (line, result)
