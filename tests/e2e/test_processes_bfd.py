"""BFD_CHECK in a director by a file: sessions and checks are in two processes."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from netns import recipes_r3 as r3
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.conftest import Directors, Networks
from tests.e2e.test_processes import children, replaced, weights

needs_keepalived = pytest.mark.skipif(
    shutil.which("keepalived") is None, reason="keepalived is not installed"
)
ONE, TWO = (f"{r3.RIPS[name]}:{r3.PORTS[name]}" for name in ("rs1", "rs2"))
DIRECTOR = "192.168.7.254"
SESSION = """\
bfd_instance {name} {{
    neighbor_ip {neighbor}
    min_rx 50
    min_tx 50
    multiplier 10
    {more}
}}
"""
ONE_SESSION = SESSION.format(name="one", neighbor=r3.RIPS["rs1"], more="checker")
SERVERS = f"""\
virtual_server 172.16.16.172 80 {{
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server {r3.RIPS["rs1"]} {r3.PORTS["rs1"]} {{
        BFD_CHECK {{
            name one
        }}
    }}
    real_server {r3.RIPS["rs2"]} {r3.PORTS["rs2"]} {{
        TCP_CHECK {{
            connect_timeout 1
            warmup 0
        }}
    }}
}}
"""


class Neighbour:
    """keepalived's BFD process on rs1."""

    def __init__(self, net: Net, director: str) -> None:
        path = net.scratch / "neighbour.conf"
        path.write_text(SESSION.format(name="back", neighbor=director, more=""))
        words = ["keepalived", "-n", "-l", "-D", "-G", "-f", str(path)]
        for option in "prcb":
            words += [f"-{option}", str(net.scratch / f"neighbour.{option}")]
        self._pid = net.scratch / "neighbour.b"
        net.start("rs1", words, "keepalived")
        wait_for(self._pid.exists, what="the BFD process of keepalived")

    def signal(self, number: int) -> None:
        os.kill(int(self._pid.read_text()), number)


class Site:
    """A director without VRRP instances, two real servers, and what rs1 has to say."""

    def __init__(self, net: Net, director: Directors) -> None:
        for name in ("rs1", "rs2"):
            start_web(net, name, r3.PORTS[name])
        self._path = net.scratch / "keepalived.conf"
        self._path.write_text(ONE_SESSION + SERVERS)
        self.director = director(net, "director", "-f", str(self._path))
        self.held(TWO)
        self.neighbour = Neighbour(net, DIRECTOR)
        self.held(ONE, TWO)

    def held(self, *servers: str) -> None:
        expected = set(servers)
        wait_for(lambda: set(weights(self.director)) == expected, what=f"{servers} in the table")

    def log(self) -> str:
        return self.director.process.stderr()

    def reload(self, text: str) -> None:
        self._path.write_text(text)
        before = self.log().count("reloaded ")
        os.kill(self.director.process.pid, signal.SIGHUP)
        wait_for(lambda: self.log().count("reloaded ") > before, what="a reload")

    def kill(self, kind: str) -> None:
        """Kill a child, and wait until another works in its place."""
        pid, word = children(self.director)[kind], f"lbfast: {kind} is ready"
        before = self.log().count(word)
        os.kill(pid, signal.SIGKILL)
        replaced(self.director, kind, pid)
        wait_for(lambda: self.log().count(word) > before, what=word)


@pytest.fixture
def site(network: Networks, director: Directors) -> Site:
    return Site(network(r3.topology()), director)


@needs_keepalived
def test_session_and_server_outlive_the_processes_and_a_reload(site: Site) -> None:
    assert set(children(site.director)) == {"forwarder", "vrrp", "checker"}
    told = site.log().count("BFD_CHECK on service")
    site.kill("checker")
    site.kill("vrrp")
    wait_for(lambda: site.log().count("BFD one up") == 2, what="the session again")
    other = SESSION.format(name="other", neighbor=r3.RIPS["rs2"], more="")
    site.reload(ONE_SESSION + other + SERVERS)
    site.held(ONE, TWO)
    assert site.log().count("BFD_CHECK on service") == told
    assert "BFD one down" not in site.log()
    site.reload(SERVERS.replace("BFD_CHECK {\n            name one\n        }", ""))
    wait_for(lambda: "vrrp" not in children(site.director), what="the end of who ran sessions")
    site.held(ONE, TWO)


@needs_keepalived
def test_server_is_in_the_table_while_its_session_is_up(site: Site) -> None:
    site.neighbour.signal(signal.SIGSTOP)
    site.held(TWO)
    site.kill("checker")
    site.held(TWO)
    site.neighbour.signal(signal.SIGCONT)
    site.held(ONE, TWO)
    site.neighbour.signal(signal.SIGSTOP)
    site.kill("vrrp")
    site.held(TWO)  # whoever comes anew does not wait for ever for a session of before
    site.neighbour.signal(signal.SIGCONT)
    site.held(ONE, TWO)
