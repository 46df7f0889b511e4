"""What is refused: TTL, MTU, no route, no server; and ICMP errors on their way through."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)  # fmt: skip
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, packed
from tests.fast.path import CLIENT, VIP, Lab, df, finished, head, hops, partial, sums_right

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
METHODS = pytest.mark.parametrize("how", ["-m", "-g", "-i"], ids=["nat", "dr", "tunnel"])
SYN = TCP(sport=4000, dport=80, flags="S")


def lab(how: str = "-m", proto: str = "t", mtu: int = 1500, **sysctls: int) -> Lab:
    return Lab(
        f"-A -{proto} {VIP}:80 -s rr",
        f"-a -{proto} {VIP}:80 -r 10.2.0.7:80 {how}",
        f"-A -{proto} [fd00:9::1]:80 -s rr",
        f"-a -{proto} [fd00:9::1]:80 -r [fd00:2::7]:80 {how}",
        mtu=mtu,
        **sysctls,
    )


def error_in(packet: Packet) -> tuple[int, int, int, bytes]:
    """Return (type, code, the word behind them, what is quoted) of an ICMP error."""
    raw = bytes(packet.payload)
    return raw[0], raw[1], int.from_bytes(raw[4:8], "big"), raw[8:]


def refused(world: Lab, sent: Packet, v6: bool, kind: tuple[int, int], info: int = 0) -> None:
    """Check that the packet is answered to its sender by that ICMP error about it."""
    out = world.one(sent)
    packet = out.packet
    assert (out.to_host, out.ifindex) == (False, D0)
    assert (packet.src, packet.dst) == (sent.dst, sent.src) or v6
    assert packet.dst == sent.src
    assert sums_right(packet)
    number, code, word, quoted = error_in(packet)
    assert (number, code, word) == (*kind, info)
    assert len(quoted) >= min(len(sent), 548 if not v6 else 1232)
    fields = slice(8, 40) if v6 else slice(12, 20)
    assert quoted[fields] == bytes(sent)[fields]
    assert (
        quoted[40 if v6 else 20 :]
        == bytes(sent)[40 if v6 else 20 :][: len(quoted)][: len(quoted) - (40 if v6 else 20)]
    )


@pytest.mark.covers("C-112")
@FAMILIES
@METHODS
def test_last_hop_is_answered_time_exceeded_and_makes_a_connection(how: str, v6: bool) -> None:
    world = lab(how)
    refused(world, head(v6, **hops(v6, 1)) / SYN, v6, (3, 0) if v6 else (11, 0))
    assert world.engine.reasons() == {"ttl": 1}
    assert not world.one(head(v6, **hops(v6, 2)) / SYN).to_host


@pytest.mark.covers("C-112")
@FAMILIES
def test_reply_at_its_last_hop_is_answered_to_the_server(v6: bool) -> None:
    world = lab()
    world.one(head(v6) / SYN)
    src, dst = ("fd00:2::7", "fd00:1::1") if v6 else ("10.2.0.7", CLIENT)
    reply = (IPv6 if v6 else IP)(src=src, dst=dst, **hops(v6, 1))
    out = world.one(reply / TCP(sport=80, dport=4000, flags="SA"), "real")
    assert out.packet.dst == src
    assert error_in(out.packet)[:2] == ((3, 0) if v6 else (11, 0))


@pytest.mark.covers("C-114")
@FAMILIES
def test_ttl_is_looked_at_before_the_mtu(v6: bool) -> None:
    world = lab(mtu=1300)
    fields = hops(v6, 1) | df(v6)
    sent = head(v6, **fields) / SYN / Raw(bytes(1400))
    assert error_in(world.one(sent).packet)[:2] == ((3, 0) if v6 else (11, 0))


@pytest.mark.covers("C-139", "C-140", "C-142")
@pytest.mark.parametrize(
    ("how", "less"),
    [
        ("-m", 0),
        ("-g", 0),
        ("-i", 20),
        ("-i --tun-type gue --tun-port 6080 --tun-nocsum", 32),
        ("-i --tun-type gre --tun-nocsum", 24),
        ("-i --tun-type gre --tun-csum", 28),
    ],
    ids=["nat", "dr", "ipip", "gue", "gre", "gre with checksum"],
)
@FAMILIES
def test_packet_above_the_limit_is_refused_with_it(how: str, less: int, v6: bool) -> None:
    world = lab(how)
    outer = 20 if v6 and less else 0  # the servers of IPv6 have IPv6 tunnels
    limit = 1500 - less - outer
    fits = head(v6, **df(v6)) / SYN / Raw(bytes(limit - (60 if v6 else 40)))
    assert not world.one(fits).to_host
    assert world.engine.reasons() == {}
    kind = (2, 0) if v6 else (3, 4)
    refused(world, fits / Raw(b"x"), v6, kind, limit)


@pytest.mark.covers("C-140", "C-462")
@FAMILIES
def test_super_frame_is_judged_by_its_segments(v6: bool) -> None:
    world = lab("-g", mtu=1400)
    world.one(head(v6) / SYN)
    raw, vnet = partial(
        head(v6, **df(v6)) / TCP(sport=4000, dport=80, flags="A") / Raw(bytes(9000))
    )
    headers = vnet.csum_start - 14 + 20
    vnet = vnet._replace(gso_type=4 if v6 else 1, hdr_len=headers + 14)
    assert world.one(raw, vnet=vnet._replace(gso_size=1400 - headers)).vnet.gso_type
    out = world.one(raw, vnet=vnet._replace(gso_size=1401 - headers))
    assert error_in(out.packet)[:3] == ((2, 0, 1400) if v6 else (3, 4, 1400))


@pytest.mark.covers("C-141")
def test_tunnel_without_pmtu_disc_is_cut_in_fragments() -> None:
    world = lab("-i", pmtu_disc=0)
    sent = head(False, flags="DF") / SYN / Raw(bytes(1460))
    outs = [o.packet for o in world.send(sent)]
    assert [p.frag * 8 for p in outs] == [0, len(outs[0].payload)]
    assert all(p.proto == 4 and len(p) <= 1500 and sums_right(p) for p in outs)
    assert not any(p.flags.DF for p in outs)
    assert outs[0].id == outs[1].id != 0
    inner = IP(b"".join(bytes(p.payload) for p in outs))
    assert (len(inner), inner.ttl, inner.flags.DF) == (1500, 63, True)


@pytest.mark.covers("C-143")
@pytest.mark.parametrize("how", ["-m", "-g"], ids=["nat", "dr"])
def test_packet_without_df_is_cut_in_fragments(how: str) -> None:
    world = lab(how, mtu=1000)
    sent = head(False) / SYN / Raw(bytes(range(256)) * 5)
    outs = [o.packet for o in world.send(sent)]
    assert [bool(p.flags.MF) for p in outs] == [True, False]
    assert all(len(p) <= 1000 and p.id == sent.id and p.ttl == 63 for p in outs)
    assert b"".join(bytes(p.payload) for p in outs)[20:] == bytes(range(256)) * 5


@pytest.mark.covers("C-143", "C-042")
def test_fragments_of_a_request_leave_in_no_larger_ones() -> None:
    world = lab("-m", "u")
    payload = bytes(UDP(sport=4000, dport=80, len=2808, chksum=0) / Raw(bytes(2800)))
    pieces = [(0, payload[:1400], 1), (175, payload[1400:2400], 1), (300, payload[2400:], 0)]
    outs = [
        o.packet
        for at, data, more in pieces
        for o in world.send(head(False, id=9, frag=at, flags=more, proto=17) / Raw(data))
    ]
    assert outs[0].frag == 0
    assert all(len(p) <= 1420 and p.dst == "10.2.0.7" for p in outs)
    assert len(b"".join(bytes(p.payload) for p in outs)) == 2808


@pytest.mark.covers("C-142")
@pytest.mark.parametrize(("mtu", "sent"), [(1400, True), (1300, False)], ids=["fit", "too long"])
def test_ipv6_packet_that_came_in_fragments_is_judged_by_the_longest(mtu: int, sent: bool) -> None:
    world = lab("-m", "u", mtu=mtu)
    payload = bytes(UDP(sport=4000, dport=80, len=2808, chksum=1) / Raw(bytes(2800)))
    outs = []
    for at in (0, 1352, 2704):  # 1400 bytes with both headers, the last one less
        data, more = payload[at : at + 1352], int(at < 2704)
        part = IPv6ExtHdrFragment(offset=at // 8, m=more, id=9, nh=17) / Raw(data)
        outs += [o.packet for o in world.send(head(True) / part)]
    if sent:
        assert [p.dst for p in outs] == ["fd00:2::7"] * 3
        assert all(len(p) <= 1400 for p in outs)
    else:
        assert [error_in(p)[:3] for p in outs] == [(2, 0, 1300)]


@pytest.mark.covers("C-144")
@pytest.mark.parametrize(("v6", "mtu"), [(False, 87), (True, 1319)], ids=["ipv4", "ipv6"])
def test_link_too_narrow_for_a_tunnel_drops(v6: bool, mtu: int) -> None:
    world = lab("-i", mtu=mtu)
    assert world.send(head(v6) / SYN) == []
    assert world.engine.reasons() == {"mtu-tiny": 1}


@pytest.mark.covers("C-110")
@FAMILIES
@METHODS
@pytest.mark.parametrize("kind", [None, 6, 7, 8], ids=["none", "blackhole", "unreach", "prohibit"])
def test_no_route_is_answered_unreachable(how: str, v6: bool, kind: int | None) -> None:
    world = lab(how)
    for net, length in (("fd00:2::", 64), ("::", 0)) if v6 else (("10.2.0.0", 16), ("0.0.0.0", 0)):
        world.engine.route_del(1, packed(net), length)
    if kind:
        world.engine.route_add(1, packed("fd00:2::" if v6 else "10.2.0.0"), 16, kind, 0)
    refused(world, head(v6) / SYN, v6, (1, 3) if v6 else (3, 1))
    assert world.engine.reasons() == {"no-route": 1}


@pytest.mark.covers("C-073")
@FAMILIES
@pytest.mark.parametrize("proto", ["t", "u"])
def test_no_server_is_answered_port_unreachable(proto: str, v6: bool) -> None:
    world = lab(proto=proto)
    world.words(f"-e -{proto} {VIP}:80 -r 10.2.0.7:80 -m -w 0")
    world.words(f"-e -{proto} [fd00:9::1]:80 -r [fd00:2::7]:80 -m -w 0")
    sent = head(v6) / (SYN if proto == "t" else UDP(sport=4000, dport=80) / Raw(b"x"))
    refused(world, sent, v6, (1, 4) if v6 else (3, 3))
    assert world.connections() == []


# ---- ICMP errors on their way through


def about(v6: bool, inner: Packet, kind: tuple[int, int] = (3, 4)) -> Packet:
    if v6:
        return ICMPv6PacketTooBig(mtu=1300) / inner
    return ICMP(type=kind[0], code=kind[1], nexthopmtu=1300) / inner


def their_reply(v6: bool) -> Packet:
    """The packet about which a client's router complains: from the virtual address."""
    tcp = TCP(sport=80, dport=4000, flags="SA", chksum=0x5555)
    if v6:
        return IPv6(src="fd00:9::1", dst="fd00:1::1", hlim=50, plen=20, nh=6) / tcp
    return IP(src=VIP, dst=CLIENT, ttl=50, len=40, chksum=0) / tcp


@pytest.mark.covers("C-145", "C-147")
@FAMILIES
def test_error_of_the_clients_side_reaches_a_nat_server_rewritten(v6: bool) -> None:
    world = lab()
    world.one(head(v6) / SYN)
    router = "fd00:1::ff" if v6 else "10.1.255.1"
    out = world.one(head(v6, src=router) / about(v6, their_reply(v6)))
    packet = finished(out)
    rip = "fd00:2::7" if v6 else "10.2.0.7"
    assert (packet.src, packet.dst) == (router, rip)
    assert sums_right(packet)
    inner = type(packet)(error_in(packet)[3])
    assert (inner.src, inner[TCP].sport, inner[TCP].chksum) == (rip, 80, 0x5555)
    assert bytes(inner[TCP]) == bytes(their_reply(v6)[TCP])
    assert error_in(packet)[2] == 1300


@pytest.mark.covers("C-091", "C-146", "C-147")
@FAMILIES
def test_error_of_a_nat_server_reaches_the_client_as_if_of_the_vip(v6: bool) -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:8080 -m",
        "-A -t [fd00:9::1]:80 -s rr", "-a -t [fd00:9::1]:80 -r [fd00:2::7]:8080 -m",
    )  # fmt: skip
    world.one(head(v6) / SYN)
    rip, vip, client = ("fd00:2::7", "fd00:9::1", "fd00:1::1") if v6 else ("10.2.0.7", VIP, CLIENT)
    inner = (IPv6 if v6 else IP)(src=client, dst=rip) / TCP(sport=4000, dport=8080, chksum=0x5555)
    error = ICMPv6DestUnreach(code=1) if v6 else ICMP(type=3, code=10)
    out = world.one((IPv6 if v6 else IP)(src=rip, dst=client) / error / inner, "real")
    packet = finished(out)
    assert (out.ifindex, packet.src, packet.dst) == (D0, vip, client)
    assert sums_right(packet)
    quoted = type(packet)(error_in(packet)[3])
    assert (quoted.dst, quoted[TCP].dport, quoted[TCP].chksum) == (vip, 80, 0x5555)
    assert bytes(quoted[TCP])[4:] == bytes(inner[TCP])[4:]


@pytest.mark.covers("C-085")
@FAMILIES
@pytest.mark.parametrize("how", ["-g", "-i"], ids=["dr", "tunnel"])
def test_error_for_a_dr_or_tunnel_server_goes_on_as_it_is(how: str, v6: bool) -> None:
    world = lab(how)
    world.one(head(v6) / SYN)
    sent = head(v6, src="fd00:1::ff" if v6 else "10.1.255.1") / about(v6, their_reply(v6))
    packet = world.one(sent).packet
    if how == "-i":
        packet = packet.payload
    assert bytes(packet.payload) == bytes(type(sent)(bytes(sent)).payload)
    assert (packet.src, packet.dst) == (sent.src, sent.dst)


@pytest.mark.covers("C-084")
@FAMILIES
def test_error_with_a_wrong_checksum_is_dropped_for_nat(v6: bool) -> None:
    world = lab()
    world.one(head(v6) / SYN)
    family, client, rip = (IPv6, "fd00:1::1", "fd00:2::7") if v6 else (IP, CLIENT, "10.2.0.7")
    theirs = family(src=client, dst=rip) / TCP(sport=4000, dport=80)
    for side, sent in (
        ("client", head(v6) / about(v6, their_reply(v6))),
        ("real", family(src=rip, dst=client) / about(v6, theirs)),
    ):
        assert len(world.send(sent, side)) == 1
        raw = bytearray(bytes(sent))
        raw[-1] ^= 1
        assert world.send(bytes(raw), side) == []
    assert world.engine.reasons() == {"bad-checksum": 2}


@pytest.mark.covers("C-080", "C-082")
@pytest.mark.parametrize(
    ("kind", "verdict"),
    [(3, "sent"), (4, "sent"), (11, "sent"), (5, "ignore"), (8, "ignore"), (12, "ignore")],
    ids=["unreachable", "quench", "time", "redirect", "echo", "parameter"],
)
def test_only_three_types_of_icmp_are_errors(kind: int, verdict: str) -> None:
    world = lab()
    world.one(head(False) / SYN)
    assert world.verdict(head(False) / about(False, their_reply(False), (kind, 0))) == verdict


@pytest.mark.covers("C-081")
@pytest.mark.parametrize(("kind", "verdict"), [(1, "sent"), (4, "sent"), (127, "sent"),
                                               (128, "ignore"), (135, "ignore")])  # fmt: skip
def test_all_icmpv6_types_below_128_are_errors(kind: int, verdict: str) -> None:
    world = lab()
    world.one(head(True) / SYN)
    assert world.verdict(icmp6(kind, bytes(their_reply(True)))) == verdict


def icmp6(kind: int, body: bytes) -> Packet:
    """An ICMPv6 message of any type, its checksum right."""
    echo = ICMPv6EchoRequest(bytes((kind, 0, 0, 0, 0, 0, 0, 0)) + body)
    echo.cksum = None
    return head(True) / echo


@pytest.mark.covers("C-083")
@FAMILIES
@pytest.mark.parametrize(("at", "verdict"), [(0, "sent"), (100, "host")], ids=["first", "later"])
def test_error_about_a_later_fragment_is_the_hosts(v6: bool, at: int, verdict: str) -> None:
    world = lab()
    world.one(head(v6) / SYN)
    inner = their_reply(v6)
    if v6:
        tcp = inner.payload
        header = IPv6ExtHdrFragment(offset=at, m=1, id=1, nh=6)
        inner = IPv6(src="fd00:9::1", dst="fd00:1::1", plen=28, nh=44) / header / tcp
    else:
        inner.frag, inner.flags = at, "MF"
    assert world.verdict(head(v6) / about(v6, inner)) == verdict


@pytest.mark.covers("C-090")
@pytest.mark.parametrize("side", ["client", "real"])
def test_error_does_not_restart_the_timer(side: str) -> None:
    world = lab()
    world.one(head(False) / SYN)
    world.wait(10)
    if side == "client":
        world.one(head(False) / about(False, their_reply(False)))
    else:
        inner = IP(src=CLIENT, dst="10.2.0.7") / TCP(sport=4000, dport=80)
        world.one(IP(src="10.2.0.7", dst=CLIENT) / about(False, inner), "real")
    assert world.state(4000) == ("SYN_RECV", 50)


@pytest.mark.covers("C-076", "C-086", "C-182")
@FAMILIES
@pytest.mark.parametrize("on", [0, 1])
def test_error_without_connection_makes_one_where_asked_for(on: int, v6: bool) -> None:
    world = lab("-g", schedule_icmp=on)
    sent = head(v6) / about(v6, their_reply(v6))
    assert world.verdict(sent) == ("sent" if on else "host")
    assert [row[4:] for row in world.connections()] == [["NONE", 3]] * on
    world = lab("-g", schedule_icmp=1)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.7:80 -g -w 0")
    world.words("-e -t [fd00:9::1]:80 -r [fd00:2::7]:80 -g -w 0")
    assert world.send(sent) == []
    assert world.engine.reasons() == {"icmp-related": 1}
