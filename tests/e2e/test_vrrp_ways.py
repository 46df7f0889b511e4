"""Routes and rules that somebody else removes, and interfaces they need, beside keepalived."""

from __future__ import annotations

import json
import os
import signal

import pytest

from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.conftest import Networks
from tests.e2e.test_processes import children_of
from tests.e2e.vrrplab import EXPRESSION, SOURCE4, VIP4, Router, adverts, segment, v3

KINDS = ["keepalived", "director"]
VIA = f"via {SOURCE4['vc']} dev eth0"
GLOBALS = f"""
static_routes {{
    10.70.0.0/16 {VIA}
    10.71.0.0/16 {VIA} no_track
    10.72.0.0/16 via 10.8.0.9 dev eth1
    2001:db8:72::/48 dev eth1 metric 512
}}
static_rules {{
    from 10.70.0.0/16 table 77 preference 770
    from 10.71.0.0/16 table 77 preference 771 no_track
}}
"""
OWN = f"""
    virtual_routes {{
        10.60.0.0/16 {VIA}
        10.61.0.0/16 {VIA} no_track
        default {VIA} table 88 metric 5
        10.63.0.0/16 nexthop {VIA} nexthop via {SOURCE4["vb"]} dev eth0
        2001:db8:60::/48 dev eth0 metric 512
    }}
    virtual_rules {{
        from 10.60.0.0/16 table 66 preference 660
        from 10.61.0.0/16 table 66 preference 661 no_track
        to 10.62.0.0/16 iif eth0 table 1066 preference 662
        to 2001:db8:60::/48 blackhole preference 663
    }}
"""


def started(net: Net, kind: str, own: str, around: str = "") -> Router:
    """Return a router of the kind with more lines in its instance, and before it."""
    for words in ("link add eth1 type veth peer name eth1p", "link set eth1p up",
                  "link set eth1 up", "addr add 10.8.0.1/24 dev eth1"):  # fmt: skip
        net.run("va", ["ip", *words.split()])
    router = Router(net, "va", kind, v3(200))
    text = router.path.read_text().replace("    virtual_ipaddress", f"{own}    virtual_ipaddress")
    router.path.write_text(text.replace("vrrp_instance", f"{around}vrrp_instance"))
    router.start()
    leads(router)
    return router


def leads(router: Router) -> None:
    wait_for(lambda: router.holds() and entered(router)[-1] == "MASTER", 10, "a master")


def entered(router: Router) -> list[str]:
    """Return the states of its log, in order."""
    lines = router.log().splitlines()
    return [line.split("Entering ")[1].split()[0] for line in lines if "Entering " in line]


def routes(net: Net) -> set[str]:
    """Return the destinations of what bears keepalived's protocol on va."""
    found = set()
    for family in "-4", "-6":
        words = ["ip", "-j", family, "route", "show", "table", "all", "proto", "keepalived"]
        found |= {one["dst"] for one in json.loads(net.run("va", words).stdout or "[]")}
    return found


def rules(net: Net) -> set[int]:
    """Return the preferences of the rules on va."""
    listed: list[dict[str, int]] = []
    for family in "-4", "-6":
        listed += json.loads(net.run("va", ["ip", "-j", family, "rule"]).stdout)
    return {one["priority"] for one in listed if 0 < one["priority"] < 32766}


LOST = [
    pytest.param("route del 10.60.0.0/16", id="a route"),
    pytest.param("route del default table 88", id="a default route of a table"),
    pytest.param("-6 route del 2001:db8:60::/48", id="a route of IPv6"),
    pytest.param("rule del preference 660", id="a rule"),
    pytest.param("rule del preference 662", id="a rule of an interface and a large table"),
    pytest.param("-6 rule del preference 663", id="a rule of IPv6"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", LOST)
def test_lost_way_hands_over_and_is_set_anew(network: Networks, kind: str, words: str) -> None:
    net = segment(network)
    router = started(net, kind, OWN)
    before = (routes(net), rules(net))
    assert len(before[0]) == 5
    assert before[1] == {660, 661, 662, 663}
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        net.run("va", ["ip", *words.split()])
        wait_for(lambda: entered(router)[-2:] == ["BACKUP", "MASTER"], 10, "another turn")
        leads(router)
        wait_for(lambda: (routes(net), rules(net)) == before, 10, "everything set anew")
    assert [sent.priority for sent in adverts(capture)].count(0) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_ways_that_are_not_tracked_stay_away_until_the_next_turn(
    network: Networks, kind: str
) -> None:
    net = segment(network)
    router = started(net, kind, OWN)
    before = (routes(net), rules(net))
    for words in ("route del 10.61.0.0/16", "route del 10.63.0.0/16", "rule del preference 661",
                  f"route replace 10.60.0.0/16 via {SOURCE4['vb']}"):  # fmt: skip
        net.run("va", ["ip", *words.split()])
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_for(lambda: capture.path.stat().st_size > 600, 10, "adverts")
    assert {sent.priority for sent in adverts(capture)} == {200}
    assert routes(net) == before[0] - {"10.60.0.0/16", "10.61.0.0/16", "10.63.0.0/16"}
    assert rules(net) == before[1] - {661}
    net.run("va", ["ip", "rule", "del", "preference", "660"])
    wait_for(lambda: (routes(net), rules(net)) == before, 10, "everything set anew")
    leads(router)


@pytest.mark.parametrize("kind", KINDS)
def test_static_ways_are_put_back(network: Networks, kind: str) -> None:
    net = segment(network)
    router = started(net, kind, OWN, GLOBALS)  # it only listens where OWN is
    before = (routes(net), rules(net))
    for words in ("route del 10.71.0.0/16", "route del 10.70.0.0/16",
                  "-6 route del 2001:db8:72::/48",
                  "rule del preference 771", "rule del preference 770"):  # fmt: skip
        net.run("va", ["ip", *words.split()])
    after = (before[0] - {"10.71.0.0/16"}, before[1] - {771})
    wait_for(lambda: (routes(net), rules(net)) == after, 10, "static ways")
    net.run("va", ["ip", "link", "set", "eth1", "down"])
    wait_for(lambda: "10.72.0.0/16" not in routes(net), 10)
    net.run("va", ["ip", "link", "set", "eth1", "up"])
    wait_for(lambda: (routes(net), rules(net)) == after, 10, "ways of the interface")
    assert entered(router) == ["BACKUP", "MASTER"]
    router.stop()
    assert routes(net) | rules(net) == set()


OVERRUN = 30_000  # messages; the receive queue holds some 20,000


@pytest.mark.parametrize("words", ["route del 10.60.0.0/16", "rule del preference 660"])
def test_way_whose_loss_was_not_heard_is_missed_all_the_same(
    network: Networks, words: str
) -> None:
    net = segment(network)
    router = started(net, "director", OWN, GLOBALS)
    before = (routes(net), rules(net))
    assert router.process is not None
    stopped = [router.process.pid, children_of(router.process.pid)["vrrp"]]
    for pid in stopped:  # the parent first: it would kill the other
        os.kill(pid, signal.SIGSTOP)
    try:
        addresses = (f"10.128.{number >> 8}.{number & 255}" for number in range(OVERRUN))
        lines = [f"route add {address}/32 dev eth1" for address in addresses]
        lost = [words, "route del 10.70.0.0/16", "rule del preference 770"]
        net.run("va", ["ip", "-batch", "-"], stdin="\n".join([*lines, *lost, ""]))
        assert routes(net) | rules(net) < before[0] | before[1]
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: "events were lost" in router.log(), 10, "the overrun")
    wait_for(lambda: entered(router)[-2:] == ["BACKUP", "MASTER"], 10, "another turn")
    leads(router)
    wait_for(lambda: (routes(net), rules(net)) == before, 10, "everything set anew")


LEANED = [
    pytest.param("virtual_ipaddress_excluded {\n10.8.0.100/24 dev eth1\n}\n", id="address"),
    pytest.param("virtual_routes {\n10.62.0.0/16 via 10.8.0.9 dev eth1\n}\n", id="route"),
    pytest.param("virtual_rules {\nto 10.6.0.0/16 oif eth1 table 6 preference 62\n}\n", id="rule"),
    pytest.param(
        "track_interface {\neth1 weight 10\n}\n"
        "virtual_routes {\n10.62.0.0/16 via 10.8.0.9 dev eth1\n}\n", id="whatever its weight",
    ),
]  # fmt: skip
TRACK_GROUP = """track_group T {
    group {
        VI_1
    }
}
static_routes {
    10.62.0.0/16 via 10.8.0.9 dev eth1 track_group T
}
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own", LEANED)
def test_interface_of_what_is_tracked_is_tracked(network: Networks, kind: str, own: str) -> None:
    net = segment(network)
    follows_eth1(net, started(net, kind, own))


@pytest.mark.parametrize("kind", KINDS)
def test_interface_of_a_track_groups_item_is_tracked(network: Networks, kind: str) -> None:
    net = segment(network)
    router = started(net, kind, "", TRACK_GROUP)
    follows_eth1(net, router)
    assert "10.62.0.0/16" in routes(net)


def follows_eth1(net: Net, router: Router) -> None:
    net.run("va", ["ip", "link", "set", "eth1", "down"])
    wait_for(lambda: entered(router)[-1] == "FAULT" and not router.holds(VIP4), 10, "a fault")
    net.run("va", ["ip", "link", "set", "eth1", "up"])
    leads(router)


@pytest.mark.parametrize("kind", KINDS)
def test_interface_of_what_is_not_tracked_changes_nothing(network: Networks, kind: str) -> None:
    net = segment(network)
    own = ("virtual_ipaddress_excluded {\n10.8.0.100/24 dev eth1 no_track\n}\n"
           "virtual_routes {\n10.62.0.0/16 via 10.8.0.9 dev eth1 no_track\n}\n")  # fmt: skip
    router = started(net, kind, own)
    net.run("va", ["ip", "link", "set", "eth1", "down"])
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_for(lambda: capture.path.stat().st_size > 600, 10, "adverts")
    assert {sent.priority for sent in adverts(capture)} == {200}
    assert entered(router) == ["BACKUP", "MASTER"]
