"""Starting, stopping and dying: what stays behind, what goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lbfast.demos.traffic import file_digest, make_file
from netns import basic
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import counters, download, endpoint, fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

OPTION = {"nat": "-m", "dr": "-g", "tun": "-i"}
# counters and clocks that move on their own
UNSTEADY = "sysctl -a --pattern '^net\\.' 2>&1 | grep -v -e nf_conntrack_count -e inode -e _usec"
TRACES = (
    "nft list ruleset",
    "ip -d link",
    "ip addr",
    "ip rule; ip -6 rule",
    "ip route show table all; ip -6 route show table all",
    "tc qdisc; tc filter show dev eth0 ingress",
    "ip maddr",
    UNSTEADY,
    "cat /proc/net/packet | wc -l",
)


def traces(net: Net) -> dict[str, str]:
    """Return what a director could leave behind in its host, by the command that shows it."""
    return {
        command: net.run("director", ["sh", "-c", command], check=False).stdout
        for command in TRACES
    }


def is_up(net: Net) -> bool:
    """Say whether the kernel has done all that follows from setting links up."""
    text = net.run("director", ["ip", "addr"]).stdout
    return not re.search(r"tentative|state (DOWN|LOWERLAYERDOWN)", text.partition("eth0")[2])


def rules(method: str, family: int = 4) -> list[str]:
    service = f"-t {endpoint(basic.VIP[family], 80)}"
    return [
        f"-A {service} -s rr",
        *(
            f"-a {service} -r {endpoint(basic.rip(method, name, family), 80)} {OPTION[method]}"
            for name in basic.REAL_SERVERS
        ),
    ]


def serve(net: Net, method: str, files: bool = False) -> None:
    for name in basic.REAL_SERVERS:
        start_web(net, name, files=net.scratch / "files" if files else None)
        if method != "nat":
            tunnel = ["--tunnel"] if method == "tun" else []
            assert realserver(net, name, "add", basic.VIP[4], *tunnel).returncode == 0


def test_nothing_stays_behind_after_a_stop(network: Networks, director: Directors) -> None:
    net = network(basic.topology("nat"))
    serve(net, "nat")
    wait_for(lambda: is_up(net), what="links and addresses of the director")
    before = traces(net)
    balancer = director(net)
    balancer.rules(*rules("nat"))
    assert len(fetch(net, "client1", basic.VIP[4], 3)) == 3
    assert traces(net)["nft list ruleset"] != before["nft list ruleset"]
    assert balancer.stop() == 0
    assert traces(net) == before


def test_nothing_is_stale_after_a_crash_and_a_start(
    network: Networks, director: Directors
) -> None:
    net = network(basic.topology("nat"))
    serve(net, "nat")
    start_web(net, "director", 8081)
    wait_for(lambda: is_up(net), what="links and addresses of the director")
    before = traces(net)
    balancer = director(net)
    balancer.rules(*rules("nat"), f"-A -t {basic.VIP[4]}:8081 -s rr")
    balancer.crash()
    balancer.start()
    balancer.ipvsadm(f"-D -t {basic.VIP[4]}:8081")
    # the port is the host's again, and the other service still the director's
    assert fetch(net, "client1", f"{basic.VIP[4]}:8081")[0].host == "director"
    if not balancer.loads():
        balancer.rules(*rules("nat"))
    assert len({a.host for a in fetch(net, "client1", basic.VIP[4], 3)}) == 3
    assert balancer.stop() == 0
    assert traces(net) == before


def test_stopped_director_leaves_the_vip_to_its_host(
    network: Networks, director: Directors
) -> None:
    net = network(basic.topology("nat"))
    balancer = director(net)
    balancer.rules(*rules("nat"))
    assert balancer.stop() == 0
    start_web(net, "director")
    assert fetch(net, "client1", basic.VIP[4])[0].host == "director"


@pytest.mark.parametrize("method", basic.METHODS)
def test_established_connection_goes_on_after_a_crash(
    method: str, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    (net.scratch / "files").mkdir()
    digest = make_file(net.scratch / "files" / "large", 12_000_000)
    serve(net, method, files=True)
    balancer = director(net)
    balancer.rules(*rules(method))
    target = net.scratch / "got"
    url = f"http://{basic.VIP[4]}/files/large"
    transfer = download(net, "client1", url, target, "--limit-rate", "4M")
    wait_for(lambda: target.exists() and target.stat().st_size > 3_000_000)
    balancer.crash()
    wait_for(lambda: is_used_without_director(net, target))
    balancer.start()
    assert transfer.wait(60) == 0, transfer.stderr()
    assert file_digest(target) == digest
    assert counters(net, "director", "TcpOutRsts")["TcpOutRsts"] == 0
    assert "10.1.0.11" in balancer.ipvsadm("-Lnc")


def is_used_without_director(net: Net, target: Path) -> bool:
    """Say whether frames of a transfer have reached a host that has no director running."""
    size = target.stat().st_size
    return size > 6_000_000 or any(
        counters(net, host, "TcpRetransSegs")["TcpRetransSegs"]
        for host in ("client1", *basic.REAL_SERVERS)
    )


def test_two_directors_of_one_namespace_are_refused_in_one_sentence(
    network: Networks, director: Directors
) -> None:
    net = network(basic.topology("nat"))
    first = director(net)
    done = net.run("director", director_words(first), check=False, environment=first.environment)
    assert done.returncode != 0
    assert one_sentence(done.stderr)
    assert "runs already" in done.stderr


def director_words(balancer: Director) -> list[str]:
    return [balancer.process.argv[4], "-m", "lbfast", "run"]


def one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text
