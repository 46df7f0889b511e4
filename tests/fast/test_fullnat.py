"""FULLNAT: what a packet looks like on either side, with every kind of checksum."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    IPerror6,
    IPv6,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.sctp import SCTP, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, D0_MAC, D1, D1_MAC, ROUTER_MAC, server_mac
from tests.fast.fulllab import LIP, LIP6, RIP, RIP6, RPORT, Flow, answer, client_of, lab, words
from tests.fast.path import (
    CLIENT,
    TCPV4,
    TCPV6,
    UDP_L4,
    VIP,
    VIP6,
    Lab,
    Vnet,
    bare,
    finished,
    head,
    hops,
    partial,
    sums_right,
)

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def df(v6: bool) -> dict[str, str]:
    return {} if v6 else {"flags": "DF"}


@pytest.mark.covers("C-148")
@FAMILIES
def test_request_comes_from_the_local_address_and_goes_to_the_server(v6: bool) -> None:
    world = lab("u")
    sent = head(v6, **df(v6)) / UDP(sport=4000, dport=80) / Raw(b"question")
    out = world.one(sent)
    wanted = sent.copy()
    wanted.src, wanted.dst = (LIP6, RIP6) if v6 else (LIP, RIP)
    wanted[UDP].sport, wanted[UDP].dport = out.packet[UDP].sport, RPORT
    setattr(wanted, "hlim" if v6 else "ttl", 63)
    assert (out.to_host, out.ifindex) == (False, D1)
    assert out.macs == (server_mac(7), D1_MAC)
    assert bytes(out.packet) == bytes(wanted)
    lport = out.packet[UDP].sport
    assert lport > 1024
    assert not 32768 <= lport <= 60999


@pytest.mark.covers("C-148")
@FAMILIES
def test_reply_comes_from_the_virtual_address_and_goes_to_the_client(v6: bool) -> None:
    world = lab("u")
    lport = world.one(head(v6) / UDP(sport=4000, dport=80)).packet[UDP].sport
    sent = answer(v6, lport, UDP() / Raw(b"answers"), **df(v6))
    out = world.one(sent, "real")
    wanted = sent.copy()
    wanted.src, wanted.dst = (VIP6 if v6 else VIP), client_of(v6)
    wanted[UDP].sport, wanted[UDP].dport = 80, 4000
    setattr(wanted, "hlim" if v6 else "ttl", 63)
    assert (out.to_host, out.ifindex) == (False, D0)
    assert out.macs == (ROUTER_MAC, D0_MAC)
    assert bytes(out.packet) == bytes(wanted)
    (row,) = world.connections()
    assert row[4:] == ["UDP", 300]
    assert world.server(f"[{RIP6}]:8080" if v6 else f"{RIP}:8080", service(v6, "udp"))
    counted = world.engine.total()
    world.engine.estimate()
    assert world.engine.total()[2] == counted[2] + 1


def service(v6: bool, proto: str) -> str:
    return f"{proto} [{VIP6}]:80" if v6 else f"{proto} {VIP}:80"


@FAMILIES
@pytest.mark.parametrize(
    ("layer", "kind"),
    [(TCP, "complete"), (TCP, "partial"), (UDP, "complete"), (UDP, "partial"), (UDP, "absent")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_checksums_are_right_both_ways(v6: bool, layer: type[Packet], kind: str) -> None:
    world = lab("t" if layer is TCP else "u")
    body = TCP(sport=4000, dport=80, flags="S") if layer is TCP else UDP(sport=4000, dport=80)
    back: Packet = TCP(flags="SA", seq=5, ack=9) if layer is TCP else UDP()
    if kind == "absent" and not v6:  # IPv6 always has one
        body.chksum = back.chksum = 0
    sent, vnet = bytes(head(v6) / body / Raw(b"odd number")), Vnet()
    if kind == "partial":
        sent, vnet = partial(head(v6) / body / Raw(b"odd number"))
    out = world.one(sent, vnet=vnet)
    assert sums_right(finished(out))
    given, vnet = bytes(answer(v6, out.packet[layer].sport, back / Raw(b"odd"))), Vnet()
    if kind == "partial":
        given, vnet = partial(answer(v6, out.packet[layer].sport, back / Raw(b"odd")))
    returned = world.one(given, "real", vnet)
    assert sums_right(finished(returned))
    assert returned.vnet.flags == vnet.flags


@pytest.mark.parametrize(
    ("v6", "layer", "kind"),
    [(False, TCP, TCPV4), (True, TCP, TCPV6), (False, UDP, UDP_L4), (True, UDP, UDP_L4)],
    ids=["tcp over ipv4", "tcp over ipv6", "udp over ipv4", "udp over ipv6"],
)
def test_super_frame_stays_one_both_ways(v6: bool, layer: type[Packet], kind: int) -> None:
    world = lab("t" if layer is TCP else "u")
    if layer is TCP:
        flow = Flow(world, v6).shaken()
        lport = flow.lport
        body: Packet = TCP(sport=4000, dport=80, flags="A", seq=101, ack=9000)
        back: Packet = TCP(flags="A", seq=7001, ack=(101 + flow.delta) % 2**32)
    else:
        lport = world.one(head(v6) / UDP(sport=4000, dport=80)).packet[UDP].sport
        body, back = UDP(sport=4000, dport=80), UDP()
    for packet, side in ((head(v6, **df(v6)) / body, "client"),
                         (answer(v6, lport, back, **df(v6)), "real")):  # fmt: skip
        raw, vnet = partial(packet / Raw(bytes(9000)))
        vnet = vnet._replace(gso_type=kind, gso_size=1000, hdr_len=54)
        out = world.one(raw, side, vnet)
        assert (out.vnet.gso_type, out.vnet.gso_size) == (kind, 1000)
        assert len(out.packet) == len(raw)
        assert sums_right(finished(out))


def test_sctp_is_sealed_anew() -> None:
    world = lab("sctp")
    init = SCTP(sport=4000, dport=80) / SCTPChunkInit(init_tag=1)
    out = world.one(head(False) / init).packet
    assert (out.src, out.dst, out[SCTP].dport) == (LIP, RIP, RPORT)
    assert sealed(out)
    ack = SCTP(tag=1) / SCTPChunkInitAck(init_tag=2)
    back = world.one(answer(False, out[SCTP].sport, ack), "real").packet
    assert (back.src, back.dst, back[SCTP].sport, back[SCTP].dport) == (VIP, CLIENT, 80, 4000)
    assert sealed(back)


def sealed(packet: Packet) -> bool:
    fresh = packet[SCTP].copy()
    del fresh.chksum
    return bool(SCTP(bytes(fresh)).chksum == packet[SCTP].chksum)


# ---- hop limits, MTU, fragments


@FAMILIES
def test_last_hop_is_answered_on_either_side(v6: bool) -> None:
    world = lab("u")
    lport = world.one(head(v6) / UDP(sport=4000, dport=80)).packet[UDP].sport
    for sent, side, told in (
        (head(v6, **hops(v6, 1)) / UDP(sport=4000, dport=80), "client", client_of(v6)),
        (answer(v6, lport, UDP(), **hops(v6, 1)), "real", RIP6 if v6 else RIP),
    ):
        out = world.one(sent, side)
        assert out.packet.dst == told
        assert out.packet.payload.type == (3 if v6 else 11)
    assert world.engine.reasons() == {"ttl": 2}


@FAMILIES
def test_what_exceeds_the_mtu_is_answered_with_it(v6: bool) -> None:
    world = Lab(*words("u"), mtu=1400)
    sent = head(v6, **df(v6)) / UDP(sport=4000, dport=80) / Raw(bytes(1380))
    out = world.one(sent)
    assert out.packet.dst == client_of(v6)
    if v6:
        assert out.packet[ICMPv6PacketTooBig].mtu == 1400
    else:
        assert (out.packet[ICMP].code, out.packet[ICMP].nexthopmtu) == (4, 1400)
    assert world.engine.reasons() == {"mtu": 1}


@FAMILIES
def test_fragments_leave_as_fragments_both_ways(v6: bool) -> None:
    world = lab("u")
    load = bytes(range(256)) * 10
    asked = numbered(v6) / UDP(sport=4000, dport=80) / Raw(load)
    outs = [o for part in pieces(v6, asked) for o in world.send(part)]
    whole = together(v6, [o.packet for o in outs])
    assert len(outs) > 1
    assert (whole.src, whole.dst) == ((LIP6, RIP6) if v6 else (LIP, RIP))
    assert bytes(whole[UDP].payload) == load
    assert sums_right(whole)
    given = answer(v6, whole[UDP].sport, UDP() / Raw(load[::-1]))
    outs = [o for part in reversed(pieces(v6, given)) for o in world.send(part, "real")]
    back = together(v6, [o.packet for o in outs])
    assert (back.src, back.dst, back[UDP].dport) == ((VIP6 if v6 else VIP), client_of(v6), 4000)
    assert bytes(back[UDP].payload) == load[::-1]
    assert sums_right(back)


def numbered(v6: bool) -> Packet:
    return head(v6) if v6 else head(v6, id=77)


def pieces(v6: bool, packet: Packet) -> list[Packet]:
    """Cut a packet into fragments of at most 1000 bytes."""
    if not v6:
        return list(fragment(packet, 1000))
    whole = IPv6(bytes(packet))
    front = IPv6(src=whole.src, dst=whole.dst)
    return list(fragment6(front / IPv6ExtHdrFragment(id=5) / whole.payload, 1000))


def together(v6: bool, packets: list[Packet]) -> Packet:
    """Put fragments together by hand."""
    data = b""
    if v6:
        packets = sorted(packets, key=lambda p: int(p[IPv6ExtHdrFragment].offset))
        data = b"".join(bytes(p[IPv6ExtHdrFragment].payload) for p in packets)
        first = packets[0]
        return IPv6(bytes(IPv6(src=first.src, dst=first.dst, nh=17, hlim=first.hlim) / Raw(data)))
    assert len({p.id for p in packets}) == 1
    packets = sorted(packets, key=lambda p: int(p.frag))
    data = b"".join(bytes(p.payload) for p in packets)
    first = packets[0]
    return IP(bytes(IP(src=first.src, dst=first.dst, proto=17, id=first.id) / Raw(data)))


def test_identifications_of_two_clients_do_not_meet() -> None:
    world = lab("u")
    ids = set()
    for src in ("10.1.0.1", "10.1.0.2"):
        sent = head(False, src=src, id=77) / UDP(sport=4000, dport=80) / Raw(bytes(2000))
        ids |= {o.packet.id for part in fragment(sent, 1000) for o in world.send(part)}
    assert len(ids) == 2


@FAMILIES
def test_real_server_that_is_the_host_itself_is_unreachable(v6: bool) -> None:
    world = lab("u")
    vip, own = (f"[{VIP6}]", "[fd00:2::fffe]") if v6 else (VIP, "10.2.255.254")
    world.words(f"-d -u {vip}:80 -r {f'[{RIP6}]' if v6 else RIP}:8080")
    world.words(f"-a -u {vip}:80 -r {own}:80 --fullnat")
    out = world.one(head(v6) / UDP(sport=4000, dport=80))
    assert (out.to_host, out.packet.dst) == (False, client_of(v6))
    assert world.engine.reasons() == {"no-route": 1}


# ---- ICMP errors


@FAMILIES
def test_error_from_the_clients_side_reaches_the_server(v6: bool) -> None:
    world = lab("u")
    lport = world.one(head(v6) / UDP(sport=4000, dport=80)).packet[UDP].sport
    seen = (IPv6(src=VIP6, dst=client_of(True)) if v6 else IP(src=VIP, dst=CLIENT)) / UDP(
        sport=80, dport=4000
    )
    kind = ICMPv6DestUnreach(code=4) if v6 else ICMP(type=3, code=3)
    out = world.one(head(v6) / kind / seen)
    inner = out.packet[IPerror6 if v6 else IPerror]
    assert (out.packet.src, out.packet.dst) == ((LIP6, RIP6) if v6 else (LIP, RIP))
    assert (inner.src, inner.dst) == ((RIP6, LIP6) if v6 else (RIP, LIP))
    assert (out.packet[UDPerror].sport, out.packet[UDPerror].dport) == (RPORT, lport)
    assert sums_right(finished(out))


@FAMILIES
def test_error_from_the_servers_side_reaches_the_client(v6: bool) -> None:
    world = lab()
    flow = Flow(world, v6)
    went = flow.request("S", seq=flow.isn).packet
    kind = ICMPv6PacketTooBig(mtu=1300) if v6 else ICMP(type=3, code=4, nexthopmtu=1300)
    far = "fd00:2::9" if v6 else "10.2.0.9"
    outer = IPv6(src=far, dst=LIP6) if v6 else IP(src=far, dst=LIP)
    out = world.one(outer / kind / type(went)(bytes(went)), "real")
    inner = out.packet[IPerror6 if v6 else IPerror]
    vip = VIP6 if v6 else VIP
    assert (out.packet.src, out.packet.dst) == (vip, client_of(v6))
    assert (inner.src, inner.dst) == (client_of(v6), vip)
    quoted = out.packet[TCPerror]
    assert (quoted.sport, quoted.dport, quoted.seq) == (4000, 80, flow.isn)
    assert sums_right(finished(out))
    assert bare(out.packet)[ICMPv6PacketTooBig if v6 else ICMP].fields.get(
        "mtu" if v6 else "nexthopmtu"
    ) == 1300  # fmt: skip


def to_server(v6: bool) -> Packet:
    return IPv6(src=LIP6, dst=RIP6) if v6 else IP(src=LIP, dst=RIP)


@FAMILIES
def test_error_about_the_hosts_own_traffic_is_given_back(v6: bool) -> None:
    world = lab("u")
    own = (IPv6(src=LIP6, dst=RIP6) if v6 else IP(src=LIP, dst=RIP)) / UDP(
        sport=40000, dport=RPORT
    )
    outer = IPv6(src=RIP6, dst=LIP6) if v6 else IP(src=RIP, dst=LIP)
    kind = ICMPv6DestUnreach(code=4) if v6 else ICMP(type=3, code=3)
    out = world.one(outer / kind / own, "real")
    assert (out.to_host, out.ifindex) == (True, D1)
    assert bytes(out.packet) == bytes(type(outer)(bytes(outer / kind / own)))


@FAMILIES
def test_error_with_a_wrong_checksum_goes_nowhere(v6: bool) -> None:
    world = lab("u")
    lport = world.one(head(v6) / UDP(sport=4000, dport=80)).packet[UDP].sport
    own = (IPv6(src=LIP6, dst=RIP6) if v6 else IP(src=LIP, dst=RIP)) / UDP(
        sport=lport, dport=RPORT
    )
    outer = IPv6(src=RIP6, dst=LIP6) if v6 else IP(src=RIP, dst=LIP)
    kind = ICMPv6DestUnreach(cksum=1) if v6 else ICMP(type=3, code=3, chksum=1)
    assert world.send(outer / kind / own, "real") == []
    assert world.engine.reasons() == {"bad-checksum": 1}
