"""The whole matrix of lbfast beside keepalived on one VRID (spec 6.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbfast.model import AF_INET6
from lbfast.model.vrrp import AuthType, Vmac, VmacKind, VrrpInstance
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
    spacing,
    unicast,
    v2,
    v3,
    virtual,
    wait_masters,
)
from tests.e2e.vrrpturns import take_turns

SECRET = b"secret12"
KINDS = ("keepalived", "lbfast")
BOTH_WAYS = [KINDS, KINDS[::-1]]
INSTANCES = {
    "v2 without password": v2(100),
    "v2 with PASS": v2(100, auth_type=AuthType.PASS, auth_pass=SECRET),
    "v2 with AH": v2(100, auth_type=AuthType.AH, auth_pass=SECRET),
    "v2 unicast": unicast(v2(100), "va"),
    "v2 AH unicast": unicast(v2(100, auth_type=AuthType.AH, auth_pass=SECRET), "va"),
    "v3 unicast": unicast(v3(100), "va"),
    "v3 100 ms": v3(100),
    "v3 IPv6 100 ms": v3(100, AF_INET6),
    "v3 one second": v3(100, advert_us=1_000_000),
    "v3 IPv6 one second": v3(100, AF_INET6, 1_000_000),
    "v3 50 ms": v3(100, advert_us=50_000),
}


@pytest.mark.covers("IOP-01", "IOP-02", "IOP-03", "IOP-04", "IOP-12", "VRP-04", "VRP-06", "VRP-07")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
@pytest.mark.parametrize("instance", INSTANCES.values(), ids=INSTANCES)
def test_routers_take_turns(
    instance: VrrpInstance, first: str, second: str, network: Networks
) -> None:
    take_turns(segment(network), instance, first, second)


def both(net: Net, a: VrrpInstance, b: VrrpInstance, first: str, second: str) -> list[Router]:
    """Start both routers."""
    return [Router(net, "va", first, a).start(), Router(net, "vb", second, b).start()]


@pytest.mark.covers("IOP-05", "IOP-06")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
def test_lower_advert_is_answered_and_the_master_announces(
    first: str, second: str, network: Networks
) -> None:
    net = segment(network)
    high = Router(net, "va", first, v3(150)).start()
    wait_masters([high], VIP4, "va")
    # deaf until it leads: its advert meets a master
    net.run("vb", ["nft", "add table ip deaf"])
    chain = "add chain ip deaf c { type filter hook input priority 0; policy drop; }"
    net.run("vb", ["nft", chain])
    low = Router(net, "vb", second, v3(100)).start()
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_masters([high, low], VIP4, "va", "vb")
        net.run("vb", ["nft", "delete table ip deaf"])
        wait_masters([high, low], VIP4, "va")
    a, b = mac_of(net, "va"), mac_of(net, "vb")
    sent = adverts(capture)
    theirs = next(one for one in sent if one.mac == b)
    answer = next(one for one in sent if one.mac == a and one.at > theirs.at)
    assert answer.at - theirs.at < 0.05
    assert len([at for at, _ in announced(capture, a) if at > theirs.at]) >= 5
    assert [one for one in sent if one.mac == b][-1].at < sent[-1].at


@pytest.mark.covers("IOP-07")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
def test_equal_priorities_the_higher_address_leads_when_both_start_at_once(
    first: str, second: str, network: Networks
) -> None:
    net = segment(network)
    routers = [
        Router(net, "va", first, v3(100)).start(),
        Router(net, "vb", second, v3(100)).start(),
    ]
    cut = "table ip deaf { chain c { type filter hook input priority 0; policy drop; }; }"
    for host in ("va", "vb"):
        net.run(host, ["nft", "-f", "-"], stdin=cut)
    wait_masters(routers, VIP4, "va", "vb")
    for host in ("va", "vb"):
        net.run(host, ["nft", "delete table ip deaf"])
    wait_masters(routers, VIP4, "vb")


APART = {
    "other password": (
        v2(150, auth_type=AuthType.PASS, auth_pass=SECRET),
        v2(100, auth_type=AuthType.PASS, auth_pass=b"other")),
    "password and none": (v2(150, auth_type=AuthType.PASS, auth_pass=SECRET), v2(100)),
    "version 2 and 3": (v2(150), v3(100)),
    "one second and two": (v2(150), v2(100, advert_us=2_000_000)),
}  # fmt: skip


@pytest.mark.covers("IOP-08", "IOP-10", "VRP-12", "VRP-13")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
@pytest.mark.parametrize(("a", "b"), APART.values(), ids=APART)
def test_routers_that_do_not_believe_each_other_both_lead(
    a: VrrpInstance, b: VrrpInstance, first: str, second: str, network: Networks
) -> None:
    net = segment(network)
    wait_masters(both(net, a, b, first, second), VIP4, "va", "vb")


@pytest.mark.covers("IOP-09", "VRP-14")
def test_other_address_list_is_accepted_by_us_and_said(network: Networks) -> None:
    net = segment(network)
    other = replace(v3(150), addresses=virtual("10.9.0.111/24"))
    routers = both(net, other, v3(100), "keepalived", "lbfast")
    wait_for(lambda: "other addresses than ours: 10.9.0.111" in routers[1].log(), 20)
    wait_masters(routers[:1], "10.9.0.111", "va")
    assert not routers[1].holds(VIP4)


@pytest.mark.covers("IOP-11", "VRP-11")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
def test_backup_adopts_the_masters_interval(first: str, second: str, network: Networks) -> None:
    net = segment(network)
    high = Router(net, "va", first, v3(150, advert_us=200_000)).start()
    wait_masters([high], VIP4, "va")
    low = Router(net, "vb", second, v3(100, advert_us=1_000_000)).start()
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_for(lambda: capture.path.stat().st_size > 1000, 20)
        high.crash()
        wait_masters([high, low], VIP4, "va", "vb")
    sent = adverts(capture)
    last = [one for one in sent if one.mac == mac_of(net, "va")][-1]
    taken = next(one for one in sent if one.mac == mac_of(net, "vb"))
    assert abs(taken.at - last.at - (0.6 + 156 / 256 * 0.2)) < 0.1


@pytest.mark.covers("VRP-39", "IOP-14")
@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=lambda kind: kind)
def test_virtual_mac_is_the_same_on_both(first: str, second: str, network: Networks) -> None:
    net = segment(network)
    instance = replace(v3(150), vmac=Vmac(VmacKind.MACVLAN))
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        high, low = both(net, instance, replace(instance, priority=100), first, second)
        wait_masters([high, low], VIP4, "va")
        high.stop()
        wait_masters([high, low], VIP4, "vb")
    assert {one.mac for one in adverts(capture)} == {"00:00:5e:00:01:33"}


@pytest.mark.parametrize("kind", KINDS)
def test_adverts_keep_their_time(kind: str, network: Networks) -> None:
    net = segment(network)
    router = Router(net, "va", kind, v3(150, advert_us=10_000)).start()
    wait_masters([router], VIP4, "va")
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        wait_for(lambda: capture.path.stat().st_size > 12_000, 20)
    sent = [one for one in adverts(capture) if one.mac == mac_of(net, "va")]
    assert abs(spacing(sent) - 0.01) < 0.001
    assert all(bytes(one.packet)[26:30] == packed("10.9.0.1") for one in sent)
