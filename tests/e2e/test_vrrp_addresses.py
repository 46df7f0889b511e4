"""Addresses in the kernel as the configuration words them, sources, and several instances."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lbfast.model import AF_INET6
from lbfast.model.netlines import FOREVER, Address, Prefix
from lbfast.model.vrrp import (
    Notify,
    SyncGroup,
    TrackGroup,
    VrrpConfig,
    VrrpGlobals,
    VrrpInstance,
)
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.conftest import Networks
from tests.e2e.test_vrrp_host import script
from tests.e2e.vrrplab import (
    EXPRESSION,
    VIP4,
    VIP6,
    Router,
    adverts,
    message_of,
    packed,
    segment,
    v3,
    virtual,
    wait_masters,
)

MORE = "10.9.0.101"
OWN = "10.9.0.55"


def shown(net: Net, address: str) -> dict[str, Any]:
    """Return what ip(8) knows of an address of va."""
    listed = json.loads(net.run("va", ["ip", "-j", "-d", "addr"]).stdout)
    return next(
        info for one in listed for info in one["addr_info"] if info.get("local") == address
    )


def led(net: Net, instance: VrrpInstance, vip: str = VIP4) -> Router:
    router = Router(net, "va", "lbfast", instance).start()
    wait_masters([router], vip, "va")
    return router


@pytest.mark.covers("CFG-21")
def test_address_words_reach_the_kernel(network: Networks) -> None:
    net = segment(network)
    plain = Address(packed(VIP4), 25, broadcast=packed("10.9.0.127"), label="eth0:v", scope=253)
    pointed = Address(packed(MORE), 32, peer=Prefix(packed("10.50.0.1"), 32))
    router = led(net, replace(v3(150), addresses=(plain, pointed)))
    found = shown(net, VIP4)
    words = ("prefixlen", "broadcast", "label", "scope")
    assert [found[word] for word in words] == [25, "10.9.0.127", "eth0:v", "link"]
    assert shown(net, MORE)["address"] == "10.50.0.1"
    router.stop()
    assert not router.holds(VIP4)
    assert not router.holds(MORE)


@pytest.mark.covers("CFG-20", "CFG-22")
def test_ipv6_host_address_is_deprecated_and_not_tentative(network: Networks) -> None:
    net = segment(network)
    net.run("va", ["sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1"])
    host, other = Address(packed(VIP6), 128), Address(packed("2001:db8:9::101"), 128)
    kept = replace(other, preferred_lft_s=FOREVER)
    instance = replace(v3(150, AF_INET6), addresses=(*virtual("fe80::100/64"), host, kept))
    led(net, instance, VIP6)
    found = shown(net, VIP6)
    assert found["preferred_life_time"] == 0
    assert found.get("nodad") is True
    assert "tentative" not in found
    assert shown(net, "2001:db8:9::101")["preferred_life_time"] == FOREVER


@pytest.mark.covers("VRP-46")
def test_excluded_addresses_are_placed_and_not_advertised(network: Networks) -> None:
    net = segment(network)
    excluded = virtual(f"{MORE}/24", f"{VIP6}/64")
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        router = led(net, replace(v3(150), excluded=excluded))
        assert router.holds(MORE)
        assert router.holds(VIP6)
        wait_for(lambda: capture.path.stat().st_size > 600, 10)
    messages = [message_of(one.packet) for one in adverts(capture)]
    assert {(message[3], message[8:]) for message in messages} == {(1, packed(VIP4))}


@pytest.mark.covers("VRP-44")
def test_source_is_the_one_that_is_asked_for_and_tracked(network: Networks) -> None:
    net = segment(network)
    instance = replace(v3(150), source=packed(OWN), track_src_ip=True)
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        router = Router(net, "va", "lbfast", instance).start()
        wait_for(lambda: router.states() == ["FAULT"], 10)
        net.run("va", ["ip", "addr", "add", f"{OWN}/24", "dev", "eth0"])
        wait_masters([router], VIP4, "va")
        net.run("va", ["ip", "addr", "del", f"{OWN}/24", "dev", "eth0"])
        wait_for(lambda: router.states()[-1] == "FAULT", 10)
    assert {bytes(one.packet)[26:30] for one in adverts(capture)} == {packed(OWN)}


@pytest.mark.covers("VRP-48", "VRP-36")
def test_instances_share_interfaces_and_vrids_and_a_group(network: Networks) -> None:
    net = segment(network)
    for words in ("link add eth1 type veth peer eth1p", "link set eth1p up", "link set eth1 up",
                  "addr add 10.8.0.1/24 dev eth1"):  # fmt: skip
        net.run("va", ["ip", *words.split()])
    log = net.scratch / "log"
    log.touch()
    note = script(net.scratch / "note", f'echo "$*" >>{log}')
    first = v3(150)
    config = VrrpConfig(
        (
            first,
            replace(first, name="VI_2", vrid=52, addresses=virtual(f"{MORE}/24")),
            replace(first, name="VI_3", interface="eth1", addresses=virtual("10.8.0.100/24")),
        ),
        (SyncGroup("G", ("VI_1", "VI_2", "VI_3"), Notify(any=note)),),
    )
    router = Router(net, "va", "lbfast", config).start()
    for address in (VIP4, MORE, "10.8.0.100"):
        wait_masters([router], address, "va")
    wait_for(lambda: "GROUP G MASTER 0" in log.read_text(), 10)
    net.run("va", ["ip", "link", "set", "eth1", "down"])
    wait_masters([router], VIP4)
    wait_for(lambda: "GROUP G FAULT 0" in log.read_text(), 10)
    assert router.log().count("Entering FAULT STATE") == 3
    assert log.read_text().splitlines() == [
        "GROUP G BACKUP 0", "GROUP G MASTER 0", "GROUP G FAULT 0"
    ]  # fmt: skip


@pytest.mark.covers("VRP-51")
def test_startup_delay_holds_instances_back(network: Networks) -> None:
    net = segment(network)
    settings = VrrpGlobals(startup_delay_us=1_500_000)
    config = VrrpConfig((v3(150),), settings=settings)
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        router = Router(net, "va", "lbfast", config).start()
        assert router.states() == []
        wait_masters([router], VIP4, "va")
    begun = next(line for line in router.log().splitlines() if "instances start in" in line)
    entered = next(line for line in router.log().splitlines() if "BACKUP STATE" in line)
    assert 1.4 < seconds(entered) - seconds(begun) < 2.5
    assert adverts(capture)


def seconds(line: str) -> float:
    """Return the time of day of a log line."""
    hours, minutes, rest = line.split()[1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


def test_static_address_that_cannot_be_put_back_fails_its_group(network: Networks) -> None:
    net = segment(network)
    static = replace(virtual("2001:db8:77::1/64")[0], track_group="T")
    config = VrrpConfig(
        (v3(150),), static_addresses=(static,), track_groups=(TrackGroup("T", ("VI_1",)),)
    )
    router = Router(net, "va", "lbfast", config).start()
    wait_masters([router], VIP4, "va")
    net.run("va", ["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1"])
    wait_for(lambda: router.states()[-1] == "FAULT", 10)
    net.run("va", ["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0"])
    net.run("va", ["ip", "addr", "add", "2001:db8:77::1/64", "dev", "eth0"])
    wait_for(lambda: router.states()[-1] == "MASTER", 10)
