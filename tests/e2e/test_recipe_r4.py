"""Recipe R4: two directors with a keepalived.conf, direct routing, checks by connection."""

from __future__ import annotations

import pytest

from netns import recipes_r4 as r4
from netns.wait import wait_for
from netns.web import WebServer
from tests.e2e.conftest import Directors, Networks
from tests.e2e.r4site import STATE_S, WEB4, WEB5, Site, wait_for_servers, write


@pytest.fixture
def site(network: Networks) -> Site:
    return Site(network(r4.topology()))


def test_r4_servers_and_directors_come_and_go(site: Site, director: Directors) -> None:
    master = director(site.net, "master", "-f", write(site, "master", r4.connected()))
    text = r4.connected(backup=True)
    backup = director(site.net, "backup", "-f", write(site, "backup", text))
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
