"""Lines of the configuration are found again in what the kernel says of routes and rules."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lbfast import rtnl
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Prefix, Route, Rule
from lbfast.model.vrrp import TrackGroup, VrrpConfig
from lbfast.vrrp import ways
from lbfast.vrrp.routes import add_route, add_rule
from lbfast.vrrp.tracking import leaned_on
from lbfast.vrrp.ways import SeenRoute, SeenRule
from tests.vrrp_lab import V2

NET4, NET6 = Prefix(bytes((10, 1, 0, 0)), 16), Prefix(bytes.fromhex("20010db8") + bytes(12), 32)
VIA = bytes((10, 0, 0, 9))
ROUTE = Route(dst=NET4, via=VIA, device="eth0", table=7)
RULE = Rule(priority=99, from_=NET4, table=7, iif="eth0")
INDEX = {"eth0": 2, "eth1": 3}


def index_of(name: str) -> int:
    return INDEX.get(name, 0)


def seen_route(route: Route) -> SeenRoute:
    """Return a route as the kernel would tell about it."""
    payload = add_route(route, index_of).payload
    seen = ways.parse(rtnl.DELROUTE, payload, 0, len(payload))
    assert isinstance(seen, SeenRoute)
    return seen


def seen_rule(rule: Rule) -> SeenRule:
    payload = add_rule(rule).payload
    seen = ways.parse(rtnl.DELRULE, payload, 0, len(payload))
    assert isinstance(seen, SeenRule)
    return seen


@pytest.mark.parametrize(
    "route",
    [
        ROUTE,
        dataclasses.replace(ROUTE, dst=Prefix(bytes((10, 1, 2, 3)), 16)),
        Route(device="eth1", table=1000, metric=5, tos=4),
        Route(AF_INET6, dst=NET6, device="eth0", metric=7),
        Route(dst=NET4, via=bytes(15) + b"\1", device="eth0"),
        Route(type="blackhole", dst=NET4),
    ],
    ids=["gateway", "host bits", "default", "IPv6", "gateway of IPv6", "blackhole"],
)
def test_route_is_found_again(route: Route) -> None:
    assert seen_route(route).is_of(route, index_of)


def test_ipv6_route_without_metric_has_the_kernels() -> None:
    route = Route(AF_INET6, dst=NET6, device="eth0")
    assert seen_route(dataclasses.replace(route, metric=1024)).is_of(route, index_of)


@pytest.mark.parametrize(
    "other",
    [
        {"dst": Prefix(bytes((10, 2, 0, 0)), 16)}, {"dst": Prefix(bytes((10, 1, 0, 0)), 17)},
        {"via": bytes((10, 0, 0, 8))}, {"device": "eth1"}, {"table": 8}, {"metric": 1},
        {"tos": 4}, {"type": "local"},
    ],
    ids=str,
)  # fmt: skip
def test_another_route_is_not_taken_for_it(other: dict[str, Any]) -> None:
    assert not seen_route(dataclasses.replace(ROUTE, **other)).is_of(ROUTE, index_of)


@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        Rule(AF_INET6, 5, to=NET6, oif="eth1", table=1000, fwmark=3),
        Rule(AF_INET, 5, invert=True, action="goto", goto=9),
        Rule(AF_INET, 5, l3mdev=True),
    ],
    ids=["table", "IPv6", "goto", "l3mdev"],
)
def test_rule_is_found_again(rule: Rule) -> None:
    assert seen_rule(rule).is_of(rule)


@pytest.mark.parametrize(
    "other",
    [
        {"priority": 98}, {"from_": None}, {"to": NET4}, {"table": 8}, {"iif": ""},
        {"oif": "eth1"}, {"invert": True}, {"fwmark": 1}, {"action": "blackhole"}, {"tos": 4},
    ],
    ids=str,
)  # fmt: skip
def test_another_rule_is_not_taken_for_it(other: dict[str, Any]) -> None:
    assert not seen_rule(dataclasses.replace(RULE, **other)).is_of(RULE)


def test_what_others_have_set_is_passed_over() -> None:
    route = add_route(dataclasses.replace(ROUTE, protocol=4), index_of).payload
    rule = add_rule(dataclasses.replace(RULE, protocol=0)).payload
    assert ways.parse(rtnl.DELROUTE, route, 0, len(route)) is None
    assert ways.parse(rtnl.DELRULE, rule, 0, len(rule)) is None


def test_only_tracked_lines_need_the_kernels_news() -> None:
    untracked = dataclasses.replace(ROUTE, track=False)
    assert not ways.are_tracked(VrrpConfig((dataclasses.replace(V2, routes=(untracked,)),)))
    assert ways.are_tracked(VrrpConfig((dataclasses.replace(V2, rules=(RULE,)),)))
    assert ways.are_tracked(VrrpConfig(static_routes=(ROUTE,)))


def test_track_group_leans_on_its_items_interfaces() -> None:
    static = dataclasses.replace(ROUTE, device="eth7", track_group="T")
    config = VrrpConfig(
        (V2,), static_routes=(static,), track_groups=(TrackGroup("T", (V2.name,)),)
    )
    assert leaned_on(config, V2) == {"eth7"}
    assert leaned_on(dataclasses.replace(config, track_groups=()), V2) == set()
