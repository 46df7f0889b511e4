"""keepalived and lbfast check the same servers side by side, from two addresses of one host.

```
   director                              servers
   10.7.0.1/24 (keepalived) ──── r0 ──── 10.7.0.11 .. 10.7.0.15/24
   10.7.0.2/24 (lbfast)
```
keepalived's IPVS is `fakeipvs.c`; what both do to their table is written into a file each.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lbfast.selfcall import environment
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Topology, addresses, link
from netns.wait import wait_for

HERE = Path(__file__).parent
SIDES = {"keepalived": "10.7.0.1", "lbfast": "10.7.0.2"}
SERVERS = tuple(f"10.7.0.{number}" for number in range(11, 16))
TIMEOUT_S = 40


def topology() -> Topology:
    """Return the network drawn above."""
    own = [f"{address}/24" for address in SIDES.values()]
    theirs = [f"{address}/24" for address in SERVERS]
    return Topology(
        "checks",
        (Host("director", addresses("eth0", *own)), Host("servers", addresses("eth0", *theirs))),
        (link("director:eth0", "servers:eth0"),),
    )


def missing() -> str:
    """Say what the comparison lacks here, nothing if it can be made."""
    for program in ("keepalived", "gcc"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return ""


class Peers:
    """Both checkers, and the servers that they check."""

    def __init__(self, net: Net, configuration: str) -> None:
        """`configuration` has SIDE for the checker's name and OWN for its address."""
        self.net, self.scratch = net, net.scratch
        self.mode("ok")
        self.servers = self._python(
            "servers", "tests.e2e.checkservers", str(self.scratch), *SERVERS
        )
        self.servers.wait_for_line("servers: ready")
        self.files = {side: self.scratch / f"{side}.conf" for side in SIDES}
        self._configure(configuration)
        self.keepalived = self._keepalived()
        self.lbfast = self._python(
            "director", "tests.e2e.checkrunner", str(self.files["lbfast"]), str(self.log("lbfast"))
        )

    def _configure(self, configuration: str) -> None:
        for side, own in SIDES.items():
            text = configuration.replace("SIDE", side).replace("OWN", own)
            self.files[side].write_text(text.replace("SCRATCH", str(self.scratch)))

    def reload(self, configuration: str) -> None:
        """Give both another file and tell them to read it."""
        self._configure(configuration)
        for process in (self.keepalived, self.lbfast):
            process.signal(signal.SIGHUP)

    def _python(self, host: str, module: str, *words: str) -> Process:
        name = module.rsplit(".", 1)[1]
        return self.net.start(host, [sys.executable, "-m", module, *words], name, environment())

    def _keepalived(self) -> Process:
        library = self.scratch / "fakeipvs.so"
        source = str(HERE / "fakeipvs.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), source], check=True)
        settings = {"LD_PRELOAD": str(library), "FAKEIPVS_LOG": str(self.log("keepalived"))}
        place = self.scratch / "keepalived"
        words = ["keepalived", "-n", "-l", "-D", "-C", "-f", str(self.files["keepalived"])]
        words += ["-p", f"{place}.pid", "-c", f"{place}-c.pid", "-r", f"{place}-r.pid"]
        return self.net.start("director", words, "keepalived", settings)

    def mode(self, word: str) -> None:
        """Tell all servers how to answer from now on."""
        fresh = self.scratch / "mode.new"
        fresh.write_text(word)
        fresh.rename(self.scratch / "mode")

    def log(self, side: str) -> Path:
        return self.scratch / f"{side}.log"

    def commands(self, side: str, service: str = "") -> list[str]:
        """Return what a side did to its table, or to one service of it, without the times."""
        path = self.log(side)
        lines = path.read_text().splitlines() if path.exists() else []
        bare = [line.split(" ", 1)[1] for line in lines]
        return [line for line in bare if not service or line.split()[1] == service]

    def times(self, side: str, service: str) -> list[float]:
        """Return when a side did what, from its first command on."""
        lines = self.log(side).read_text().splitlines()
        found = [float(line.split()[0]) for line in lines if line.split()[2] == service]
        return [time - found[0] for time in found]

    def table(self, side: str, service: str) -> dict[str, int]:
        """Return the servers of a service with their weights, as the commands leave them."""
        table: dict[str, int] = {}
        for line in self.commands(side, service):
            words = line.split()
            if words[0] in ("NEW_DEST", "SET_DEST"):
                table[words[2]] = int(words[4])
            elif words[0] == "DEL_DEST":
                table.pop(words[2], None)
        return table

    def wait_for_table(self, service: str, expected: dict[str, int]) -> None:
        """Wait until both tables are as they ought to be."""
        for side in SIDES:
            wait_for(
                lambda side=side: self.table(side, service) == expected,  # type: ignore[misc]
                TIMEOUT_S,
                f"{side}: {service} {expected}",
            )

    def heard(self, side: str) -> list[tuple[str, bytes]]:
        """Return what the servers heard from a side: kind and bytes."""
        path = self.scratch / "heard"
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split(" ") for line in lines]
        return [(kind, bytes.fromhex(data)) for own, kind, data in words if own == SIDES[side]]

    def wait_for_both(self, condition: Callable[[str], bool], what: str) -> None:
        for side in SIDES:
            wait_for(lambda side=side: condition(side), TIMEOUT_S, f"{side}: {what}")  # type: ignore[misc]

    def notes(self, side: str) -> list[str]:
        """Return the words that a side's notification scripts were called with, in order."""
        path = self.scratch / f"{side}.notes"
        return path.read_text().splitlines() if path.exists() else []

    def end(self) -> None:
        """Stop both checkers as an operator does."""
        self.keepalived.stop()
        self.lbfast.stop()
