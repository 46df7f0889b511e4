"""Recipe R7: persistence and time-outs by hand, then keepalived takes over."""

from __future__ import annotations

import re
from collections import Counter

from netns import recipes_r7 as r7
from netns.build import Net
from netns.topo import Topology
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

STATE_S = 40
TEMPLATE = r"^TCP +([\d:]+) +\w+ +{}:0 +192\.168\.55\.150:80"


def site(network: Networks, topology: Topology) -> Net:
    net = network(topology)
    for name in r7.WEB:
        assert realserver(net, name, "add", r7.VIP).returncode == 0
        start_web(net, name)
    return net


def who(net: Net, client: str, count: int = 1) -> Counter[str]:
    """Ask the VIP; return which servers answered."""
    return Counter(answer.host for answer in fetch(net, client, r7.VIP, count))


def template_s(director: Director, client: str) -> int | None:
    """Return how long a client's persistence template lasts, None without one."""
    address = re.escape(r7.CLIENTS[client])
    found = re.search(TEMPLATE.format(address), director.ipvsadm("-Lnc"), re.MULTILINE)
    if found is None:
        return None
    minutes, seconds = found[1].split(":")
    return int(minutes) * 60 + int(seconds)


def test_persistence_and_time_outs_by_hand(network: Networks, director: Directors) -> None:
    net = site(network, r7.topology(with_vip=True))
    balancer = director(net)
    balancer.typed(f"ipvsadm -A -t {r7.VIP}:80 -s rr -p")
    for name in ("web133", "web137"):
        balancer.typed(f"ipvsadm -a -t {r7.VIP}:80 -r {r7.WEB[name]} -g")
    assert len(who(net, "old", 6)) == 1
    assert "rr persistent 360" in balancer.ipvsadm("-Ln")

    balancer.typed(f"ipvsadm -E -t {r7.VIP}:80 -s rr -p 5")
    balancer.typed("ipvsadm --set 1 1 1")
    assert "Timeout (tcp tcpfin udp): 1 1 1" in balancer.ipvsadm("-Ln --timeout")
    listing = balancer.ipvsadm("-Ln --persistent-conn")
    assert "PersistConn" in listing
    assert len(re.findall(r"-> \S+ +1 +1 +0 +6 ", listing)) == 1  # the old client's server
    first = who(net, "new", 4)
    assert len(first) == 1
    left = template_s(balancer, "new")
    assert left is not None
    assert left <= 5
    wait_for(lambda: template_s(balancer, "new") is None, STATE_S, "the end of the template")
    # rr goes on: of two new beginnings in a row one is on the other server
    second = who(net, "new")
    wait_for(lambda: template_s(balancer, "new") is None, STATE_S, "the end of the template")
    assert len(first.keys() | second.keys() | who(net, "new").keys()) == 2
    kept = template_s(balancer, "old")
    assert kept is not None
    assert kept > 300

    row = balancer.counted(f"{r7.VIP}:80", 12)
    assert row.inbytes > 0
    assert row.outbytes == 0
    balancer.typed("ipvsadm -C")
    assert balancer.loads() == {}


def test_keepalived_takes_over(network: Networks, director: Directors) -> None:
    net = site(network, r7.topology(with_vip=False))
    path = net.scratch / "keepalived.conf"
    path.write_text(r7.configuration())
    balancer = director(net, "director", "-f", str(path))

    def holds_vip() -> bool:
        return r7.VIP in net.run("director", ["ip", "-4", "addr"]).stdout

    wait_for(holds_vip, STATE_S, "the VIP on the director")
    assert "rr persistent 10" in balancer.ipvsadm("-Ln")
    assert set(balancer.loads()) == {f"{r7.WEB[name]}:80" for name in ("web137", "web139")}
    assert len(who(net, "old", 4)) == 1
    assert set(who(net, "old") + who(net, "new")) == {"web137", "web139"}
