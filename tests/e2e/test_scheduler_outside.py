"""A scheduler in Python on live packets: it decides, edits go on, its failures stop nobody."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lbfast.demos.traffic import file_digest, make_file
from netns import recipes_r3 as r3
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import download, fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director

SERVICE = f"{r3.VIP}:80"
PINNED, OTHERS = "rs1", {"rs2", "rs3"}  # of the lowest address; wlc would use the others too
# what it does is read from a file at every pick
SCHEDULER = """
import threading
from pathlib import Path
from lbfast.lab import Scheduler

class Pin(Scheduler):
    name = "pin"

    def pick(self, flow, servers):
        mood = Path({mood!r}).read_text()
        if mood == "raise":
            raise ValueError("out of sorts")
        if mood == "hang":
            threading.Event().wait()
        return min((s for s in servers if s.usable), key=lambda s: s.addr)
"""


class Lab:
    """The network of R3 with the scheduler `pin`, whose mood is a file."""

    def __init__(self, net: Net, director: Directors, workers: int) -> None:
        self.net = net
        self._mood = net.scratch / "mood"
        self.mood("")
        self.file = net.scratch / "pin.py"
        self.file.write_text(SCHEDULER.format(mood=str(self._mood)))
        self.balancer: Director = director(
            net, "director", "--workers", str(workers), "--scheduler-file", str(self.file)
        )
        self.balancer.typed(f"ipvsadm -A -t {SERVICE} -s pin")
        for name, rip in r3.RIPS.items():
            self.balancer.typed(f"ipvsadm -a -t {SERVICE} -r {rip}:{r3.PORTS[name]} -m")

    def mood(self, text: str) -> None:
        self._mood.write_text(text)

    def shares(self, requests: int = 12) -> Counter[str]:
        """Return how many of some requests each server answered; all were answered."""
        return Counter(answer.host for answer in fetch(self.net, "client", r3.VIP, requests))

    def wait_for_pin(self) -> None:
        """Wait until the scheduler decides: on a busy machine it may be late now and then, and
        rests for a second."""
        wait_for(lambda: set(self.shares(6)) == {PINNED}, what="requests to the pinned server")

    def log(self) -> str:
        return self.balancer.process.stderr()


@pytest.fixture
def net(network: Networks) -> Net:
    made = network(r3.topology())
    for name, port in r3.PORTS.items():
        start_web(made, name, port, files=made.scratch / "files" if name == PINNED else None)
    return made


@pytest.mark.parametrize("workers", [1, 2])
def test_it_decides_while_the_tables_are_edited(
    net: Net, director: Directors, workers: int
) -> None:
    lab = Lab(net, director, workers)
    lab.wait_for_pin()
    traffic = net.start(
        "client", ["curl", "-sSf", "--max-time", "30", *["http://" + r3.VIP] * 200]
    )
    rip = f"{r3.RIPS['rs2']}:80"
    edits = [f"-e -t {SERVICE} -r {rip} -m -w {weight % 9 + 1}" for weight in range(300)]
    lab.balancer.rules(*edits)
    assert traffic.wait(60) == 0
    assert traffic.stdout().count("\n") >= 200
    lab.balancer.typed(f"ipvsadm -e -t {SERVICE} -r {r3.RIPS[PINNED]}:80 -m -w 0")
    wait_for(lambda: set(lab.shares(6)) == {"rs2"}, what="requests to the next server")


def test_one_that_raises_is_logged_and_wlc_decides(net: Net, director: Directors) -> None:
    lab = Lab(net, director, 1)
    lab.wait_for_pin()
    lab.mood("raise")
    assert set(lab.shares()) >= OTHERS
    wait_for(lambda: "scheduler 'pin': an exception" in lab.log(), what="the log line")
    assert f"ValueError: out of sorts ({lab.file}:" in lab.log()
    lab.mood("")
    lab.wait_for_pin()
    assert lab.log().count("an exception") == 1


def test_one_that_hangs_stops_neither_new_nor_established_connections(
    net: Net, director: Directors
) -> None:
    lab = Lab(net, director, 1)
    (net.scratch / "files").mkdir(exist_ok=True)
    digest = make_file(net.scratch / "files/big", 12_000_000)
    lab.wait_for_pin()
    target = net.scratch / "big"
    transfer = download(net, "client", f"http://{r3.VIP}/files/big", target, "--limit-rate", "4M")
    wait_for(lambda: target.is_file() and target.stat().st_size > 0, what="the first bytes")
    lab.mood("hang")
    assert set(lab.shares()) >= OTHERS
    assert transfer.wait(60) == 0
    assert file_digest(target) == digest
    lab.balancer.typed(f"ipvsadm -e -t {SERVICE} -r {r3.RIPS['rs2']}:80 -m -w 0")
    assert "rs2" not in lab.shares()
    wait_for(lambda: "'pin': no answer within 20 ms" in lab.log(), what="the log line")
    assert lab.balancer.stop() == 0


def test_after_a_kill_without_its_file_wlc_decides_and_the_log_says_so(
    net: Net, director: Directors, tmp_path: Path
) -> None:
    lab = Lab(net, director, 1)
    lab.wait_for_pin()
    lab.balancer.crash()
    with_file, lab.balancer.words = lab.balancer.words, ()
    lab.balancer.start()
    assert lab.log().count("scheduler 'pin' of 1 service is not loaded, wlc decides instead") == 1
    assert set(lab.shares()) >= OTHERS
    assert f"-A -t {SERVICE} -s pin" in lab.balancer.ipvsadm("-Sn")
    refused = lab.balancer.typed(f"ipvsadm -A -t {r3.VIP}:81 -s nobody", check=False)
    assert "-s nobody" not in lab.balancer.ipvsadm("-Sn")
    assert refused.returncode != 0
    lab.balancer.crash()
    lab.balancer.words = with_file
    lab.balancer.start()
    lab.wait_for_pin()
    assert "is not loaded" not in lab.log()
