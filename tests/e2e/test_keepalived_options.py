"""Called as keepalived: what a stranger does wrong, and the background."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbfast.selfcall import environment
from netns import recipes_r4 as r4
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.conftest import Networks
from tests.e2e.director import IPVSADM

PIDS = {"-p": "parent.pid", "-r": "vrrp.pid", "-c": "checkers.pid"}


class Keepalived:
    """The program in a directory of its own, with pid files and log there."""

    def __init__(self, net: Net, directory: Path) -> None:
        self.net, self.directory = net, directory
        self.program = directory / "keepalived"
        self.program.write_text(IPVSADM)
        self.program.chmod(0o755)
        self.pids = [word for pair in PIDS.items() for word in pair]
        (directory / "k.conf").write_text(r4.connected())

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, in its directory: names of files may be relative."""
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.directory), str(self.program)]
        return self.net.run(
            "master", [*inside, *words], check=False, environment=environment(), timeout_s=30
        )

    def pid(self) -> int:
        return int((self.directory / PIDS["-p"]).read_text())

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def keepalived(network: Networks, scratch: Path) -> Iterator[Keepalived]:
    made = Keepalived(network(r4.topology()), scratch)
    yield made
    if (scratch / PIDS["-p"]).exists():
        os.kill(made.pid(), signal.SIGTERM)
        wait_for(lambda: not (scratch / PIDS["-p"]).exists(), what="the end")


@pytest.mark.covers("SIG-10")
def test_background_is_there_when_the_command_returns(keepalived: Keepalived) -> None:
    log = str(keepalived.directory / "log")
    words = ("-D", "-G", "-g", log, "-f", "k.conf", *keepalived.pids)
    done = keepalived.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    pid = keepalived.pid()
    wait_for(lambda: "ready: director" in keepalived.log(), what="ready")
    for other in (words, (*words, "-p", "other.pid")):
        done = keepalived.run(*other)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert f"pid {pid}" in done.stderr
    for _ in range(30):  # the file was named relative to a directory that has been left
        os.kill(pid, signal.SIGHUP)
    wait_for(lambda: "reloaded " in keepalived.log(), what="a reload")
    assert "no such file" not in keepalived.log().lower()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: keepalived.log().endswith("stopped\n"), what="the stop")
    assert not list(keepalived.directory.glob("*.pid"))


WRONG = {
    "no such file": (["-f", "none.conf"], 6, "none.conf: no such file"),
    "a directory": (["-f", "."], 2, "not a regular file"),
    "pid file in no directory": (["-f", "k.conf", "-p", "no/p.pid"], 1, "no/p.pid: No such file"),
    "pid file that is a directory": (["-f", "k.conf", "-p", "."], 1, "Is a directory"),
    "log in no directory": (["-f", "k.conf", "-g", "no/log"], 1, "no/log: no such file"),
    "no such namespace": (["-f", "k.conf", "-s", "lbfast-nowhere"], 1, "'lbfast-nowhere'"),
    "umask of other digits": (["-f", "k.conf", "-u", "9"], 1, "umask '9'"),
}


@pytest.mark.parametrize("background", [False, True])
def test_wrong_words_start_nothing(keepalived: Keepalived, background: bool) -> None:
    for what, (words, status, sentence) in WRONG.items():
        done = keepalived.run(*([] if background else ["-n", "-l"]), *words)
        assert done.returncode == status, what
        assert sentence in done.stderr.splitlines()[0], what
        assert "Traceback" not in done.stderr, what
        assert len(done.stderr.splitlines()) == 1 + (status == 2), what
    assert not (keepalived.directory / "no").exists()


def test_full_disk_is_told_of_and_nothing_else_happens(keepalived: Keepalived) -> None:
    log = str(keepalived.directory / "log")
    text = "global_defs {\n state_dump_file /dev/full\n stats_dump_file no/stats\n}\n"
    (keepalived.directory / "k.conf").write_text(text + r4.connected())
    assert keepalived.run("-G", "-g", log, "-f", "k.conf", *keepalived.pids).returncode == 0
    wait_for(lambda: "ready: director" in keepalived.log(), what="ready")
    os.kill(keepalived.pid(), signal.SIGUSR1)
    wait_for(lambda: "/dev/full: No space left on device" in keepalived.log(), what="data")
    os.kill(keepalived.pid(), signal.SIGUSR2)
    wait_for(lambda: "no/stats: No such file" in keepalived.log(), what="statistics")
    os.kill(keepalived.pid(), signal.SIGHUP)
    wait_for(lambda: "reloaded " in keepalived.log(), what="it lives")
