"""The short way sends what the stages send, and forgets what it knows with every edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, D1, ROUTER_MAC, packed, server_mac
from lbfast.replay.packets import checksum
from tests.fast.flowlab import forget, short, stages
from tests.fast.path import CLIENT, CLIENT6, VIP, VIP6, Lab, Out, bare, df, head, hops, tos

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
METHODS = pytest.mark.parametrize("how", ["-g", "-m", "-i"], ids=["dr", "nat", "tun"])
RIP, RIP6 = "10.2.0.7", "fd00:2::7"
PORT = 4000


def lab(how: str = "-g", **sysctls: int) -> Lab:
    lines = []
    for word in ("-t", "-u"):
        for vip, rip in ((VIP, RIP), (f"[{VIP6}]", f"[{RIP6}]")):
            lines += [f"-A {word} {vip}:80 -s rr", f"-a {word} {vip}:80 -r {rip}:80 {how}"]
    return Lab(*lines, **sysctls)


def ask(v6: bool, flags: str = "A", **ip: Any) -> Packet:
    """Return a client's TCP segment; other fields are those of the IP header."""
    return with_ip(head(v6, **ip), flags)


def with_ip(ip: Packet, flags: str = "A") -> Packet:
    return ip / TCP(sport=PORT, dport=80, flags=flags) / Raw(b"12345678")


def reply(v6: bool, flags: str = "A") -> Packet:
    ip = IPv6(src=RIP6, dst=CLIENT6) if v6 else IP(src=RIP, dst=CLIENT)
    return ip / TCP(sport=80, dport=PORT, flags=flags) / Raw(b"8765")


def established(how: str, v6: bool, **sysctls: int) -> Lab:
    """A director with one TCP connection of which both directions are known."""
    world = lab(how, **sysctls)
    world.send(ask(v6, "S"))
    if how == "-m":
        world.send(reply(v6, "SA"), "real")
    world.send(ask(v6))
    for _ in range(2):
        assert world.send(ask(v6))
        if how == "-m":
            assert world.send(reply(v6), "real")
    return world


# ---- the same frames


@METHODS
@FAMILIES
def test_second_packet_goes_the_short_way(how: str, v6: bool) -> None:
    world = established(how, v6)
    (out,) = short(world, ask(v6))
    assert (out.ifindex, out.macs[0]) == (D1, server_mac(7))
    if how == "-m":
        (out,) = short(world, reply(v6), "real")
        assert (out.ifindex, out.macs[0]) == (D0, ROUTER_MAC)
        assert out.packet.src == (VIP6 if v6 else VIP)


@METHODS
@FAMILIES
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_short_way_sends_what_the_stages_send(how: str, v6: bool, data: st.DataObject) -> None:
    world = lab(how)
    hop, mark = data.draw(st.integers(2, 255)), data.draw(st.integers(0, 255))
    ip = head(v6, **hops(v6, hop), **tos(v6, mark), **df(v6))
    l4 = data.draw(
        st.sampled_from([UDP(sport=PORT, dport=80), TCP(sport=PORT, dport=80, flags="A")])
    )
    packet = ip / l4 / Raw(data.draw(st.binary(max_size=64)))
    if TCP in packet:
        world.send(ask(v6, "S"))
        world.send(reply(v6, "SA"), "real")
        world.send(ask(v6))
    forget(world)
    assert stages(world, packet) == short(world, packet)
    if how == "-m":
        source = {"src": RIP6, "dst": CLIENT6} if v6 else {"src": RIP, "dst": CLIENT}
        back = packet.copy()
        back.src, back.dst = source["src"], source["dst"]
        back.payload.sport, back.payload.dport = 80, PORT
        del back.payload.chksum
        assert stages(world, back, "real") == short(world, back, "real")


def test_tunnel_without_df_takes_a_fresh_identification() -> None:
    world = established("-i", False)
    packets = [short(world, ask(False))[0].packet for _ in range(3)]
    ids = [packet.id for packet in packets]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
    assert [checksum(bytes(packet)[:20]) for packet in packets] == [0, 0, 0]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        pytest.param(ask(False, "FA"), "", id="a segment that changes the state"),
        pytest.param(ask(False, options=[b"\x01\x01\x01\x00"]), "", id="IP options"),
        pytest.param(ask(False, ttl=1), "ttl", id="the last hop"),
        pytest.param(ask(False, chksum=1), "bad-header", id="a wrong header checksum"),
        pytest.param(with_ip(head(False, flags="DF")) / Raw(bytes(1500)), "mtu", id="too long"),
        pytest.param(ask(False, len=2000), "truncated", id="a length beyond the frame"),
    ],
)
def test_what_is_not_plain_takes_the_stages(packet: Packet, reason: str) -> None:
    world = established("-g", False)
    stages(world, packet)
    assert list(world.engine.reasons()) == ([reason] if reason else [])


def test_udp_without_checksum_gets_one_under_nat() -> None:
    world = lab("-m")
    bare_udp = head(False) / UDP(sport=PORT, dport=80, chksum=0) / Raw(b"1")
    world.send(bare_udp)
    (out,) = stages(world, bare_udp)
    assert out.packet[UDP].chksum != 0


# ---- what is read where it is


def test_short_way_counts_and_restarts_the_timer() -> None:
    world = established("-m", False)
    world.wait(50)
    assert world.state(PORT) == ("ESTABLISHED", 850)
    world.send(reply(False), "real")  # the trash was visited meanwhile: what is known is forgotten
    world.engine.estimate()
    before = world.service().stats, world.server(f"{RIP}:80").stats
    world.send(ask(False))
    for _ in range(4):
        short(world, ask(False))
    for _ in range(5):
        short(world, reply(False), "real")
    assert world.state(PORT) == ("ESTABLISHED", 900)
    world.engine.estimate()
    after = world.service().stats, world.server(f"{RIP}:80").stats
    for old, new in zip(before, after, strict=True):
        assert new.inpkts - old.inpkts == 5
        assert new.outpkts - old.outpkts == 5
        assert new.inbytes - old.inbytes == 5 * len(ask(False))
        assert new.outbytes - old.outbytes == 5 * len(reply(False))


def test_another_timeout_holds_from_the_next_packet_on() -> None:
    world = established("-g", False)
    world.words("--set 50 0 0")
    world.send(ask(False))
    assert world.state(PORT) == ("ESTABLISHED", 50)


@FAMILIES
def test_neighbour_that_moved_gets_the_next_packet(v6: bool) -> None:
    world = established("-g", v6)
    world.engine.neigh_set(D1, packed(RIP6 if v6 else RIP), b"\x02moved")
    (out,) = short(world, ask(v6))
    assert out.macs[0] == b"\x02moved"


@FAMILIES
def test_neighbour_that_is_gone_holds_the_next_packet(v6: bool) -> None:
    world = established("-g", v6)
    world.engine.neigh_del(D1, packed(RIP6 if v6 else RIP))
    assert world.verdict(ask(v6)) == "held"


def test_neighbour_in_use_is_told_of_short_packets_too() -> None:
    world = established("-g", False)
    world.engine.requests()
    world.wait(4)
    short(world, ask(False))
    assert world.engine.requests() == [("used", D1, packed(RIP))]


def test_learned_path_mtu_ends_the_short_way_of_tunnels() -> None:
    world = established("-i", False)
    outer = short(world, ask(False))[0].packet
    error = IP(src="10.2.0.254", dst=outer.src) / ICMP(type=3, code=4, nexthopmtu=1000)
    world.send(error / bytes(outer), "real")
    stages(world, ask(False))
    long = with_ip(head(False, flags="DF")) / Raw(bytes(1200))
    assert world.verdict(long) == "drop"


def test_tunnel_takes_the_short_way_again_when_the_mtu_is_forgotten() -> None:
    world = established("-i", False)
    outer = short(world, ask(False))[0].packet
    error = IP(src="10.2.0.254", dst=outer.src) / ICMP(type=3, code=4, nexthopmtu=1000)
    world.send(error / bytes(outer), "real")
    world.wait(590)
    stages(world, ask(False))
    stages(world, ask(False))
    world.wait(20)
    stages(world, ask(False))
    short(world, ask(False))


def test_expired_connection_leaves_nothing_to_the_next_of_its_record() -> None:
    world = lab("-g")
    packet = head(False) / UDP(sport=PORT, dport=80)
    world.words(f"-a -u {VIP}:80 -r 10.2.0.8:80 -m")
    seen = []
    for _ in range(4):
        (first,) = stages(world, packet)
        (second,) = short(world, packet)
        assert first == second
        seen.append(first.macs[0])
        world.wait(301)
    assert seen == [server_mac(8), server_mac(7)] * 2


# ---- what control edits


def route_elsewhere(world: Lab) -> None:
    world.engine.route_add(1, packed(RIP), 32, 1, D0, packed("10.1.255.1"))


def mac_of_link(world: Lab) -> None:
    world.engine.link_set(D1, b"\x02fresh", 1500, 1)


def local_address(world: Lab) -> None:
    world.engine.route_add(0, packed(RIP), 32, 2, 1)


EDITS: list[tuple[str, Callable[[Lab], None], Callable[[list[Out]], bool]]] = [
    ("a route", route_elsewhere, lambda outs: outs[0].ifindex == D0),
    ("the link's MAC address", mac_of_link, lambda outs: outs[0].macs[1] == b"\x02fresh"),
    ("the link is gone", lambda w: w.engine.link_del(D1), lambda outs: not outs_to_server(outs)),
    ("its MTU", lambda w: w.engine.link_set(D1, b"\x02smaller"[:6], 40, 1), lambda o: len(o) != 1),
    ("an address of the host", local_address, lambda outs: outs[0].to_host),
    ("no rules", lambda w: w.engine.rules_replace([]), lambda outs: not outs_to_server(outs)),
    ("no routes", lambda w: w.engine.routes_replace([]), lambda outs: not outs_to_server(outs)),
    ("no server", lambda w: del_server(w), lambda outs: outs == []),
    ("no service", lambda w: del_service(w), lambda outs: outs == []),
]


def outs_to_server(outs: list[Out]) -> list[Out]:
    return [out for out in outs if out.ifindex == D1 and not out.to_host]


def del_server(world: Lab) -> None:
    world.words(f"-d -t {VIP}:80 -r {RIP}:80")


def del_service(world: Lab) -> None:
    world.words(f"-D -t {VIP}:80")


@METHODS
@pytest.mark.parametrize(("edit", "seen"), [pytest.param(*row[1:], id=row[0]) for row in EDITS])
def test_edit_holds_for_the_next_packet(
    how: str, edit: Callable[[Lab], None], seen: Callable[[list[Out]], bool]
) -> None:
    world = established(how, False)
    short(world, ask(False))
    edit(world)
    assert seen(stages(world, ask(False)))


def test_route_to_the_client_holds_for_the_next_reply() -> None:
    world = established("-m", False)
    short(world, reply(False), "real")
    world.engine.route_add(1, packed(CLIENT), 32, 1, D1, packed(RIP))
    (out,) = stages(world, reply(False), "real")
    assert (out.ifindex, out.macs[0]) == (D1, server_mac(7))


def test_client_that_became_the_host_gets_its_replies_itself() -> None:
    world = established("-m", False)
    world.engine.route_add(0, packed(CLIENT), 32, 2, 1)
    assert world.verdict(reply(False), "real") == "ignore"


def test_service_at_the_clients_port_takes_the_next_reply() -> None:
    world = established("-m", False)
    world.words(f"-A -t {CLIENT}:{PORT} -s rr")
    (out,) = stages(world, reply(False), "real")
    assert out.to_host  # a service without servers, for a segment that starts nothing


def test_mark_takes_the_next_packet_to_its_service() -> None:
    world = established("-g", False)
    world.words("-A -f 7 -s rr")
    world.words("-a -f 7 -r 10.2.0.9 -g")
    rule = (7, 2, 0, 0, b"", 0, packed(VIP), 32, (0, 65535), (0, 65535))
    world.engine.marks_replace([rule])
    for _ in range(2):  # marks follow from more than addresses and ports
        stages(world, ask(False))


def test_edited_tunnel_wraps_the_next_packet() -> None:
    world = established("-i", False)
    assert GRE not in short(world, ask(False))[0].packet
    world.words(f"-e -t {VIP}:80 -r {RIP}:80 -i --tun-type gre")
    for _ in range(2):
        (out,) = stages(world, ask(False))
        assert GRE in out.packet


def test_better_source_address_is_the_tunnels_next() -> None:
    world = established("-i", False)
    old = short(world, ask(False))[0].packet.src
    world.engine.addr_add(D1, packed("10.2.0.6"), 24)
    (out,) = stages(world, ask(False))
    assert (out.packet.src != old, out.packet.src) == (True, "10.2.0.6")
    assert bare(short(world, ask(False))[0].packet).src == "10.2.0.6"


def test_setting_holds_for_the_next_packet() -> None:
    world = established("-i", False, pmtu_disc=1)
    packet = with_ip(head(False, flags="DF"))
    assert short(world, packet)[0].packet.flags.DF
    world.engine.set_setting("pmtu_disc", 0)
    assert not stages(world, packet)[0].packet.flags.DF
    assert not short(world, packet)[0].packet.flags.DF
