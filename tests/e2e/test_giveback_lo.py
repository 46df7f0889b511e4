"""Frames go back to the host by way of `lo`, and by the next way while `lo` cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from lbfast.control.giveback import WAYS, GiveBack, Way
from netns import basic
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.capture import Capture
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.test_giveback import BY_BPF, EVERY, everything_taken, pinged
from tests.e2e.transfers import assert_no_checksum_errors, assert_whole_both_ways, balance
from tests.e2e.worldlib import Lab, entered, ip, lab, run

pytestmark = pytest.mark.net_admin

SIZE = 8_000_000
BEYOND = (1 << 20) + 7  # an ifindex that the mark cannot hold


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@contextlib.contextmanager
def made(
    net: Lab, *names: str, ways: tuple[Way, ...] = WAYS, name: str = "main"
) -> Iterator[GiveBack]:
    with entered(net.director):
        giveback = GiveBack(net.interfaces(*names), ways, name)
        try:
            yield giveback
        finally:
            giveback.close()


def filters(net: Lab, device: str) -> str:
    return run(net.director, "tc", "filter", "show", "dev", device, "egress")


def test_no_program_is_at_the_egress_of_interfaces(net: Lab) -> None:
    with made(net, ways=("lo-clsact",)) as giveback:
        assert giveback.describe() == {"eth0": "lo-clsact", "eth1": "lo-clsact"}
        assert "lbfast" in filters(net, "lo")
        assert filters(net, "eth0") == filters(net, "eth1") == ""


def test_first_way_is_lo(net: Lab) -> None:
    with made(net) as giveback:
        assert set(giveback.describe().values()) == {"lo-tcx"}
        assert giveback.obstacles() == []


def test_lo_that_is_down_gives_way_to_the_interface(net: Lab) -> None:
    ip(net.director, "link set lo down")
    with made(net) as giveback:
        assert set(giveback.describe().values()) == {"tcx"}
        assert giveback.obstacles() == [
            f"eth0, eth1: giving back by {way} failed (Network is down), using tcx"
            for way in ("lo-tcx", "lo-clsact")
        ]


def test_interface_that_is_down_is_taken_at_its_word(net: Lab) -> None:
    ip(net.director, "link set eth1 down")
    with made(net, "eth1") as giveback:
        assert giveback.describe() == {"eth1": "lo-tcx"}
    ip(net.director, "link set lo down")
    with made(net, "eth1") as giveback:
        assert giveback.describe() == {"eth1": "tcx"}


def test_filter_of_somebody_else_on_lo_gives_way_to_the_interface(net: Lab) -> None:
    run(net.director, "tc", "qdisc", "add", "dev", "lo", "clsact")
    run(
        net.director, "tc", "filter", "add", "dev", "lo", "egress", "pref", "1", "u32",
        "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "eth1",
    )  # fmt: skip
    with made(net, ways=("lo-clsact", "clsact")) as giveback:
        assert set(giveback.describe().values()) == {"clsact"}
        (sentence,) = giveback.obstacles()
        assert sentence.startswith("eth0, eth1: giving back by lo-clsact failed")
        assert "lbfast" not in filters(net, "lo")


def test_ifindex_beyond_the_mark_gives_way_to_the_interface(net: Lab) -> None:
    ip(net.director, f"link add far index {BEYOND} type veth peer name near")
    ip(net.director, "link set near up", "link set far up")
    with made(net, "far") as giveback:
        assert giveback.describe() == {"far": "tcx"}
        assert f"(ifindex {BEYOND} does not fit the mark)" in giveback.obstacles()[0]


@pytest.mark.parametrize("way", ["lo-tcx", "lo-clsact"])
def test_directors_share_lo(net: Lab, way: Way) -> None:
    with made(net, "eth1", ways=(way,), name="second"):
        with everything_taken(net, way, "eth0"):
            assert pinged(net)
        with made(net, "eth0", ways=(way,), name="first") as first:
            assert first.describe() == {"eth0": way}
        assert ("lbfast" in filters(net, "lo")) == (way == "lo-clsact")
    assert "clsact" not in run(net.director, "tc", "qdisc", "show")


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("address", ["10.1.0.1", "fd01::1", "10.2.0.2", "fd02::2"])
def test_frames_of_9000_bytes_come_back(net: Lab, way: Way, address: str) -> None:
    for host, names in (
        (net.client, ["eth0"]),
        (net.director, ["eth0", "eth1"]),
        (net.server, ["eth0"]),
    ):
        ip(host, *(f"link set {name} mtu 9000" for name in names))
    header = 48 if ":" in address else 28
    with everything_taken(net, way) as loop:
        words = ("-c1", "-W2", f"-s{9000 - header}", "-Mdo", address)
        assert "1 received" in run(net.client, "ping", *words, ok=False)
        assert loop.frames > 0


@pytest.mark.parametrize("way", BY_BPF)
def test_frame_is_not_seen_on_lo(net: Lab, way: Way) -> None:
    """A rule or a listener on lo has nothing to do with what is given back."""
    before = received_on_lo(net)
    with everything_taken(net, way) as loop:
        assert pinged(net)
        assert loop.pings
    assert received_on_lo(net) == before


def received_on_lo(net: Lab) -> int:
    return int(run(net.director, "cat", "/sys/class/net/lo/statistics/rx_packets"))


# ---------------------------------------------------------------- a running director


def local_service(network: Networks) -> Net:
    """A network whose director is the real server of its own service, by direct routing: each
    request is taken and given back."""
    net = network(basic.topology("nat"))
    start_web(net, "director")
    return net


RULES = (
    f"-A -t {basic.VIP[4]}:80 -s rr",
    f"-a -t {basic.VIP[4]}:80 -r {basic.VIP[4]}:80 -g",
)


def set_lo(net: Net, state: str, process: Process) -> None:
    """Set lo down or up and wait until the director has followed."""
    said = f"lo is {state}: frames are given back by {'lo-tcx' if state == 'up' else 'tcx'}"
    before = process.stderr().count(said)
    net.run("director", ["ip", "link", "set", "lo", state])
    wait_for(lambda: process.stderr().count(said) > before, what=said)


def answers(net: Net) -> bool:
    return [a.host for a in fetch(net, "client1", basic.VIP[4], 3)] == ["director"] * 3


def given_back(net: Net) -> int:
    """Return how many frames the steering rules have seen come back."""
    words = net.run("director", ["nft", "list", "counters"]).stdout.split()
    return int(words[words.index("given_back") + 3])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_lo_is_followed_down_and_up(workers: str, network: Networks, director: Directors) -> None:
    net = local_service(network)
    balancer = director(net, "director", "--workers", workers)
    balancer.rules(*RULES)
    for state in ("down", "up", "down", "up"):
        before = given_back(net)
        assert answers(net)
        assert given_back(net) > before, "this proved nothing"
        set_lo(net, state, balancer.process)
    assert answers(net)


def test_lo_may_be_down_at_the_start(network: Networks, director: Directors) -> None:
    net = local_service(network)
    net.run("director", ["ip", "link", "set", "lo", "down"])
    balancer = director(net)
    balancer.process.wait_for_line("giving back by lo-tcx failed (Network is down), using tcx")
    balancer.rules(*RULES)
    assert answers(net)
    set_lo(net, "up", balancer.process)
    assert answers(net)


@pytest.mark.parametrize("state", ["down", "up"])
@pytest.mark.parametrize("family", [4, 6])
def test_super_frames_are_tunnelled_whole(
    family: int, state: str, network: Networks, director: Directors
) -> None:
    net = network(basic.topology("tun"))
    webs = balance(net, balancer := director(net), "tun", family)
    set_lo(net, "down", balancer.process)
    if state == "up":
        set_lo(net, "up", balancer.process)
    mac = net.run("director", ["cat", "/sys/class/net/eth0/address"]).stdout.strip()
    wrapped = f"( ip proto 4 or ip6 proto 41 ) and greater 4000 and ether src {mac}"
    with Capture(net, "director", "eth0", wrapped, 96) as capture:
        assert_whole_both_ways(net, webs, family, SIZE)
    assert len(capture.packets) > 10
    assert_no_checksum_errors(net)
