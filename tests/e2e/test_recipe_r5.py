"""Recipe R5: checks by content, and a sorry server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from netns import recipes_r4 as r4
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director
from tests.e2e.r4site import PAGES, SORRY, STATE_S, WEB4, WEB5, Site, wait_for_servers, write

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # the digest in the recipe: of no bytes at all
FIRST, SECOND = PAGES


@pytest.fixture
def site(network: Networks) -> Site:
    return Site(network(r4.topology()))


@pytest.fixture
def master(site: Site, director: Directors) -> Director:
    master = director(site.net, "master", "-f", write(site, "master", r4.content()))
    wait_for(lambda: site.holds_vip("master"), STATE_S, "the VIP on the master")
    return master


@pytest.mark.covers("QUO-04", "QUO-05")
def test_changed_pages_take_servers_out_and_the_sorry_server_in(
    site: Site, master: Director
) -> None:
    wait_for_servers(master, WEB4, WEB5)
    assert len(site.answering()) == 1, "persistence keeps a client on one server"
    assert EMPTY in master.lbfast(f"genhash -s {r4.HOSTS['web4']} -p 80 -u /{FIRST}").stdout

    (site.pages("web4") / SECOND).write_text("changed")
    wait_for_servers(master, WEB5)
    assert set(site.answering()) == {"web5"}
    (site.pages("web5") / FIRST).unlink()  # a page that is gone: status 404
    wait_for_servers(master, SORRY)
    assert set(site.answering(2)) == {"sorry"}
    assert master.loads()[SORRY].method == "Route"

    (site.pages("web5") / FIRST).write_text("")
    wait_for_servers(master, WEB5)  # and not the one whose page is still another
    assert set(site.answering(2)) == {"web5"}
    (site.pages("web4") / SECOND).write_text("")
    wait_for_servers(master, WEB4, WEB5)


def noting(net: Net) -> tuple[str, Path]:
    """Return lines that note the quorum's coming and going, and where."""
    log = net.scratch / "quorum"
    log.touch()
    script = net.scratch / "note.sh"
    script.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    script.chmod(0o755)
    words = "".join(f'    quorum_{word} "{script} {word}"\n' for word in ("up", "down"))
    return words, log


def test_quorum_and_inhibition_decide_with_the_sorry_server(
    site: Site, director: Directors
) -> None:
    """A lost quorum brings the sorry server though one is up; the inhibited stay at weight 0."""
    words, log = noting(site.net)
    text = r4.content(f"    quorum 2\n{words}").replace(
        "weight 1", "weight 1\n inhibit_on_failure"
    )
    file = write(site, "master", "global_defs {\n script_user root\n}\n" + text)
    master = director(site.net, "master", "-f", file)
    wait_for(lambda: site.holds_vip("master"), STATE_S, "the VIP on the master")
    (site.pages("web4") / FIRST).write_text("changed")
    wait_for(lambda: SORRY in master.loads(), STATE_S, "the sorry server")
    loads = master.loads()
    assert loads[WEB4].weight == 0, "inhibited, not removed"
    assert set(site.answering(2)) == {"sorry"}
    wait_for(lambda: log.read_text().split()[-1:] == ["down"], STATE_S, "quorum_down")

    os.kill(master.process.pid, signal.SIGHUP)
    master.process.wait_for_line("reloaded ")
    assert SORRY in master.loads(), "a reload of the same file changes nothing"
    (site.pages("web4") / FIRST).write_text("")
    wait_for(lambda: SORRY not in master.loads(), STATE_S, "the sorry server gone")
    assert {a: row.weight for a, row in master.loads().items()} == {WEB4: 1, WEB5: 1}
    wait_for(lambda: log.read_text().split()[-1:] == ["up"], STATE_S, "quorum_up")
    assert log.read_text().split().count("down") == 1
