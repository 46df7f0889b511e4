"""A checker process that was killed: its successor does not trust servers that were out."""

from __future__ import annotations

import os
import signal

import pytest

from netns import recipes_r3 as r3
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.conftest import Directors, Networks
from tests.e2e.test_processes import Site, children, replaced, weights


@pytest.mark.covers("SIG-12")
def test_killed_checker_does_not_bring_a_dead_server_back(
    network: Networks, director: Directors
) -> None:
    site = Site(network(r3.topology()), director)
    web = start_web(site.net, "rs1", r3.PORTS["rs1"])
    site.write({"rs1": 1, "rs2": 2})  # nobody listens on rs2
    one, two = (f"{r3.RIPS[name]}:{r3.PORTS[name]}" for name in ("rs1", "rs2"))
    balancer = site.start()
    wait_for(lambda: set(weights(balancer)) == {one}, what="the dead server gone")
    before = children(balancer)["checker"]
    os.kill(before, signal.SIGKILL)
    seen: set[str] = set()

    def servers() -> set[str]:
        found = set(weights(balancer))
        seen.update(found)
        return found

    def is_replaced() -> bool:
        return bool(servers()) and children(balancer).get("checker", before) != before

    wait_for(is_replaced, what="another checker")
    replaced(balancer, "checker", before)
    web.process.stop()
    wait_for(lambda: not servers(), what="the new checker's own verdict")
    start_web(site.net, "rs2", r3.PORTS["rs2"])
    assert seen == {one}
    wait_for(lambda: servers() == {two}, what="the server that is alive now")
