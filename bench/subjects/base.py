"""What a subject of the benches is, and the place it works in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from netns.build import Net
from netns.process import Process

WEB, ECHO, IPERF = 80, 7, 5201
PORTS = (WEB, ECHO, IPERF)
# an emulated processor takes 10 to 20 s for what a real one does in half of one, twice that with
# others on it; a process that ends is noticed at once
READY_S = 180


@dataclass(frozen=True, slots=True)
class Pool:
    """A virtual address and its real servers, of one family."""

    vip: str
    servers: tuple[str, ...]
    locals: tuple[str, ...]  # addresses of the director's own towards the servers, for FULLNAT

    @property
    def is_v6(self) -> bool:
        return ":" in self.vip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject works: its director in the network, what it is to balance."""

    net: Net
    subject: Subject
    pools: tuple[Pool, ...]
    ports: tuple[int, ...]
    server_interface: str  # towards the director
    protocol: str = "tcp"  # or "udp", what kernel and lbfast balance; proxies know TCP alone

    @property
    def host(self) -> str:
        """The director, which has the subject's name."""
        return self.subject.name

    def pool(self, family: int) -> Pool:
        """Return the addresses of a family."""
        return next(p for p in self.pools if p.is_v6 == (family == 6))

    def target(self, family: int) -> str:
        """Return where a client sends to."""
        pool = self.pool(family)
        return pool.vip if self.subject.aims_at == "vip" else pool.servers[0]

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command in the director; return what it prints."""
        return self.net.run(self.host, argv, stdin=stdin).stdout

    def start(self, *argv: str) -> Process:
        """Start a process in the director."""
        return self.net.start(self.host, argv)

    def processes(self) -> list[Process]:
        """Return what was started in the director."""
        inside = self.net.namespace(self.host)
        return [process for process in self.net.processes if inside in process.argv]

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes()]

    def kill(self) -> None:
        """End what was started in the director."""
        for process in self.processes():
            process.kill()

    def mac(self, host: str, interface: str) -> str:
        """Return the MAC address of an interface of a host."""
        path = f"/sys/class/net/{interface}/address"
        return self.net.run(host, ["cat", path]).stdout.strip()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the director's, in a directory of its own; return its path."""
        directory = self.net.scratch / self.host
        directory.mkdir(exist_ok=True)
        path = directory / name
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Subject:
    """A way from the client to the server, and how it is set up."""

    name: str  # of its host too
    product: str  # what is measured: "lbfast", "haproxy", …
    method: str  # "nat", "dr", "tun", "fullnat", "proxy", "route", "none"
    set_up: Callable[[Place], AbstractContextManager[None]]
    needs: tuple[str, ...] = ()  # programs, or files by their path
    aims_at: str = "vip"  # the client's target: "vip", or "server" without a virtual address
    module: str = ""  # of the kernel: loaded if files that it needs are not there

    @property
    def has_director(self) -> bool:
        return self.method != "none"

    @property
    def is_proxy(self) -> bool:
        """Whether its connections to the servers are its host's own."""
        return self.method == "proxy"

    @property
    def answers_past_director(self) -> bool:
        return self.method in ("dr", "tun")

    def missing(self) -> list[str]:
        """Return what it needs and this machine has not, after loading its module if only files
        are missing."""
        absent = [word for word in self.needs if not _there(word)]
        if self.module and absent and all("/" in word for word in absent):
            _load(self.module)
            absent = [word for word in absent if not _there(word)]
        return absent


def _load(module: str) -> None:
    """Let modprobe(8) load a kernel module; nothing happens where it cannot."""
    with suppress(FileNotFoundError):
        subprocess.run(["modprobe", "-q", module], capture_output=True, check=False)


def _there(word: str) -> bool:
    """Whether a file is there; a program, where starting it by its name will look."""
    return Path(word).exists() if "/" in word else shutil.which(word) is not None


def endpoint(address: str, port: int) -> str:
    """Return address and port as most programs read them: IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
