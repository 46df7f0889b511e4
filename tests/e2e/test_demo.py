"""`lbfast demo`: right, tidy, and honest about what is missing."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from lbfast.selfcall import COMMAND, environment
from netns import ownership
from netns.process import Process
from netns.wait import wait_for

QUICK = ("--requests", "12", "--size", "5")


def demo(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "demo", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**environment(), "COLUMNS": "120", **more},
        timeout=120,
    )


def start(scratch: Path) -> Process:
    return Process([*COMMAND, "demo", *QUICK], scratch / "demo", environment())


def networks(pid: int) -> list[str]:
    """Return the namespaces that a demo has up by now, told by the processes in them."""
    children = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(pid)], check=False, capture_output=True, text=True
    ).stdout
    prefixes = {path.name for path in ownership.RECORDS.iterdir() if path.name in children}
    return [name for prefix in prefixes for name in ownership.namespaces(prefix)]


def at_least(count: int, names: list[str]) -> list[str]:
    return names if len(names) >= count else []


def test_demo_shows_network_bars_statistics_and_rate() -> None:
    done = demo("--method", "nat", "--family", "4", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    for sign in ("director VIP 10.2.0.100", "12 requests, rr: as promised", "█"):
        assert sign in done.stdout
    for sign in ("12 requests, wrr: as promised", "ipvsadm -Ln --stats", "same SHA-256", "Mb/s"):
        assert sign in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_removes_everything(number: int, scratch: Path) -> None:
    process = start(scratch)
    up = wait_for(lambda: networks(process.pid))
    process.signal(number)
    assert process.wait(60) == 130
    assert "interrupted" in process.stderr()
    assert not set(up) & {path.name for path in ownership.NAMESPACES.iterdir()}


def test_next_demo_removes_what_a_killed_one_left(scratch: Path) -> None:
    process = start(scratch)
    up = wait_for(lambda: at_least(7, networks(process.pid)))
    process.kill()
    prefix = up[0].split("-")[0]
    assert demo("--method", "dr", "--family", "6", *QUICK).returncode == 0
    assert ownership.namespaces(prefix) == []
    assert not (ownership.RECORDS / prefix).exists()


def test_kept_network_stays_until_cleaned() -> None:
    done = demo("--method", "tun", "--family", "4", "--keep", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    (prefix,) = [p for p in ownership.kept() if f"{p}-director" in done.stdout]
    try:
        page = subprocess.run(
            ["ip", "netns", "exec", f"{prefix}-client1", "curl", "-sS", "http://10.2.0.100/"],
            check=False,
            capture_output=True,
            text=True,
        ).stdout
        assert page.split()[1] == "10.1.0.11"
    finally:
        ownership.remove(prefix)
    assert ownership.namespaces(prefix) == []
