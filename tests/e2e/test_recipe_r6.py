"""Recipe R6: three nodes that are director and web server at once."""

from __future__ import annotations

from collections import Counter

import pytest

from netns import recipes_r6 as r6
from netns.build import Net
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.client import CURL
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

STATE_S = 60  # checks come every 6 s, a failed one is retried three times
ROUNDS = 4


class Site:
    """The nodes, prepared as the recipe says."""

    def __init__(self, net: Net, director: Directors) -> None:
        self.net = net
        self._director = director
        self.web: dict[str, WebServer] = {}
        for name in r6.NODES:
            assert realserver(net, name, "add", r6.VIP).returncode == 0
            self.web[name] = start_web(net, name)
            (net.scratch / f"{name}.conf").write_text(r6.balanced(name))
        self.directors = {name: self.start(name) for name in r6.NODES}

    def start(self, name: str) -> Director:
        return self._director(self.net, name, "-f", str(self.net.scratch / f"{name}.conf"))

    def holds(self, name: str) -> bool:
        return r6.VIP in self.net.run(name, ["ip", "-4", "addr", "show", "ens33"]).stdout

    def wait_holds(self, name: str) -> None:
        wait_for(
            lambda: [node for node in r6.NODES if self.holds(node)] == [name], STATE_S,
            f"the VIP on {name} alone",
        )  # fmt: skip

    def ask(self, client: str) -> str:
        """Return which node answers a client's address, empty if none does."""
        words = [*CURL, "--max-time", "5", "--interface", client, f"http://{r6.VIP}/"]
        done = self.net.run("client", words, check=False)
        return done.stdout.split()[0] if done.returncode == 0 else ""

    def answers(self) -> dict[str, set[str]]:
        """Return who answered each client's address over several connections."""
        return {client: {self.ask(client) for _ in range(ROUNDS)} for client in r6.CLIENTS}


@pytest.fixture
def site(network: Networks, director: Directors) -> Site:
    return Site(network(r6.topology()), director)


@pytest.mark.covers("CFG-03", "IOP-05")
def test_r6_nodes_balance_serve_and_take_over(site: Site) -> None:
    site.wait_holds("node1")
    first = site.directors["node1"]
    wait_for(lambda: len(first.loads()) == 3, STATE_S)
    answers = site.answers()
    assert all(len(found) == 1 for found in answers.values()), "persistence keeps one server"
    assert {node for found in answers.values() for node in found} == set(r6.NODES)
    # what node1 hands to the others is not balanced by them once more
    for name in ("node2", "node3"):
        conns = {row.conns for row in site.directors[name].stats().values()}
        assert conns == {0}, f"{name} is not master and must leave the VIP to its host"

    site.web["node3"].process.stop()
    wait_for(lambda: f"{r6.NODES['node3']}:80" not in first.loads(), STATE_S)
    found = Counter(site.ask(client) for client in r6.CLIENTS for _ in range(ROUNDS))
    assert set(found) == {"node1", "node2"}

    first.stop()
    site.wait_holds("node3")  # equal priorities: the higher address
    wait_for(lambda: all(site.ask(client) for client in r6.CLIENTS), STATE_S)
    site.start("node1")
    site.wait_holds("node1")
    # a fresh director takes node3's web server for good until its first check
    wait_for(lambda: {site.ask(one) for one in r6.CLIENTS} == {"node1", "node2"}, STATE_S)
