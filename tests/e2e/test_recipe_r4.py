"""Recipes R4 and R5: directors with a keepalived.conf, checks by connection and by content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from netns import recipes_r4 as r4
from netns.build import Net
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

WEB4, WEB5 = (f"{r4.HOSTS[name]}:80" for name in r4.WEB)
SORRY = f"{r4.HOSTS['sorry']}:80"
STATE_S = 40  # retries, delay_loop and a failover are seconds each


class Site:
    """The web servers, and pages that can be changed."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.web = {name: self._start(name) for name in (*r4.WEB, "sorry")}

    def _start(self, name: str) -> WebServer:
        assert realserver(self.net, name, "add", r4.VIP).returncode == 0
        pages = self.pages(name)
        pages.mkdir()
        for page in ("test.html", "test2.html"):
            (pages / page).touch()
        return start_web(self.net, name, files=pages)

    def pages(self, name: str) -> Path:
        return self.net.scratch / f"{name}-pages"

    def answering(self, count: int = 6) -> Counter[str]:
        """Ask the VIP; return which hosts answered."""
        return Counter(answer.host for answer in fetch(self.net, "client", r4.VIP, count))

    def holds_vip(self, host: str) -> bool:
        return r4.VIP in self.net.run(host, ["ip", "-4", "addr", "show", "dev", "eth1"]).stdout


@pytest.fixture
def site(network: Networks) -> Site:
    return Site(network(r4.topology()))


def write(site: Site, host: str, text: str) -> str:
    path = site.net.scratch / f"{host}.conf"
    path.write_text(text)
    return str(path)


def wait_for_servers(director: Director, *servers: str) -> None:
    wait_for(lambda: set(director.loads()) == set(servers), STATE_S, f"{servers} in the table")


def test_r4_servers_and_directors_come_and_go(site: Site, director: Directors) -> None:
    master = director(
        site.net, "master", "-f", write(site, "master", r4.configuration(r4.CONNECTED))
    )
    backup = director(
        site.net,
        "backup",
        "-f",
        write(site, "backup", r4.configuration(r4.CONNECTED, backup=True)),
    )
    wait_for(lambda: site.holds_vip("master"), STATE_S, "the VIP on the master")
    assert not site.holds_vip("backup")
    wait_for_servers(master, WEB4, WEB5)
    wait_for_servers(backup, WEB4, WEB5)
    assert set(site.answering()) == {"web4", "web5"}

    site.web["web4"].process.stop()
    wait_for_servers(master, WEB5)
    assert set(site.answering()) == {"web5"}
    site.web["web4"] = start_web_again(site, "web4")
    wait_for_servers(master, WEB4, WEB5)
    assert "web4" in site.answering()  # lc prefers who has fewer connections now

    master.stop()
    wait_for(lambda: site.holds_vip("backup"), STATE_S, "the VIP on the backup")
    assert not site.holds_vip("master")
    assert set(site.answering()) == {"web4", "web5"}
    master.start()
    wait_for(lambda: site.holds_vip("master"), STATE_S, "the VIP on the master again")
    wait_for(lambda: not site.holds_vip("backup"), STATE_S, "the backup without the VIP")
    assert set(site.answering()) == {"web4", "web5"}


def start_web_again(site: Site, name: str) -> WebServer:
    old = site.web[name]
    process = site.net.start(name, old.process.argv[4:], f"{name}-again")
    return WebServer(process, old.directory)


def test_r5_a_changed_page_takes_a_server_out(site: Site, director: Directors) -> None:
    more = f"    persistence_timeout 50\n    sorry_server {r4.HOSTS['sorry']} 80\n"
    text = r4.configuration(r4.CONTENT, more=more)
    master = director(site.net, "master", "-f", write(site, "master", text))
    wait_for(lambda: site.holds_vip("master"), STATE_S, "the VIP on the master")
    wait_for_servers(master, WEB4, WEB5)

    (site.pages("web4") / "test2.html").write_text("changed")
    (site.pages("web5") / "test.html").write_text("changed")
    wait_for_servers(master, SORRY)
    assert set(site.answering(2)) == {"sorry"}
    (site.pages("web5") / "test.html").write_text("")
    wait_for_servers(master, WEB5)  # and not the one whose page is still another
    assert master.loads()[WEB5].method == "Route"
