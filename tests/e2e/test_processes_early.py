"""Signals to a director that is about to start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lbfast.selfcall import COMMAND, environment
from netns.wait import wait_for
from tests.e2e.test_processes import EXTRA, Site, site

__all__ = ["site"]

MOMENTS = ("", "starting forwarder", "forwarder is ready", "starting vrrp", "starting checker")


def expects_stop(pid: int) -> bool:
    """Say whether SIGTERM would not simply end a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> signal.SIGTERM - 1 & 1)
    return False


@pytest.mark.covers("SIG-01")
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment or "at once")
def test_stop_while_it_starts_is_a_clean_one(site: Site, moment: str) -> None:
    words = [*COMMAND, "run", "-f", str(site.file)]
    process = site.net.start("director", words, "early", environment())
    wait_for(lambda: expects_stop(process.pid), what="a process that can be stopped")
    if moment:
        process.wait_for_line(moment)
    process.signal(signal.SIGTERM)
    assert process.wait(20) == 0, process.stderr()
    assert "does not stop" not in process.stderr()
    assert EXTRA not in site.addresses()
    assert "lbfast" not in site.net.run("director", ["nft", "list", "tables"]).stdout


def test_reload_before_the_file_is_read_is_no_end(site: Site) -> None:
    words = [*COMMAND, "run", "-f", str(site.file)]
    process = site.net.start("director", words, "early", environment())
    hup = 1 << signal.SIGHUP - 1
    status = Path(f"/proc/{process.pid}/status")
    wait_for(lambda: int(status.read_text().split("SigCgt:")[1].split()[0], 16) & hup)
    process.signal(signal.SIGHUP)
    process.wait_for_line("reloaded ")
    assert process.stop() == 0


def test_signals_before_it_is_ready_are_served_later(site: Site) -> None:
    words = [*COMMAND, "run", "-f", str(site.file)]
    process = site.net.start("director", words, "early", environment())
    process.wait_for_line("starting forwarder")
    os.kill(process.pid, signal.SIGHUP)
    process.wait_for_line("ready: director")
    process.wait_for_line("reloaded ")
    assert process.stop() == 0
