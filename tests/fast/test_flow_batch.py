"""Batches: whatever comes together leaves as if each packet had taken the stages alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from tests.fast.flowlab import forget
from tests.fast.path import (
    CLIENT,
    CLIENT6,
    D1,
    PLAIN,
    TCPV4,
    TCPV6,
    VIP,
    VIP6,
    Lab,
    Out,
    Vnet,
    partial,
)  # fmt: skip

NETWORK = {False: "10.2.0.", True: "fd00:2::"}
LOCAL = {False: "10.2.255.21", True: "fd00:2::ff21"}
FULLNAT = "--fullnat"
METHODS = pytest.mark.parametrize(
    "how", ["-g", "-m", "-i", FULLNAT], ids=["dr", "nat", "tun", "fullnat"]
)
PORTS = (4000, 4001, 4002)
Sent = tuple[bytes, str, Vnet]
Key = tuple[bool, bool, int]  # IPv6, TCP, the client's port
Back = dict[Key, tuple[str, int]]  # to where replies go, the client unless told here


def lab(how: str) -> Lab:
    lines = []
    for word in ("-t", "-u"):
        for v6, vip in ((False, VIP), (True, f"[{VIP6}]")):
            lines.append(f"-A {word} {vip}:80 -s rr")
            if how == FULLNAT:
                lines.append(f"--add-laddr {word} {vip}:80 -z {LOCAL[v6]}")
            for number in (7, 8):
                rip = f"[{NETWORK[v6]}{number}]" if v6 else f"{NETWORK[v6]}{number}"
                lines.append(f"-a {word} {vip}:80 -r {rip}:80 {how}")
    return Lab(*lines)


def transport(draw: st.DrawFn, tcp: bool, ports: tuple[int, int]) -> Packet:
    sport, dport = ports
    if not tcp:
        zero = {"chksum": 0} if draw(st.integers(0, 9)) == 0 else {}
        return UDP(sport=sport, dport=dport, **zero)
    flags = draw(st.sampled_from(["A", "A", "A", "PA", "FA", "R", "S", ""]))
    numbers = {"seq": draw(st.sampled_from([1, 2**32 - 1])), "ack": draw(st.sampled_from([1, 9]))}
    options = draw(
        st.sampled_from([[], [], [("NOP", None)] * 4, [("SAck", (3, 4)), ("NOP", None)]])
    )
    broken = {"dataofs": draw(st.sampled_from([4, 15]))} if draw(st.integers(0, 9)) == 0 else {}
    return TCP(sport=sport, dport=dport, flags=flags, options=options, **numbers, **broken)


def network_fields(draw: st.DrawFn, v6: bool) -> dict[str, Any]:
    hop = draw(st.sampled_from([1, 2, 64, 255]))
    mark = draw(st.sampled_from([0, 1, 3, 0xB8, 0xFF]))
    if v6:
        return {"hlim": hop, "tc": mark, "fl": draw(st.sampled_from([0, 0xABCDE]))}
    flags = draw(st.sampled_from(["DF", "", "DF", "MF"]))
    return {"ttl": hop, "tos": mark, "flags": flags, "id": draw(st.integers(0, 0xFFFF))}


def offloads(draw: st.DrawFn, packet: Packet, v6: bool) -> tuple[bytes, Vnet]:
    """Leave the checksum to the device, perhaps; with headers of all kinds, wrong ones too."""
    kind = draw(st.sampled_from(["none", "none", "valid", "partial", "partial", "wrong", "gso"]))
    if kind == "none":
        return bytes(packet), PLAIN
    if kind == "valid":
        return bytes(packet), Vnet(2, csum_start=draw(st.integers(0, 99)))
    raw, vnet = partial(packet)
    if kind == "wrong":
        field = draw(st.sampled_from(["csum_start", "csum_offset", "hdr_len", "gso_size"]))
        return raw, vnet._replace(**{field: draw(st.integers(0, 70))})
    if kind == "gso" and TCP in packet:
        return raw, vnet._replace(gso_type=TCPV6 if v6 else TCPV4, gso_size=20, hdr_len=54)
    return raw, vnet


@st.composite
def packets(draw: st.DrawFn, side: str, back: Back) -> Sent:
    v6, tcp = draw(st.booleans()), draw(st.booleans())
    port, number = draw(st.sampled_from(PORTS)), draw(st.sampled_from((7, 8)))
    client, server = (CLIENT6 if v6 else CLIENT), f"{NETWORK[v6]}{number}"
    made = IPv6 if v6 else IP
    fields = network_fields(draw, v6)
    if side == "client" or draw(st.integers(0, 3)) == 0:  # one arm: both come in there
        ip = made(src=client, dst=VIP6 if v6 else VIP, **fields)
        l4 = transport(draw, tcp, (port, 80))
    else:
        to, port = back.get((v6, tcp, port), (client, port))
        ip = made(src=server, dst=to, **fields)
        l4 = transport(draw, tcp, (80, port))
    packet = ip / l4 / Raw(draw(st.binary(max_size=40)))
    raw, vnet = offloads(draw, packet, v6)
    return raw, side, vnet


def opened(how: str) -> Lab:
    """A director with connections of all kinds, of which nothing is known yet."""
    world = lab(how)
    for v6 in (False, True):
        ip = IPv6(src=CLIENT6, dst=VIP6) if v6 else IP(src=CLIENT, dst=VIP)
        for port in PORTS:
            world.send(ip / UDP(sport=port, dport=80))
            for flags in ("S", "A"):
                world.send(ip / TCP(sport=port, dport=80, flags=flags))
            to, dport = backs(world).get((v6, True, port), (CLIENT6 if v6 else CLIENT, port))
            back = (IPv6 if v6 else IP)(src=NETWORK[v6] + "7", dst=to)
            world.send(back / TCP(sport=80, dport=dport, flags="SA"), "real")
    return world


def backs(world: Lab) -> Back:
    """Return to which local address and port a FULLNAT server answers."""
    return {
        (len(c.caddr) == 16, c.protocol == 6, c.cport): (LOCAL[len(c.caddr) == 16], c.lport)
        for c in world.tables.connections()
        if c.lport
    }


@METHODS
@pytest.mark.parametrize("side", ["client", "real"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_batches_leave_as_each_packet_would_by_the_stages(
    how: str, side: str, data: st.DataObject
) -> None:
    together, alone = opened(how), opened(how)
    for _ in range(3):
        batch = data.draw(st.lists(packets(side, backs(alone)), min_size=1, max_size=20))
        expected: list[Out] = []
        for raw, where, vnet in batch:
            forget(alone)
            expected += alone.send(raw, where, vnet)
        assert together.together(*batch) == expected
        assert together.connections() == alone.connections()
        assert together.engine.verdicts() == alone.engine.verdicts()
        assert together.engine.reasons() == alone.engine.reasons()
    assert alone.engine.plain() == 0
    for world in (together, alone):
        world.engine.estimate()
    assert stats(together) == stats(alone)


def stats(world: Lab) -> list[Any]:
    """What was counted, of services, servers and all."""
    rows: list[Any] = [world.engine.total()]
    for service in world.tables.services():
        rows.append(service.stats)
        rows += [server.stats for server in service.servers]
    return rows


def request(port: int, flags: str = "A") -> Packet:
    return IP(src=CLIENT, dst=VIP) / TCP(sport=port, dport=80, flags=flags) / Raw(b"1234")


def test_younger_entry_gets_the_packets_behind_it_in_the_batch() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -g")
    for flags in ("S", "A", "A", "A"):
        world.send(request(4000, flags))
    assert world.engine.plain() == 2
    world.words(f"-e -t {VIP}:80 -r 10.2.0.7:80 -g -w 0")
    world.words(f"-a -t {VIP}:80 -r 10.2.0.8:80 -g")
    world.engine.set_setting("expire_nodest_conn", 1)  # a SYN leaves a quiesced server
    world.send(request(4000))
    batch = [(request(4000, flags), "client", PLAIN) for flags in ("A", "S", "A", "A")]
    outs = world.together(*batch)
    assert [out.macs[0][-1] for out in outs] == [7, 8, 8, 8]
    assert {out.ifindex for out in outs} == {D1}


def test_batch_of_replies_on_the_requests_interface_goes_the_short_way() -> None:
    world = opened("-m")
    back = IP(src=NETWORK[False] + "7", dst=CLIENT) / UDP(sport=80, dport=4000)
    ask = IP(src=CLIENT, dst=VIP) / UDP(sport=4000, dport=80)
    batch = [(back if n % 2 else ask, "real", PLAIN) for n in range(20)]
    world.together(*batch)
    before = world.engine.plain()
    assert len(world.together(*batch)) >= 10
    assert world.engine.plain() >= before + 10


def test_service_keeps_what_a_server_counted_that_left_and_came_back() -> None:
    world = opened("-g")
    line = f"-u {VIP}:80 -r 10.2.0.7:80"
    world.engine.estimate()
    before = world.service(f"udp {VIP}:80").stats
    assert before.inpkts == 3
    world.words(f"-d {line}")
    world.engine.estimate()
    assert world.service(f"udp {VIP}:80").stats.inpkts == before.inpkts
    world.words(f"-a {line} -g")
    world.engine.estimate()
    again = world.service(f"udp {VIP}:80")
    assert again.stats.inpkts == before.inpkts == sum(s.stats.inpkts for s in again.servers)
    world.send(IP(src=CLIENT, dst=VIP) / UDP(sport=4000, dport=80))
    world.engine.estimate()
    assert world.service(f"udp {VIP}:80").stats.inpkts == before.inpkts + 1
