"""Two directors of one VIP, a service manager for each, and who has the addresses when."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

from lbfast.demos.traffic import file_digest, make_file
from lbfast.selfcall import COMMAND, environment
from netns import pair
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import CURL, download
from tests.e2e.director import READY_S
from tests.e2e.test_processes import children_of, replaced_of

WATCHDOG_S = 3.0
SIZE, RATE = 16 << 20, "1M"


class Manager:
    """Runs a director as the unit file asks systemd to: kills one that hangs, starts it again."""

    def __init__(self, net: Net, host: str, path: Path) -> None:
        self._net, self._host, self._path = net, host, path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        where = net.scratch / f"{host}.notify"
        self._socket.bind(str(where))
        self._environment = {
            **environment(),
            "NOTIFY_SOCKET": str(where),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
        }
        self._starts = 0
        self.process = self._start()

    def _start(self) -> Process:
        self._starts += 1
        words = [*COMMAND, "run", "-f", str(self._path)]
        name = f"{self._host}-{self._starts}"
        process = self._net.start(self._host, words, name, self._environment)
        process.wait_for_line("lbfast: ready", READY_S)
        return process

    def watch(self) -> None:
        """Wait until the parent is dead or gives no sign of life, and start it again."""
        self._socket.settimeout(WATCHDOG_S)
        try:
            while self.process.alive():
                self._socket.recv(4096)
        except TimeoutError:
            pass
        if self.process.alive():
            self.process.signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def stop(self) -> None:
        self.process.stop()
        self._socket.close()

    def children(self) -> dict[str, int]:
        return children_of(self.process.pid)


class Pair:
    """Both directors; `one` leads as long as it can."""

    def __init__(self, net: Net, interval_s: float) -> None:
        self.net = net
        (net.scratch / "files").mkdir()
        start_web(net, "rs", files=net.scratch / "files")
        self.managers = {}
        for name, priority in zip(pair.DIRECTORS, (200, 100), strict=True):
            path = net.scratch / f"{name}.conf"
            path.write_text(pair.CONFIGURATION.format(priority=priority, interval=interval_s))
            self.managers[name] = Manager(net, name, path)
        wait_for(lambda: self.holders() == ["one", "one"], what="both addresses on one")
        ask = [*CURL, "--max-time", "2", f"http://{pair.VIP}/"]
        wait_for(lambda: net.run("client", ask, check=False).returncode == 0, what="an answer")

    def holders(self) -> list[str]:
        """Return which directors have the addresses, the outer one first."""
        found = []
        for address in (pair.VIP, pair.INNER):
            for name in pair.DIRECTORS:
                if f"inet {address}/" in self.net.run(name, ["ip", "-4", "addr"]).stdout:
                    found.append(name)
        return found

    def stop(self) -> None:
        for manager in self.managers.values():
            manager.stop()

    def transfer(self) -> Process:
        """Start a download, and wait until it is under way."""
        make_file(self.net.scratch / "files" / "large", SIZE)
        url, target = f"http://{pair.VIP}/files/large", self.net.scratch / "got"
        process = download(self.net, "client", url, target, "--limit-rate", RATE)
        wait_for(lambda: target.exists() and target.stat().st_size > 0, what="the first bytes")
        return process

    def assert_whole(self, process: Process) -> None:
        assert process.wait(120) == 0, process.stderr()
        digest = file_digest(self.net.scratch / "files" / "large")
        assert file_digest(self.net.scratch / "got") == digest

    def strike(self, kind: str, number: int) -> None:
        """Send a signal to a process of `one`, and wait until another is in its place."""
        manager = self.managers["one"]
        if kind == "parent":
            before = set(manager.children().values())
            manager.process.signal(number)
            manager.watch()
            wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))
            return
        pid = manager.children()[kind]
        os.kill(pid, number)
        replaced_of(manager.process.pid, kind, pid)
        manager.process.wait_for_line(f"{kind}, pid {pid}, ended")


class Observer:
    """Looks again and again who has the addresses, while something happens."""

    def __init__(self, lab: Pair) -> None:
        self._lab = lab
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: list[tuple[float, list[str]]] = []

    def _look(self) -> None:
        while not self._is_over.is_set():
            self.seen.append((time.monotonic(), self._lab.holders()))

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def twice(self) -> list[tuple[float, list[str]]]:
        """Return what was seen with an address on both directors."""
        return [(at, found) for at, found in self.seen if len(found) > len(set(found)) + 1]
