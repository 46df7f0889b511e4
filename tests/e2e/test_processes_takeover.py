"""Another director takes over: from its first packet on connections are balanced there."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from netns import pair
from netns.wait import wait_for
from tests.e2e.client import CURL
from tests.e2e.conftest import Networks
from tests.e2e.pair import Pair
from tests.e2e.test_processes import children_of

ASK = f"""
import collections, signal, socket, threading
told, seen = threading.Event(), collections.Counter()
signal.signal(signal.SIGTERM, lambda *_: told.set())
def ask():
    while not told.is_set():
        try:
            socket.create_connection(({pair.VIP!r}, 80), 1.0).close()
            seen["answered"] += 1
        except ConnectionRefusedError:
            seen["refused"] += 1
        except OSError:
            seen["silent"] += 1
threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads: thread.start()
print("asking", flush=True)
for thread in threads: thread.join()
print(seen["answered"], seen["refused"], seen["silent"], flush=True)
"""


@pytest.fixture
def lab(network: Networks) -> Iterator[Pair]:
    made = Pair(network(pair.topology()), interval_s=0.2)
    yield made
    made.stop()


def leads(lab: Pair, name: str) -> bool:
    return lab.holders() == [name, name]


def link(lab: Pair, state: str) -> None:
    lab.net.run("one", ["ip", "link", "set", "eth0", state])


def answers(lab: Pair) -> bool:
    ask = [*CURL, "--max-time", "1", f"http://{pair.VIP}/"]
    return lab.net.run("client", ask, check=False).returncode == 0


def test_nobody_is_refused_while_directors_change(lab: Pair) -> None:
    asking = lab.net.start("client", [sys.executable, "-c", ASK], "asking")
    asking.wait_for_line("asking", 10)
    for _ in range(3):
        link(lab, "down")
        wait_for(lambda: leads(lab, "two"), what="the other director to lead")
        wait_for(lambda: answers(lab), what="an answer")
        link(lab, "up")
        wait_for(lambda: leads(lab, "one"), what="the first director to lead again")
        wait_for(lambda: answers(lab), what="an answer")
    asking.signal(signal.SIGTERM)
    asking.wait(10)
    answered, refused, _ = map(int, asking.stdout().split("\n")[1].split())
    assert answered > 100
    assert refused == 0


def test_backup_serves_though_its_parent_hangs(lab: Pair) -> None:
    two = lab.managers["two"].process
    two.signal(signal.SIGSTOP)
    try:
        link(lab, "down")
        wait_for(lambda: leads(lab, "two"), what="the other director to lead")
        wait_for(lambda: answers(lab), what="an answer")
    finally:
        two.signal(signal.SIGCONT)


def test_director_without_a_forwarder_gives_up(lab: Pair) -> None:
    """The first times it is back soon enough; then it is started again later and later."""
    one = lab.managers["one"].process

    def kill() -> bool:
        if pid := children_of(one.pid).get("forwarder"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return leads(lab, "two")

    wait_for(kill, 60, what="the other director to lead")
    assert answers(lab)
    wait_for(lambda: leads(lab, "one"), what="the first director to lead again")
    assert "no forwarder" in one.stderr()
