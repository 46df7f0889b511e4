"""The follower keeps the data path's picture of the world as the kernel has it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lbfast.control.links import Link, LinkTable, steerable
from lbfast.control.netlink import Follower
from lbfast.control.world import LinkFlags, Route, RouteType, Rule
from tests.e2e.worldlib import Lab, entered, ip, lab, run, setting

pytestmark = pytest.mark.net_admin


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


class Recorder:
    """A world that keeps what it is told, and can ask for neighbours."""

    def __init__(self) -> None:
        self.links: dict[int, tuple[Any, ...]] = {}
        self.addrs: set[tuple[int, bytes, int]] = set()
        self.routes: dict[tuple[int, bytes, int, int], Route] = {}
        self.rules: list[Rule] = []
        self.neighs: dict[tuple[int, bytes], bytes] = {}
        self.asked: list[tuple[str, int, bytes]] = []
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)

    def link_set(self, ifindex: int, *rest: Any) -> None:
        self.links[ifindex] = rest

    def link_del(self, ifindex: int) -> None:
        del self.links[ifindex]

    def addr_add(self, *address: Any) -> None:
        self.addrs.add(address)

    def addr_del(self, *address: Any) -> None:
        self.addrs.remove(address)

    def route_add(self, *fields: Any) -> None:
        route = Route(*fields)
        self.routes[route.table, route.dst, route.prefixlen, route.metric] = route

    def route_del(self, *key: Any) -> None:
        del self.routes[key]

    def routes_replace(self, routes: list[Route]) -> None:
        self.routes.clear()
        for route in routes:
            self.route_add(*route)

    def rules_replace(self, rules: list[Rule]) -> None:
        self.rules = rules

    def neigh_set(self, ifindex: int, addr: bytes, mac: bytes) -> None:
        self.neighs[ifindex, addr] = mac

    def neigh_del(self, ifindex: int, addr: bytes) -> None:
        self.neighs.pop((ifindex, addr), None)

    def requests(self) -> list[tuple[str, int, bytes]]:
        asked, self.asked = self.asked, []
        return asked

    def request_fd(self) -> int:
        return self.fd

    def ask(self, kind: str, ifindex: int, addr: str) -> None:
        self.asked.append((kind, ifindex, packed(addr)))
        os.eventfd_write(self.fd, 1)

    def route(self, dst: str, prefixlen: int, table: int = 254) -> Route | None:
        for route in self.routes.values():
            if (route.table, route.dst, route.prefixlen) == (table, packed(dst), prefixlen):
                return route
        return None


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@asynccontextmanager
async def following(net: Lab) -> AsyncIterator[tuple[Recorder, Follower]]:
    world = Recorder()
    with entered(net.director):
        follower = Follower(world)
        await follower.start()
        try:
            yield world, follower
        finally:
            await follower.close()
            os.close(world.fd)


async def until(what: Callable[[], Any], timeout_s: float = 10.0) -> None:
    end = asyncio.get_running_loop().time() + timeout_s
    while not what():
        assert asyncio.get_running_loop().time() < end, f"not within {timeout_s} s"
        soon = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, soon.set_result, None)
        await soon


Story = Callable[[Lab, Recorder, Follower], Awaitable[None]]


def play(net: Lab, story: Story) -> None:
    async def main() -> None:
        async with following(net) as (world, follower):
            await story(net, world, follower)
            before = dict(world.routes), set(world.addrs), dict(world.links)
            follower._resync()
            assert before == (world.routes, world.addrs, world.links), "a new dump differs"

    asyncio.run(main())


async def what_is_there(net: Lab, world: Recorder, _: Follower) -> None:
    eth0, eth1 = net.index("eth0"), net.index("eth1")
    assert {1, eth0, eth1} == set(world.links)
    assert world.links[1][2] == LinkFlags.UP | LinkFlags.LOOPBACK
    assert world.links[eth0][1:3] == (1500, LinkFlags.UP)
    assert (eth0, packed("10.1.0.1"), 24) in world.addrs
    assert (eth0, packed("fd01::1"), 64) in world.addrs
    local = world.route("10.1.0.1", 32, table=255)
    assert local
    assert local.type == RouteType.LOCAL
    assert world.route("fd02::", 64)
    assert [rule.table for rule in world.rules if rule.family == 2] == [255, 254, 253]


async def links_change(net: Lab, world: Recorder, _: Follower) -> None:
    eth1 = net.index("eth1")
    ip(net.director, "link set eth1 mtu 1400", "link set eth1 address 02:00:00:00:00:77")
    await until(lambda: world.links[eth1][:2] == (bytes.fromhex("020000000077"), 1400))
    ip(net.director, "link add new0 type veth peer name new1")
    await until(lambda: len(world.links) == 5)
    ip(net.director, "link del new0")
    await until(lambda: len(world.links) == 3)


async def link_goes_down(net: Lab, world: Recorder, _: Follower) -> None:
    """IPv4 says nothing of the routes that go with it."""
    ip(net.director, "route add 10.7.0.0/16 via 10.2.0.2")
    await until(lambda: world.route("10.7.0.0", 16))
    ip(net.director, "link set eth1 down")
    await until(lambda: not world.route("10.7.0.0", 16))
    assert not world.route("10.2.0.0", 24)
    assert world.links[net.index("eth1")][2] == 0
    ip(net.director, "link set eth1 up")
    await until(lambda: world.route("10.2.0.0", 24))


async def carrier_is_lost(net: Lab, world: Recorder, _: Follower) -> None:
    eth1 = net.index("eth1")
    ip(net.server, "link set eth0 down")
    await until(lambda: world.links[eth1][2] == 0)
    ip(net.server, "link set eth0 up")
    await until(lambda: world.links[eth1][2] == LinkFlags.UP)


async def address_goes(net: Lab, world: Recorder, _: Follower) -> None:
    ip(net.director, "addr add 10.3.0.1/24 dev eth1")
    ip(net.director, "route add 10.7.0.0/16 via 10.2.0.2 src 10.3.0.1")
    await until(lambda: world.route("10.7.0.0", 16))
    ip(net.director, "addr del 10.3.0.1/24 dev eth1")
    await until(lambda: not world.route("10.7.0.0", 16))
    assert not any(addr == packed("10.3.0.1") for _, addr, _ in world.addrs)


async def routes_change(net: Lab, world: Recorder, _: Follower) -> None:
    ip(net.director, "route add 10.7.0.0/16 via 10.2.0.2 mtu 1300")
    await until(lambda: world.route("10.7.0.0", 16))
    assert world.route("10.7.0.0", 16) == Route(
        254, packed("10.7.0.0"), 16, RouteType.UNICAST, net.index("eth1"), packed("10.2.0.2"),
        b"", 1300, 0,
    )  # fmt: skip
    ip(net.director, "route replace unreachable 10.7.0.0/16")
    await until(lambda: world.route("10.7.0.0", 16).type == RouteType.UNREACHABLE)  # type: ignore[union-attr]
    ip(net.director, "route del unreachable 10.7.0.0/16")
    await until(lambda: not world.route("10.7.0.0", 16))
    ip(net.director, "route add 10.8.0.0/16 via inet6 fd02::2")
    await until(lambda: world.route("10.8.0.0", 16))
    assert world.route("10.8.0.0", 16).gateway == packed("fd02::2")  # type: ignore[union-attr]


async def multipath(net: Lab, world: Recorder, _: Follower) -> None:
    """The next hop whose link is up is used, and the first again when it is back."""
    eth0, eth1 = net.index("eth0"), net.index("eth1")
    ip(net.director, "route add 10.7.0.0/16 nexthop via 10.1.0.2 nexthop via 10.2.0.2")
    await until(lambda: world.route("10.7.0.0", 16))
    assert world.route("10.7.0.0", 16).oif == eth0  # type: ignore[union-attr]
    ip(net.client, "link set eth0 down")
    await until(lambda: world.route("10.7.0.0", 16).oif == eth1)  # type: ignore[union-attr]
    ip(net.client, "link set eth0 up")
    await until(lambda: world.route("10.7.0.0", 16).oif == eth0)  # type: ignore[union-attr]


async def multipath6(net: Lab, world: Recorder, _: Follower) -> None:
    """IPv6 adds and removes next hops one by one."""
    ip(net.director, "route add fd07::/64 via fd02::2", "route append fd07::/64 via fd02::3")
    ip(net.director, "route del fd07::/64 via fd02::2")
    await until(lambda: (r := world.route("fd07::", 64)) and r.gateway == packed("fd02::3"))
    ip(net.director, "route replace fd07::/64 via fd02::5")
    await until(lambda: world.route("fd07::", 64).gateway == packed("fd02::5"))  # type: ignore[union-attr]
    ip(net.director, "route del fd07::/64")
    await until(lambda: not world.route("fd07::", 64))


async def policy_rules(net: Lab, world: Recorder, follower: Follower) -> None:
    ip(net.director, "route add default via 10.2.0.2 table 77")
    assert not world.route("0.0.0.0", 0, table=77), "no rule names the table"
    ip(net.director, "rule add from 10.5.0.0/16 lookup 77 pref 100")
    await until(lambda: world.route("0.0.0.0", 0, table=77))
    rule = Rule(socket.AF_INET, packed("10.5.0.0"), 16, b"", 0, 0, 77, RouteType.UNICAST)
    await until(lambda: rule in world.rules)
    assert world.rules.index(rule) > [r.table for r in world.rules].index(255)
    ip(net.director, "rule add to 10.6.0.0/16 prohibit pref 90")
    ip(net.director, "rule add iif eth0 lookup 78", "rule add fwmark 7 lookup 79")
    ip(net.director, "rule add not to 10.9.0.0/16 lookup 80 pref 70")
    await until(lambda: any(r.type == RouteType.PROHIBIT for r in world.rules))
    await until(lambda: follower.rules.left_out)
    assert follower.rules.left_out == ["rule 70: only from, to and iif are followed"]
    assert not any(r.table in (78, 79, 80) for r in world.rules)
    ip(net.director, "rule del from 10.5.0.0/16 lookup 77")
    await until(lambda: not world.route("0.0.0.0", 0, table=77))


async def neighbour_on_demand(net: Lab, world: Recorder, _: Follower) -> None:
    for name, addr in (("eth1", "10.2.0.2"), ("eth0", "fd01::2")):
        ip(net.director, f"neigh flush dev {name}")
        key = net.index(name), packed(addr)
        world.neighs.pop(key, None)
        world.ask("neigh", key[0], addr)
        await until(lambda key=key: key in world.neighs)  # type: ignore[misc]
    mac = run(net.server, "ip", "-br", "link", "show", "eth0").split()[2]
    assert world.neighs[net.index("eth1"), packed("10.2.0.2")].hex(":") == mac


async def moved_and_dead_neighbour(net: Lab, world: Recorder, _: Follower) -> None:
    """A neighbour in use that goes stale is probed, so a new MAC or silence is noticed."""
    eth1 = net.index("eth1")
    key = eth1, packed("10.2.0.2")
    for name, value in (
        ("delay_first_probe_time", 0),
        ("retrans_time_ms", 50),
        ("base_reachable_time_ms", 200),
    ):
        setting(net.director, f"ipv4/neigh/eth1/{name}", value)
    world.ask("neigh", *key[:1], "10.2.0.2")
    await until(lambda: key in world.neighs)
    ip(net.server, "link set eth0 address 02:00:00:00:00:55")
    world.ask("used", eth1, "10.2.0.2")
    await until(lambda: world.neighs.get(key) == bytes.fromhex("020000000055"))
    ip(net.server, "addr flush dev eth0")
    await until(lambda: key not in world.neighs)


async def lost_notifications(net: Lab, world: Recorder, follower: Follower) -> None:
    follower._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    many = [f"route add 10.{n >> 8}.{n & 255}.0/24 via 10.2.0.2" for n in range(7 << 8, 9 << 8)]
    ip(net.director, *many)
    await until(lambda: follower.resyncs > 1)
    await until(lambda: world.route("10.8.255.0", 24))
    assert world.route("10.7.0.0", 24)


async def thousands_of_routes(net: Lab, world: Recorder, follower: Follower) -> None:
    numbers = range(100 << 8, 116 << 8)
    ip(net.director, *(f"route add 10.{n >> 8}.{n & 255}.0/24 via 10.2.0.2" for n in numbers))
    await until(lambda: sum(r.prefixlen == 24 for r in world.routes.values()) >= len(numbers))
    ip(net.director, "link set eth1 down")
    await until(lambda: sum(r.prefixlen == 24 for r in world.routes.values()) < 10)


async def ipv6_disabled(net: Lab, world: Recorder, _: Follower) -> None:
    for scope in ("all", "default"):
        setting(net.director, f"ipv6/conf/{scope}/disable_ipv6", 1)
    await until(lambda: not any(len(addr) == 16 for _, addr, _ in world.addrs))
    assert world.route("10.2.0.0", 24)
    setting(net.director, "ipv6/conf/all/disable_ipv6", 0)
    ip(net.director, "addr add fd03::1/64 dev eth0 nodad")
    await until(lambda: world.route("fd03::", 64))


@pytest.mark.parametrize(
    "story",
    [
        what_is_there,
        links_change,
        link_goes_down,
        carrier_is_lost,
        address_goes,
        routes_change,
        multipath,
        multipath6,
        policy_rules,
        neighbour_on_demand,
        moved_and_dead_neighbour,
        lost_notifications,
        thousands_of_routes,
        ipv6_disabled,
    ],
    ids=lambda story: story.__name__,
)
def test_follower(net: Lab, story: Story) -> None:
    play(net, story)


def test_start_with_ipv6_disabled_follows_ipv4(net: Lab) -> None:
    setting(net.director, "ipv6/conf/all/disable_ipv6", 1)

    async def story(_: Lab, world: Recorder, __: Follower) -> None:
        assert world.route("10.2.0.0", 24)
        assert not any(len(addr) == 16 for _, addr, _ in world.addrs)

    play(net, story)


def test_listener_hears_of_links(net: Lab) -> None:
    heard: list[tuple[str, bool]] = []
    names: dict[int, str] = {}

    def listen(ifindex: int, link: Link | None) -> None:
        if link:
            names[ifindex] = link.name
        heard.append((names[ifindex], link is not None))

    async def main() -> None:
        world = Recorder()
        with entered(net.director):
            follower = Follower(world, listen)
            await follower.start()
            ip(net.director, "link add new0 type veth peer name new1", "link del new0")
            await until(lambda: ("new0", False) in heard)
            await follower.close()
        os.close(world.fd)

    asyncio.run(main())
    assert ("eth0", True) in heard


def test_default_interfaces_leave_out_what_belongs_to_a_master(net: Lab) -> None:
    async def story(_: Lab, __: Recorder, follower: Follower) -> None:
        ip(net.director, "link add br0 type bridge", "link set eth0 master br0")
        ip(net.director, "link add mv0 link eth1 type macvlan")
        links: LinkTable = follower.links
        await until(lambda: set(steerable(links.links).values()) == {"br0", "eth1", "mv0"})

    play(net, story)
