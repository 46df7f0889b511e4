"""Recipe R10: VRRP for a web server that is not balanced, watched by a script."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netns import recipes_r6 as r6
from netns.build import Net
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.capture import Capture
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director
from tests.e2e.test_processes import children
from tests.e2e.vrrplab import adverts

CHECK = f"{shutil.which('curl') or '/usr/bin/curl'} -fs http://127.0.0.1/"
MOVE_S = 30  # fall 2 at 2 s, then a few seconds of VRRP


class Cluster:
    """Nodes with their web servers and directors."""

    def __init__(self, net: Net, director: Directors, nodes: int) -> None:
        self.net = net
        self.names = list(r6.NODES)[:nodes]
        self.web: dict[str, WebServer] = {name: start_web(net, name) for name in self.names}
        self.directors: dict[str, Director] = {}
        self._director = director

    def start(self, name: str, text: str) -> Director:
        path = self.net.scratch / f"{name}.conf"
        path.write_text(text)
        self.directors[name] = self._director(self.net, name, "-f", str(path))
        return self.directors[name]

    def serving(self) -> str:
        """Return which node answers at the VIP, empty if none does."""
        try:
            return fetch(self.net, "client", r6.VIP)[0].host
        except RuntimeError:
            return ""

    def wait_serving(self, name: str) -> None:
        wait_for(lambda: self.serving() == name, MOVE_S, f"{name} serves")
        holders = [node for node in self.names if self.holds(node)]
        assert holders == [name]

    def holds(self, name: str) -> bool:
        return r6.VIP in self.net.run(name, ["ip", "-4", "addr", "show", "ens33"]).stdout


def noting(net: Net, name: str) -> tuple[str, Path]:
    """Return lines that let every notify script write its word, and where."""
    log = net.scratch / f"{name}.notes"
    log.touch()
    script = net.scratch / f"{name}.note"
    script.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    script.chmod(0o755)
    words = ("master", "backup", "fault")
    return "".join(f'    notify_{word} "{script} {word}"\n' for word in words), log


@pytest.mark.covers("VRP-28", "VRP-36")
@pytest.mark.parametrize("nodes", [2, pytest.param(3, marks=pytest.mark.long)])
def test_r10_address_follows_the_web_server(
    nodes: int, network: Networks, director: Directors
) -> None:
    net = network(r6.topology(nodes))
    cluster = Cluster(net, director, nodes)
    notes = {}
    for name in cluster.names:
        lines, notes[name] = noting(net, name)
        cluster.start(name, r6.watched(name, CHECK, lines))
    cluster.wait_serving("node1")
    cluster.web["node1"].process.stop()
    wait_for(lambda: cluster.serving() in cluster.names[1:], MOVE_S)
    assert not cluster.holds("node1")
    assert (
        "Changing effective priority from 50 to 20" in cluster.directors["node1"].process.stderr()
    )
    cluster.web["node1"] = restart_web(net, "node1")
    cluster.wait_serving("node1")
    assert notes["node1"].read_text().split() == ["backup", "master", "backup", "master"]
    net.run("node1", ["ip", "link", "set", "ens33", "down"])
    wait_for(lambda: notes["node1"].read_text().split()[-1] == "fault", MOVE_S)
    wait_for(lambda: cluster.serving() in cluster.names[1:], MOVE_S)


def restart_web(net: Net, name: str) -> WebServer:
    """Start a node's web server again, in the directory of the first one."""
    shutil.rmtree(net.scratch / f"{name}-nginx-80")
    return start_web(net, name)


@pytest.mark.long
def test_r10_nopreempt_lets_the_address_stay(network: Networks, director: Directors) -> None:
    net = network(r6.topology(2))
    cluster = Cluster(net, director, 2)
    text = r6.watched("node1", CHECK, "    nopreempt\n").replace("state MASTER", "state BACKUP")
    cluster.start("node1", text)
    cluster.wait_serving("node1")
    cluster.start("node2", r6.watched("node2", CHECK))
    cluster.web["node1"].process.stop()
    cluster.wait_serving("node2")
    restart_web(net, "node1")
    log = cluster.directors["node1"].process.stderr
    wait_for(lambda: "priority from 20 to 50" in log(), MOVE_S)
    with Capture(net, "client", "ens33", "ip proto 112") as capture:
        wait_for(lambda: capture.path.stat().st_size > 6 * 70, MOVE_S, "six adverts")
    assert {one.priority for one in adverts(capture)} == {30}
    assert cluster.serving() == "node2"


@pytest.mark.covers("SIG-12")
def test_r10_killed_vrrp_process_is_not_missed(network: Networks, director: Directors) -> None:
    net = network(r6.topology(2))
    cluster = Cluster(net, director, 2)
    first = cluster.start("node1", r6.instance("node1"))
    cluster.wait_serving("node1")
    second = cluster.start("node2", r6.instance("node2"))
    with Capture(net, "client", "ens33", "ip proto 112") as capture:
        pid = vrrp_pid(first)
        net.run("node1", ["kill", "-9", str(pid)])
        assert cluster.serving() == "node1"
        wait_for(lambda: vrrp_pid(first) not in (0, pid), 10, "a new process")
        wait_for(lambda: first.process.stderr().count("Entering MASTER STATE") == 2, 10)
        assert cluster.serving() == "node1"
    assert "MASTER STATE" not in second.process.stderr()
    assert all(one.priority == 50 for one in adverts(capture))


def vrrp_pid(director: Director) -> int:
    """Return the pid of a director's VRRP process, 0 if there is none."""
    return children(director).get("vrrp", 0)
