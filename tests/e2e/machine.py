"""A host that boots: systemd as its process 1, over a view of this machine's files."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import lbfast
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for

SYSTEMD = Path("/lib/systemd/systemd")
BOOT = Path(__file__).with_name("boot.sh")
PACKAGE = Path(lbfast.__file__).parents[1]
PACKAGING = PACKAGE / "packaging" / "systemd"
BOOT_S = 60
NAMES = ("lbfast", "keepalived", "ipvsadm", "ipvsadm-save", "ipvsadm-restore")
PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(PACKAGE)!r})
from lbfast.cli.main import main
sys.exit(main())
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """Return why no machine can boot here, empty if it can."""
    if not SYSTEMD.exists():
        return "systemd is not installed"
    kinds = Path("/proc/filesystems").read_text().split()
    return next((f"no {kind} in this kernel" for kind in ("overlay", "cgroup2")
                 if kind not in kinds), "")  # fmt: skip


class Machine:
    """A booted host of a network; lbfast is installed in it as its documentation says."""

    def __init__(
        self, net: Net, host: str, files: Mapping[str, str], enabled: Iterable[str]
    ) -> None:
        """Boot it with `files` (absolute path: text), the units `enabled`; wait until it runs."""
        self.net, self.host = net, host
        number = sum(1 for each in net.processes if each.argv[-1] == str(PACKAGE))
        seed = net.scratch / f"{host}-seed-{number}"
        _install(seed)
        for path, text in files.items():
            _write(seed / path.lstrip("/"), text)
        _write(seed / "enabled", "".join(f"{unit}\n" for unit in enabled))
        seen = [str(seed), sys.prefix, sys.base_prefix, str(net.scratch), str(PACKAGE)]
        self.process: Process = net.start(host, [str(BOOT), *seen], f"boot-{number}")
        self.init = wait_for(self._find_init, BOOT_S, f"process 1 of {host}")
        wait_for(self._is_up, BOOT_S, f"{host} up")

    def _find_init(self) -> int:
        """Return the pid of its process 1 as seen from outside, 0 while there is none."""
        if not self.process.alive():
            raise RuntimeError(f"{self.host}: does not boot: {self.process.stderr()[-500:]}")
        pid = self.process.pid
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                pid = int(children[0])
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it; RuntimeError with its words if it fails."""
        inside = ["nsenter", "-t", str(self.init), "--all", "env", "-i", f"PATH={PATH}"]
        done = subprocess.run(
            [*inside, *argv], check=False, capture_output=True, text=True, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{argv}: exit {done.returncode}: {done.stderr or done.stdout}")
        return done

    def shell(self, command: str, check: bool = True) -> str:
        """Run a command line in it; return what it printed."""
        return self.run("sh", "-c", command, check=check).stdout

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, *words: str) -> list[dict[str, str]]:
        """Return what journalctl finds, a record a line."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "-o", "json", "--no-pager", *words).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def lines(self, *words: str) -> list[str]:
        """Return the texts of what journalctl finds."""
        return [record["MESSAGE"] for record in self.journal(*words)]

    def wait_for_line(self, text: str, *words: str) -> None:
        """Wait until a line of the journal holds a text."""
        wait_for(lambda: any(text in line for line in self.lines(*words)), what=f"{text!r}")

    def power_off(self) -> None:
        """Shut it down, and wait for its end."""
        self.run("systemctl", "--no-block", "poweroff")
        self.process.wait(BOOT_S)


def _install(seed: Path) -> None:
    for name in NAMES:
        _write(seed / "usr" / "bin" / name, PROGRAM, 0o755)
    for unit in PACKAGING.glob("*.service"):
        _write(seed / "etc" / "systemd" / "system" / unit.name, unit.read_text())
    shutil.copy(PACKAGING / "lbfast-rules", seed / "usr" / "bin")
    (seed / "usr" / "bin" / "lbfast-rules").chmod(0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
