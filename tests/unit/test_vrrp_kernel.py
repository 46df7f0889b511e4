"""Requests to the kernel as bytes, read back by pyroute2; and the words for nftables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from lbfast import rtnl
from lbfast.model import AF_INET6
from lbfast.model.netlines import NextHop, Prefix, Route, Rule
from lbfast.model.vrrp import Vmac, VmacKind
from lbfast.vrrp.firewall import commands
from lbfast.vrrp.kernel import Request
from lbfast.vrrp.routes import add_route, add_rule, default_scope, remove_route
from lbfast.vrrp.vmac import bases_of, create_request, virtual_mac, vmac_name
from tests.vrrp_lab import V2

INDEX = {"eth0": 2, "eth1": 3}
GATEWAY, NET = bytes((10, 0, 0, 1)), Prefix(bytes((10, 1, 0, 0)), 16)
NEXT6 = bytes.fromhex("fe800000000000000000000000000001")


def decoded(kind: Any, request: Request) -> Any:
    message = kind(rtnl.message(request.kind, request.flags, request.payload))
    message.decode()
    return message


def attrs(message: Any) -> dict[str, Any]:
    return dict(message["attrs"])


def test_route_has_every_word() -> None:
    route = Route(
        dst=NET, via=GATEWAY, device="eth0", src=bytes((10, 0, 0, 9)), table=300, metric=7,
        tos=8, onlink=True, metrics=(("mtu", 1400), ("rtt", 10), ("realms", 5)),
        from_=Prefix(bytes((10, 2, 0, 0)), 24),
    )  # fmt: skip
    message = decoded(rtmsg, add_route(route, INDEX.__getitem__))
    assert (message["dst_len"], message["src_len"], message["tos"]) == (16, 24, 8)
    assert (message["table"], message["proto"], message["flags"]) == (0, 18, 4)
    found = attrs(message)
    assert found["RTA_TABLE"] == 300
    assert (found["RTA_DST"], found["RTA_GATEWAY"]) == ("10.1.0.0", "10.0.0.1")
    assert (found["RTA_OIF"], found["RTA_PRIORITY"], found["RTA_FLOW"]) == (2, 7, 5)
    assert dict(found["RTA_METRICS"]["attrs"]) == {"RTAX_MTU": 1400, "RTAX_RTT": 80}


def test_route_over_several_hops_and_to_a_gateway_of_the_other_family() -> None:
    hops = (NextHop(GATEWAY, "eth0", 3), NextHop(device="eth1"))
    found = attrs(decoded(rtmsg, add_route(Route(dst=NET, nexthops=hops), INDEX.__getitem__)))
    first, second = found["RTA_MULTIPATH"]
    assert (first["oif"], first["hops"], dict(first["attrs"])) == (
        2, 2, {"RTA_GATEWAY": "10.0.0.1"}
    )  # fmt: skip
    assert (second["oif"], second["hops"]) == (3, 0)
    mixed = Route(dst=NET, via=NEXT6, device="eth0")
    via = attrs(decoded(rtmsg, add_route(mixed, INDEX.__getitem__)))["RTA_VIA"]
    assert via == {"family": AF_INET6, "addr": "fe80::1"}


@pytest.mark.parametrize(
    ("mode", "flags"), [("add", 0x600), ("prepend", 0x400), ("append", 0xC00)]
)
def test_route_modes_are_flags(mode: str, flags: int) -> None:
    assert add_route(Route(mode=mode), INDEX.__getitem__).flags == flags


@pytest.mark.parametrize(
    ("route", "scope"),
    [
        (Route(dst=NET, via=GATEWAY), 0),
        (Route(dst=NET, device="eth0"), 253),
        (Route(dst=NET, nexthops=(NextHop(GATEWAY),)), 0),
        (Route(type="blackhole", dst=NET), 0),
        (Route(type="local", dst=NET), 254),
        (Route(dst=NET, device="eth0", scope=200), 200),
        (Route(family=AF_INET6, device="eth0"), 0),
    ],
)
def test_route_scope_is_that_of_ip(route: Route, scope: int) -> None:
    assert default_scope(route) == scope


def test_route_is_removed_by_the_same_words() -> None:
    route = Route(dst=NET, via=GATEWAY, metric=7)
    make, unmake = add_route(route, INDEX.get), remove_route(route, INDEX.get)  # type: ignore[arg-type]
    assert (make.payload, make.kind, unmake.kind) == (unmake.payload, 24, 25)


def test_rule_has_every_word() -> None:
    rule = Rule(
        priority=99, invert=True, from_=NET, to=Prefix(GATEWAY, 32), table=500, fwmark=1,
        fwmask=255, iif="eth0", oif="eth1", suppress_prefixlength=0, uid_range=(1, 2),
        ip_proto=6, sport=(1, 2), dport=(80, 90),
    )  # fmt: skip
    message = decoded(fibmsg, add_rule(rule))
    assert (message["src_len"], message["dst_len"]) == (16, 32)
    assert (message["action"], message["flags"]) == (1, 2)
    found = attrs(message)
    assert found | {
        "FRA_PRIORITY": 99, "FRA_TABLE": 500, "FRA_SRC": "10.1.0.0", "FRA_DST": "10.0.0.1",
        "FRA_FWMARK": 1, "FRA_FWMASK": 255, "FRA_IIFNAME": "eth0", "FRA_OIFNAME": "eth1",
        "FRA_SUPPRESS_PREFIXLEN": 0, "FRA_UID_RANGE": "1:2", "FRA_IP_PROTO": 6,
        "FRA_SPORT_RANGE": "1:2", "FRA_DPORT_RANGE": "80:90",
    } == found  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "action"),
    [(Rule(action="blackhole"), 6), (Rule(action="goto", goto=200), 2), (Rule(action="nop"), 3)],
)
def test_rule_actions_are_the_kernels(rule: Rule, action: int) -> None:
    message = decoded(fibmsg, add_rule(rule))
    assert message["action"] == action
    assert "FRA_TABLE" not in attrs(message)


def info(request: Request) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return (kind, its data, other attributes) of a link request."""
    found = attrs(decoded(ifinfmsg, request))
    linkinfo = dict(found.pop("IFLA_LINKINFO")["attrs"])
    return linkinfo["IFLA_INFO_KIND"], dict(linkinfo["IFLA_INFO_DATA"]["attrs"]), found


def test_macvlan_is_private_and_has_the_virtual_mac() -> None:
    instance = replace(V2, vmac=Vmac(VmacKind.MACVLAN))
    kind, data, rest = info(create_request(instance, "vrrp.51", 2))
    assert (kind, data) == ("macvlan", {"IFLA_MACVLAN_MODE": "private"})
    assert rest == {
        "IFLA_IFNAME": "vrrp.51", "IFLA_LINK": 2, "IFLA_ADDRESS": "00:00:5e:00:01:33"
    }  # fmt: skip


@pytest.mark.parametrize(("mode", "flags"), [("bridge", 0), ("private", 1), ("vepa", 2)])
def test_ipvlan_is_of_layer_two_and_has_its_mode(mode: str, flags: int) -> None:
    instance = replace(V2, vmac=Vmac(VmacKind.IPVLAN, ipvlan_mode=mode))
    kind, _, rest = info(create_request(instance, "vrrp.51", 2))
    payload = create_request(instance, "vrrp.51", 2).payload
    assert kind == "ipvlan"
    assert "IFLA_ADDRESS" not in rest
    assert rtnl.attribute(1, b"\0\0") + rtnl.attribute(2, bytes((flags, 0))) in payload


def test_virtual_macs_and_names() -> None:
    six = replace(V2, family=AF_INET6)
    assert virtual_mac(V2).hex(":") == "00:00:5e:00:01:33"
    assert virtual_mac(six).hex(":") == "00:00:5e:00:02:33"
    assert vmac_name(six, set()) == "vrrp.51"
    assert vmac_name(six, {"vrrp.51"}) == "vrrp6.51"
    assert vmac_name(replace(V2, vmac=Vmac(name="x", prefix="y")), {"x"}) == "x"
    assert vmac_name(replace(V2, vmac=Vmac(prefix="y")), set()) == "y.51"


def test_bases_are_the_interface_and_those_of_addresses_that_want_one() -> None:
    address = replace(V2.addresses[0], device="eth1")
    assert bases_of(replace(V2, addresses=(address,))) == []
    vmac = Vmac(VmacKind.MACVLAN)
    assert bases_of(replace(V2, addresses=(address,), vmac=vmac)) == ["eth0"]
    wanting = replace(address, use_vmac=True)
    assert bases_of(replace(V2, excluded=(wanting,), vmac=vmac)) == ["eth0", "eth1"]
    every = replace(vmac, on_addresses=True)
    assert bases_of(replace(V2, addresses=(address,), vmac=every)) == ["eth0", "eth1"]


@pytest.mark.covers("VRP-41")
def test_filter_spares_neighbour_discovery_and_nothing_else() -> None:
    text = commands("keepalived", -1, [GATEWAY, NEXT6])
    assert text.startswith("add table inet keepalived\ndelete table inet keepalived\n")
    for hook, side in (("input", "daddr"), ("output", "saddr")):
        (line,) = [line for line in text.splitlines() if f"hook {hook} priority -1" in line]
        assert f"ip {side} {{ 10.0.0.1 }} drop" in line
        discovery = line.index("nd-neighbor-solicit, nd-neighbor-advert } accept")
        assert discovery < line.index(f"ip6 {side} {{ fe80::1 }} drop")
    assert "{" not in commands("keepalived", -1, [])
