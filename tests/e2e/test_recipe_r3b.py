"""Recipe R3b: NAT with one arm, everything on one wire."""

from __future__ import annotations

from collections import Counter

import pytest

from lbfast.demos.traffic import file_digest, make_file
from netns import recipes_r3b as r3b
from netns.build import Net
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.client import CURL, counters, download, fetch, udp_socket
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director

STATE_S = 40
SIZE = 8 << 20


class Site:
    """Web servers and the directors of the recipe."""

    def __init__(self, net: Net, director: Directors) -> None:
        self.net, self._director = net, director
        self.files = net.scratch / "files"
        self.files.mkdir()
        self.web: dict[str, WebServer] = {
            name: start_web(net, name, files=self.files) for name in r3b.RIPS
        }

    def start(self, name: str, more: str = "") -> Director:
        path = self.net.scratch / f"{name}.conf"
        path.write_text(r3b.configuration(name, more))
        return self._director(self.net, name, "-f", str(path))

    def wait_holds(self, name: str) -> None:
        wait_for(lambda: self.holds(name), STATE_S, f"the VIP on {name} alone")

    def holds(self, name: str) -> bool:
        holders = [
            each for each in r3b.DIRECTORS
            if r3b.VIP in self.net.run(each, ["ip", "-4", "addr", "show", "eth0"]).stdout
        ]  # fmt: skip
        return holders == [name]

    def answering(self, client: str, count: int = 6) -> Counter[str]:
        return Counter(answer.host for answer in fetch(self.net, client, r3b.VIP, count))


@pytest.fixture
def site(network: Networks, director: Directors) -> Site:
    return Site(network(r3b.topology()), director)


def test_clients_beyond_the_router_are_served_through_one_arm(site: Site) -> None:
    one = site.start("one")
    site.wait_holds("one")
    answers = fetch(site.net, "far", r3b.VIP, 9)
    assert Counter(answer.host for answer in answers) == dict.fromkeys(r3b.RIPS, 3)
    assert {answer.client for answer in answers} == {r3b.FAR}
    row = one.counted(f"{r3b.VIP}:80", 9)
    assert row.outpkts >= 9 * 4, "replies come back over the director"

    make_file(site.files / "large", SIZE)
    target = site.net.scratch / "got"
    process = download(site.net, "far", f"http://{r3b.VIP}/files/large", target)
    assert process.wait(60) == 0, process.stderr()
    assert file_digest(target) == file_digest(site.files / "large")

    site.web["rs2"].process.stop()
    wait_for(lambda: f"{r3b.RIPS['rs2']}:80" not in one.loads(), STATE_S, "a server out")
    assert set(site.answering("far")) == {"rs1", "rs3"}


def test_vip_and_gateway_move_together(site: Site) -> None:
    one = site.start("one")
    site.wait_holds("one")
    two = site.start("two")
    assert set(site.answering("far")) == set(r3b.RIPS)
    one.stop()
    site.wait_holds("two")
    assert set(site.answering("far")) == set(r3b.RIPS)
    assert two.counted(f"{r3b.VIP}:80", 6).outpkts >= 6 * 4


def own_traffic(net: Net) -> None:
    """A real server asks a host beyond the router, and is answered."""
    with udp_socket(net, "far", r3b.FAR, 53) as far, udp_socket(
        net, "rs1", r3b.RIPS["rs1"]
    ) as own:  # fmt: skip
        for _ in range(3):
            own.sendto(b"who is example.org", (r3b.FAR, 53))
            question, where = far.recvfrom(100)
            assert (question, where[0]) == (b"who is example.org", r3b.RIPS["rs1"])
            far.sendto(b"192.0.2.1", where)
            assert own.recv(100) == b"192.0.2.1"


def test_real_servers_own_traffic_does_not_turn_their_replies_away(site: Site) -> None:
    """Without ICMP redirects; the host of the director forwards what is not balanced."""
    site.start("one")
    site.wait_holds("one")
    own_traffic(site.net)
    assert set(site.answering("far")) == set(r3b.RIPS)
    assert counters(site.net, "one", "IcmpOutRedirects") == {"IcmpOutRedirects": 0}


def test_balanced_packets_never_cause_redirects(network: Networks, director: Directors) -> None:
    """Even where the host would send them: replies are taken from the wire before it sees them."""
    site = Site(network(r3b.topology(redirects=True)), director)
    site.start("one")
    site.wait_holds("one")
    assert set(site.answering("far", 30)) == set(r3b.RIPS)
    assert counters(site.net, "one", "IcmpOutRedirects") == {"IcmpOutRedirects": 0}


def gets_through(net: Net, client: str) -> bool:
    words = [*CURL, "--max-time", "2", f"http://{r3b.VIP}/"]
    return net.run(client, words, check=False).returncode == 0


def test_clients_on_the_same_wire_need_fullnat(site: Site) -> None:
    """With NAT the real server answers such a client directly, from another address."""
    one = site.start("one")
    site.wait_holds("one")
    assert gets_through(site.net, "far")
    assert not gets_through(site.net, "near")
    one.stop()
    site.start(
        "one",
        f"    @lbfast lb_kind FNAT\n    @lbfast local_address {r3b.DIRECTORS['one']}\n",
    )
    site.wait_holds("one")
    assert set(site.answering("near")) == set(r3b.RIPS)
    assert set(site.answering("far")) == set(r3b.RIPS)
