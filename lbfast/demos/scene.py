"""One scene of the demo: a network, real web servers, a director and its rules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lbfast.selfcall import COMMAND, environment
from netns import basic
from netns.build import Net
from netns.process import Process
from netns.web import start_web

METHOD_OPTION = {"nat": "-m", "dr": "-g", "tun": "-i"}
WEIGHTS = {"rs1": 3, "rs2": 2, "rs3": 1}
READY_TIMEOUT_S = 30
PROGRAMS = ("ip", "sysctl", "ss", "curl", "nginx")


@dataclass(frozen=True, slots=True)
class Plot:
    """Which scene: nat, dr or tun, and the family 4 or 6."""

    method: str
    family: int

    @property
    def vip(self) -> str:
        return basic.VIP[self.family]

    @property
    def service(self) -> str:
        """The virtual service as ipvsadm's words name it."""
        return self._endpoint(self.vip)

    def server(self, name: str) -> str:
        """Return a real server as ipvsadm's words name it."""
        return self._endpoint(basic.rip(self.method, name, self.family))

    def client(self, name: str) -> str:
        """Return the address of a client."""
        number = 10 + int(name.removeprefix("client"))
        return f"10.1.0.{number}" if self.family == 4 else f"fd00:1::{number}"

    def _endpoint(self, address: str) -> str:
        return f"{address}:80" if self.family == 4 else f"[{address}]:80"


@dataclass(slots=True)
class Scene:
    """The scene made real."""

    plot: Plot
    net: Net
    director: Process

    def lbfast(self, host: str, *words: str) -> str:
        """Run lbfast in a host; return what it prints, RuntimeError if it fails."""
        done = self.net.run(host, [*COMMAND, *words], environment=environment())
        return done.stdout

    def ipvsadm(self, *words: str) -> str:
        return self.lbfast("director", "ipvsadm", *words)

    def add_rules(self, scheduler: str) -> None:
        """Add the service with its three real servers, each of weight 1."""
        plot = self.plot
        self.ipvsadm("-A", "-t", plot.service, "-s", scheduler)
        for name in basic.REAL_SERVERS:
            self.ipvsadm(
                "-a", "-t", plot.service, "-r", plot.server(name), METHOD_OPTION[plot.method]
            )

    def weigh(self, scheduler: str) -> None:
        """Give the real servers WEIGHTS, the service another scheduler."""
        plot = self.plot
        for name, weight in WEIGHTS.items():
            self.ipvsadm(
                *("-e", "-t", plot.service, "-r", plot.server(name)),
                *(METHOD_OPTION[plot.method], "-w", str(weight)),
            )
        self.ipvsadm("-E", "-t", plot.service, "-s", scheduler)


@contextmanager
def played(plot: Plot, files: Path, keep: bool = False) -> Iterator[Scene]:
    """Build a scene whose web servers have `files`; on leaving it remove what is not kept."""
    with Net(basic.topology(plot.method)) as net:
        own = net.scratch / "files"  # linked: a network that is kept goes on serving them
        shutil.copytree(files, own, copy_function=os.link)
        for name in basic.REAL_SERVERS:
            start_web(net, name, files=own)
            if plot.method != "nat":
                words = ["add", plot.vip, *(["--tunnel"] if plot.method == "tun" else [])]
                net.run(name, [*COMMAND, "realserver", *words], environment=environment())
        director = net.start("director", [*COMMAND, "run"], "lbfast", environment())
        director.wait_for_line("lbfast: ready", READY_TIMEOUT_S)
        yield Scene(plot, net, director)
        if keep:
            net.keep()


def missing_programs(path: str = "") -> list[str]:
    """Return the programs that the demo needs and that are not in `path` (default: PATH, sbin)."""
    path = path or os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]
