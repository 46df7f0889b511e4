"""Recipe R7: persistence and time-outs by hand."""

from __future__ import annotations

import re

import pytest

from netns import recipes_r7 as r7
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver


@pytest.fixture
def net(network: Networks) -> Net:
    net = network(r7.topology())
    for name in r7.RIPS:
        assert realserver(net, name, "add", r7.VIP).returncode == 0
        start_web(net, name)
    return net


@pytest.fixture
def balancer(net: Net, director: Directors) -> Director:
    balancer = director(net)
    balancer.typed("ipvsadm -A -t 192.168.55.150:80 -s rr -p")
    for rip in r7.RIPS.values():
        balancer.typed(f"ipvsadm -a -t 192.168.55.150:80 -r {rip} -g")
    return balancer


def hosts(net: Net, client: str, count: int) -> set[str]:
    return {answer.host for answer in fetch(net, client, r7.VIP, count)}


def templates(balancer: Director) -> dict[str, int]:
    """Return the seconds that each client's template has left."""
    rows = balancer.ipvsadm("-Lnc").splitlines()
    found = (re.match(r"TCP +(\d+):(\d+) +\S+ +([\d.]+):0 ", row) for row in rows)
    return {m[3]: 60 * int(m[1]) + int(m[2]) for m in found if m}


def test_persistent_clients_stick_to_one_server_each(net: Net, balancer: Director) -> None:
    first, second = hosts(net, "client1", 6), hosts(net, "client2", 6)
    assert len(first) == len(second) == 1
    assert first | second == set(r7.RIPS)
    assert "persistent 360" in balancer.ipvsadm("-Ln")


def test_time_out_of_five_seconds_lets_a_new_client_move_on(net: Net, balancer: Director) -> None:
    old = hosts(net, "client1", 2)
    balancer.typed("ipvsadm -E -t 192.168.55.150:80 -s rr -p 5")
    balancer.typed("ipvsadm --set 1 1 1")
    assert "persistent 5\n" in balancer.ipvsadm("-Ln")
    new = hosts(net, "client2", 2)
    left = templates(balancer)
    assert left[r7.CLIENTS["client1"]] > 300, "the template keeps the time it was made with"
    assert left[r7.CLIENTS["client2"]] <= 5
    wait_for(lambda: r7.CLIENTS["client2"] not in templates(balancer), what="template is gone")
    moved = hosts(net, "client2", 1)
    assert moved | new == set(r7.RIPS), "round robin goes on behind the server it had"
    assert hosts(net, "client1", 2) == old


def test_listings_say_what_the_recipe_shows(net: Net, balancer: Director) -> None:
    balancer.typed("ipvsadm --set 1 1 1")
    assert balancer.ipvsadm("-Ln --timeout") == "Timeout (tcp tcpfin udp): 1 1 1\n"
    (home,) = hosts(net, "client1", 3)
    row = balancer.counted("192.168.55.150:80", 3)
    assert row.inbytes > 0
    assert (row.outpkts, row.outbytes) == (0, 0)
    persistent = balancer.ipvsadm("-Ln --persistent-conn").splitlines()
    assert re.search(r"-> 192\.168\.55\.1\d\d:80 +1 +1 +", "\n".join(persistent)), persistent
    table = balancer.ipvsadm("-Lnc")
    assert re.search("^pro expire state +source +virtual +destination$", table, re.MULTILINE)
    ends = f"{r7.CLIENTS['client1']}:0 +{r7.VIP}:80 +{r7.RIPS[home]}:80"
    assert re.search(ends.replace(".", r"\."), table), table


def test_clearing_leaves_nothing_to_serve(net: Net, balancer: Director) -> None:
    assert len(hosts(net, "client1", 1)) == 1
    balancer.typed("ipvsadm -C")
    assert len(balancer.ipvsadm("-Ln").splitlines()) == 3
    done = net.run("client1", ["curl", "-sSm5", f"http://{r7.VIP}/"], check=False)
    assert done.returncode == 7


def test_every_command_of_the_help_is_known(balancer: Director) -> None:
    words = re.findall(r"^  (--[a-z-]+) ", balancer.ipvsadm("--help"), re.MULTILINE)
    assert len(words) > 15
    for word in words:
        said = balancer.typed(f"ipvsadm {word}", check=False).stderr
        assert "unknown option" not in said, (word, said)
