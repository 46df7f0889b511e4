"""lbfast's VRRP alone: addresses, lost and found, restarts, lateness."""

from __future__ import annotations

import itertools
import json
import os
import signal
from dataclasses import replace

import pytest

from lbfast.model.netlines import Prefix, Route, Rule
from lbfast.model.vrrp import Fifo, Garp, VrrpConfig, VrrpGlobals, VrrpInstance
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.conftest import Networks
from tests.e2e.vrrplab import (
    EXPRESSION,
    VIP4,
    Router,
    adverts,
    announced,
    mac_of,
    packed,
    segment,
    unicast,
    v3,
    virtual,
    wait_masters,
)

MORE = "10.9.0.101"


def pair(
    net: Net, high: VrrpInstance | None = None, low: VrrpInstance | None = None
) -> tuple[Router, Router]:
    """Return va with priority 150 leading and vb with 100 behind it."""
    first = Router(net, "va", "lbfast", high or v3(150)).start()
    wait_masters([first], VIP4, "va")
    return first, Router(net, "vb", "lbfast", low or v3(100)).start()


def ip(net: Net, host: str, words: str) -> str:
    return net.run(host, ["ip", *words.split()]).stdout


def wait_states(router: Router, *states: str) -> None:
    wait_for(lambda: router.states()[-len(states) :] == list(states), 20, f"states {states}")


@pytest.mark.covers("VRP-26")
def test_stolen_address_comes_back_after_one_skew(network: Networks) -> None:
    net = segment(network)
    high, _ = pair(net)
    mac = mac_of(net, "va")
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        ip(net, "va", f"addr del {VIP4}/24 dev eth0")
        wait_states(high, "MASTER", "BACKUP", "MASTER")
        wait_for(lambda: high.holds(VIP4), 5)
    sent = adverts(capture, mac)
    at = next(n for n, one in enumerate(sent) if one.priority == 0)
    assert 0.04 < sent[at + 1].at - sent[at].at < 0.2  # (256 - 150) / 256 * 0.1 s
    assert len(announced(capture, mac)) == 5


@pytest.mark.covers("VRP-25", "IOP-13")
def test_link_down_is_fault_and_up_again_is_backup(network: Networks) -> None:
    net = segment(network)
    high, low = pair(net)
    ip(net, "va", "link set eth0 down")
    wait_states(high, "FAULT")
    wait_masters([high, low], VIP4, "vb")
    ip(net, "va", "link set eth0 up")
    wait_states(high, "FAULT", "BACKUP", "MASTER")
    wait_masters([high, low], VIP4, "va")


@pytest.mark.covers("VRP-53")
def test_interface_that_appears_later_ends_the_fault(network: Networks) -> None:
    net = segment(network)
    ip(net, "va", "link set eth0 down")
    ip(net, "va", "link set eth0 name later")
    router = Router(net, "va", "lbfast", v3(150)).start()
    wait_states(router, "FAULT")
    ip(net, "va", "link set later name eth0")
    ip(net, "va", "link set eth0 up")
    wait_states(router, "FAULT", "BACKUP", "MASTER")
    assert router.holds(VIP4)


@pytest.mark.covers("SIG-02")
def test_restart_after_kill_removes_what_was_left(network: Networks) -> None:
    net = segment(network)
    high, low = pair(net)
    high.crash()
    wait_masters([high, low], VIP4, "va", "vb")
    low.stop()
    high.configure(replace(v3(150), nopreempt=True))
    high.start()
    assert not high.holds(VIP4)


def test_process_in_place_of_a_killed_master_goes_on(network: Networks) -> None:
    net = segment(network)
    slow = v3(150, advert_us=1_000_000)
    high, low = pair(net, slow, replace(slow, priority=100))
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        high.crash()
        assert high.holds(VIP4)
        high.start("VI_1")
        assert high.states() == ["MASTER"]
        wait_for(lambda: len(high.log()) > 0)
    assert low.states() == ["BACKUP"]
    assert {one.mac for one in adverts(capture)} == {mac_of(net, "va")}


@pytest.mark.covers("SIG-03", "IOP-15")
def test_reload_changes_addresses_without_farewell(network: Networks) -> None:
    net = segment(network)
    high, low = pair(net)
    wider = replace(v3(150), addresses=virtual(f"{MORE}/24", "10.9.0.102/24"))
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        high.configure(wider)
        high.reload()
        wait_for(lambda: high.holds(MORE) and not high.holds(VIP4), 10)
        wait_for(lambda: len(low.log().split("other addresses")) > 1, 10)
    assert high.states() == ["BACKUP", "MASTER"]
    assert low.states() == ["BACKUP"]
    assert all(one.priority for one in adverts(capture))


def test_reload_of_a_former_master_places_nothing(network: Networks) -> None:
    net = segment(network)
    former = Router(net, "vb", "lbfast", v3(100)).start()
    wait_masters([former], VIP4, "vb")
    master = Router(net, "va", "lbfast", v3(150)).start()
    wait_masters([master, former], VIP4, "va")
    former.configure(replace(v3(100), addresses=virtual(f"{VIP4}/24", f"{MORE}/24")))
    former.reload()
    wait_for(lambda: "other addresses" in former.log(), 10, "the new list of addresses")
    assert not former.holds(VIP4)
    assert not former.holds(MORE)
    assert former.states() == ["BACKUP", "MASTER", "BACKUP"]


def test_reload_may_remove_an_instance_and_add_another(network: Networks) -> None:
    net = segment(network)
    router = Router(net, "va", "lbfast", v3(150)).start()
    wait_masters([router], VIP4, "va")
    other = replace(v3(100), name="VI_2", vrid=52, addresses=virtual(f"{MORE}/24"))
    router.configure(other)
    router.reload()
    wait_for(lambda: router.holds(MORE), 10)
    assert not router.holds(VIP4)
    assert router.states() == ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"]


@pytest.mark.parametrize("are_lost", [False, True], ids=["adverts wait", "adverts are lost"])
def test_stopped_backup_does_not_lead_when_it_wakes_up(are_lost: bool, network: Networks) -> None:
    net = segment(network)
    _, low = pair(net)
    assert low.process is not None
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_states(low, "BACKUP")
        states = low.states()  # while the segment is set up it may have led before
        low.process.signal(signal.SIGSTOP)
        if are_lost:
            drop = "table ip lost { chain c { type filter hook input priority 0; drop; }; }"
            net.run("vb", ["nft", "-f", "-"], stdin=drop)
        before = _sent(net)
        wait_for(lambda: _sent(net) > before + 12, 10, "a second of adverts")
        if are_lost:
            net.run("vb", ["nft", "delete table ip lost"])
        low.process.signal(signal.SIGCONT)
        after = _sent(net)
        wait_for(lambda: _sent(net) > after + 5, 10, "half a second more")
    assert low.states() == states
    assert states[-1] == "BACKUP"
    assert {one.mac for one in adverts(capture)} == {mac_of(net, "va")}


def _sent(net: Net) -> int:
    """Return the packets that va has sent."""
    path = "/sys/class/net/eth0/statistics/tx_packets"
    return int(net.run("va", ["cat", path]).stdout)


@pytest.mark.covers("CFG-23", "CFG-24")
def test_routes_and_rules_come_and_go_with_the_master(network: Networks) -> None:
    net = segment(network)
    route = Route(
        dst=Prefix(packed("10.77.0.0"), 24), via=packed("10.9.0.9"), device="eth0", metric=7,
        src=packed(VIP4), metrics=(("mtu", 1400),),
    )  # fmt: skip
    hole = Route(type="blackhole", dst=Prefix(packed("10.78.0.0"), 24), table=77)
    rule = Rule(priority=99, from_=Prefix(packed("10.9.0.0"), 24), table=77)
    instance = replace(v3(150), routes=(route, hole), rules=(rule,))
    router = Router(net, "va", "lbfast", instance).start()
    wait_for(lambda: "10.77.0.0/24" in ip(net, "va", "route"), 10)
    line = next(line for line in ip(net, "va", "route").splitlines() if "10.77" in line)
    assert " ".join(line.split()) == (
        "10.77.0.0/24 via 10.9.0.9 dev eth0 proto keepalived src 10.9.0.100 metric 7 mtu 1400"
    )
    assert "blackhole 10.78.0.0/24" in ip(net, "va", "route show table 77")
    assert "from 10.9.0.0/24 lookup 77" in ip(net, "va", "rule")
    router.stop()
    assert "10.77" not in ip(net, "va", "route")
    assert "lookup 77" not in ip(net, "va", "rule")


@pytest.mark.covers("VRP-43", "IOP-12")
def test_unicast_reaches_the_peer_and_no_group(network: Networks) -> None:
    net = segment(network)
    high, low = pair(net, unicast(v3(150), "va"), unicast(v3(100), "vb"))
    assert low.states() == ["BACKUP"]
    with Capture(net, "vb", "eth0", EXPRESSION) as capture:
        high.stop()
        wait_masters([high, low], VIP4, "vb")
    sent = adverts(capture)
    assert {bytes(one.packet)[30:34] for one in sent} == {packed("10.9.0.1"), packed("10.9.0.2")}
    assert [one.priority for one in sent if one.mac == mac_of(net, "va")][-1] == 0


@pytest.mark.covers("VRP-22")
def test_garp_interval_keeps_its_gap_and_sends_all(network: Networks) -> None:
    net = segment(network)
    garp = Garp(master_delay_us=0, master_repeat=3)
    instance = replace(v3(150), garp=garp, addresses=virtual(f"{VIP4}/24", f"{MORE}/24"))
    config = VrrpConfig((instance,), settings=VrrpGlobals(garp_interval_us=50_000))
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        Router(net, "va", "lbfast", config).start()
        wait_for(lambda: _arps(net) >= 6, 10, "six gratuitous ARPs")
    found = announced(capture, mac_of(net, "va"))
    assert [address for _, address in found] == [VIP4, MORE] * 3
    times = [at for at, _ in found]
    assert all(0.045 < b - a < 0.2 for a, b in itertools.pairwise(times))


def _arps(net: Net) -> int:
    """Return the gratuitous ARPs for both addresses that the first capture has by now."""
    captured = (net.scratch / "vo-eth0-0.pcap").read_bytes()
    return sum(captured.count(b"\xff" * 6 + packed(address)) for address in (VIP4, MORE))


@pytest.mark.covers("VRP-37", "SIG-09")
def test_fifo_and_dumps_tell_states(network: Networks) -> None:
    net = segment(network)
    fifo = net.scratch / "events"
    config = VrrpConfig((v3(150),), settings=VrrpGlobals(fifos=(Fifo(str(fifo)),)))
    router = Router(net, "va", "lbfast", config).start()
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    wait_masters([router], VIP4, "va")
    Router(net, "vb", "lbfast", v3(100)).start()
    wait_states(router, "MASTER")
    assert os.read(reader, 4096).decode().splitlines() == [
        'INSTANCE "VI_1" BACKUP 150', 'INSTANCE "VI_1" MASTER 150'
    ]  # fmt: skip
    os.close(reader)
    assert router.process is not None
    router.process.signal(signal.SIGUSR1)
    text = router.path.with_suffix(".text")
    wait_for(text.exists, 10)
    assert "   State = MASTER\n" in text.read_text()
    assert f"     {VIP4}/24 dev eth0 scope global set\n" in text.read_text()
    (dumped,) = json.loads(router.path.with_suffix(".json").read_text())
    assert (dumped["data"]["state"], dumped["data"]["effective_priority"]) == (2, 150)
    assert dumped["stats"]["advert_sent"] > 0
    assert "  Became master: 1\n" in router.path.with_suffix(".stats").read_text()
