"""A director under test: `lbfast run` in a host, and the words that reach it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

from lbfast.selfcall import COMMAND, environment
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for

READY_S = 30
STATE = "ipvsadm -Ln --stats; ipvsadm -Lnc; ip neigh; ip route; nft list ruleset"
IPVSADM = f"""#!{sys.executable}
import sys
from lbfast.cli.main import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `-Ln --stats --exact`: a service or a real server."""

    address: str
    conns: int
    inpkts: int
    outpkts: int
    inbytes: int
    outbytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """A real server's row of `-Ln`."""

    address: str
    method: str
    weight: int
    active: int
    inactive: int


class Director:
    """The daemon of one namespace; `ipvsadm` is lbfast called under that name."""

    def __init__(self, net: Net, host: str, *words: str) -> None:
        self.net, self.host, self.words = net, host, words
        directory = net.scratch / "bin"
        directory.mkdir(exist_ok=True)
        program = directory / "ipvsadm"
        program.write_text(IPVSADM)
        program.chmod(0o755)
        self.environment = environment()
        self.environment["PATH"] = f"{directory}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self._starts = 0
        self.process = self._start()

    def _start(self) -> Process:
        self._starts += 1
        words = [*COMMAND, "run", *self.words]
        name = f"lbfast-{self._starts}"
        process = self.net.start(self.host, words, name, self.environment)
        process.wait_for_line("lbfast: ready", READY_S)
        return process

    def stop(self) -> int:
        """Stop it as an operator does; return its exit status."""
        return self.process.stop()

    def crash(self) -> None:
        """End it by kill -9."""
        self.process.kill()

    def start(self) -> None:
        """Start it again."""
        self.process = self._start()

    def typed(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line in the director as somebody types it."""
        return self.net.run(
            self.host, ["sh", "-c", command], check=check, environment=self.environment
        )

    def ipvsadm(self, words: str) -> str:
        return self.typed(f"ipvsadm {words}").stdout

    def lbfast(self, words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `lbfast WORDS` in the director as somebody types it."""
        return self.typed(f"{shlex.join(COMMAND)} {words}", check)

    def rules(self, *lines: str) -> None:
        """Give several lines of words at once."""
        self.net.run(
            self.host,
            ["ipvsadm", "-R"],
            stdin="".join(f"{line}\n" for line in lines),
            environment=self.environment,
        )

    def stats(self) -> dict[str, Row]:
        """Return the counters, by address and port as printed."""
        rows = {}
        for line in self.ipvsadm("-Ln --stats --exact").splitlines()[3:]:
            fields = line.replace("->", "").split()
            name, *numbers = fields if re.match(r" |->", line) else fields[1:]
            rows[name] = Row(name, *map(int, numbers))
        return rows

    def counted(self, service: str, connections: int) -> Row:
        """Return a service's row once it shows so many connections: counters lag by 2 s."""

        def seen() -> Row | None:
            row = self.stats()[service]
            return row if row.conns == connections else None

        return wait_for(seen, what=f"{connections} connections of {service} in --stats")

    def keep_state(self) -> None:
        """Write what a failed test leaves to look at into the directory of its logs."""
        words = f"{STATE}; {shlex.join(COMMAND)} counters"
        text = self.typed(words, check=False).stdout
        (self.net.scratch / f"{self.host}-state").write_text(text)

    def loads(self) -> dict[str, Load]:
        """Return the real servers' rows of `-Ln`."""
        found = re.findall(
            r"^  -> (\S+) +([A-Z]\w+) +(\d+) +(\d+) +(\d+)", self.ipvsadm("-Ln"), re.MULTILINE
        )
        return {a: Load(a, m, int(w), int(on), int(off)) for a, m, w, on, off in found}


def realserver(net: Net, host: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `lbfast realserver` in a host."""
    return net.run(host, [*COMMAND, "realserver", *words], check=False, environment=environment())
