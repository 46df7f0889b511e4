"""NAT: what changes in a packet and what does not, with every kind of checksum."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, D0_MAC, D1, D1_MAC, ROUTER_MAC, server_mac
from tests.fast.path import (
    CLIENT,
    NEEDS_CSUM,
    TCPV4,
    TCPV6,
    UDP_L4,
    VIP,
    Lab,
    Vnet,
    bare,
    head,
    partial,
    pseudo_sum,
    sums_right,
)  # fmt: skip

RIP = {False: "10.2.0.7", True: "fd00:2::7"}
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def lab(proto: str = "t", rport: int = 8080, **sysctls: int) -> Lab:
    flag = f"--{proto}-service" if len(proto) > 1 else f"-{proto}"
    return Lab(
        f"-A {flag} {VIP}:80 -s rr",
        f"-a {flag} {VIP}:80 -r 10.2.0.7:{rport} -m",
        f"-A {flag} [fd00:9::1]:80 -s rr",
        f"-a {flag} [fd00:9::1]:80 -r [fd00:2::7]:{rport} -m",
        **sysctls,
    )


def reply(v6: bool, **fields: int) -> Packet:
    if v6:
        return IPv6(src=RIP[True], dst="fd00:1::1", **fields)
    return IP(src=RIP[False], dst=CLIENT, **fields)


@pytest.mark.covers("C-117", "C-113", "C-022")
@FAMILIES
def test_request_changes_in_target_address_port_and_ttl_only(v6: bool) -> None:
    sent = head(v6, tc=0x48) if v6 else head(v6, tos=0x48, id=77, flags="DF")
    sent = sent / TCP(sport=4000, dport=80, flags="S", options=[("MSS", 1400)]) / Raw(b"abc")
    out = lab().one(sent)
    wanted = sent.copy()
    wanted.dst = RIP[v6]
    wanted[TCP].dport = 8080
    setattr(wanted, "hlim" if v6 else "ttl", 63)
    assert (out.to_host, out.ifindex) == (False, D1)
    assert out.macs == (server_mac(7), D1_MAC)
    assert bytes(out.packet) == bytes(wanted)


@pytest.mark.covers("C-118", "C-067", "C-113")
@FAMILIES
def test_reply_changes_in_source_address_port_and_ttl_only(v6: bool) -> None:
    world = lab()
    world.send(head(v6) / TCP(sport=4000, dport=80, flags="S"))
    sent = reply(v6) / TCP(sport=8080, dport=4000, flags="SA", seq=9, ack=1) / Raw(b"defg")
    out = world.one(sent, "real")
    wanted = sent.copy()
    wanted.src = "fd00:9::1" if v6 else VIP
    wanted[TCP].sport = 80
    setattr(wanted, "hlim" if v6 else "ttl", 63)
    assert out.ifindex == D0
    assert out.macs == (ROUTER_MAC, D0_MAC)
    assert bytes(out.packet) == bytes(wanted)


@pytest.mark.covers("C-022")
@FAMILIES
def test_server_port_0_keeps_the_packets_port(v6: bool) -> None:
    world = lab(rport=0)
    assert world.one(head(v6) / TCP(sport=4000, dport=80, flags="S")).packet[TCP].dport == 80


@pytest.mark.covers("C-119")
@FAMILIES
@pytest.mark.parametrize("layer", [TCP, UDP], ids=["tcp", "udp"])
def test_wrong_checksum_stays_wrong_by_as_much(v6: bool, layer: type[Packet]) -> None:
    world = lab("t" if layer is TCP else "u")
    body = (
        TCP(sport=4000, dport=80, flags="S") if layer is TCP else UDP(sport=4000, dport=80)
    ) / Raw(b"payload")
    good = type(head(v6))(bytes(head(v6) / body))
    bad = good.copy()
    bad[layer].chksum = (good[layer].chksum + 0x1234) % 0xFFFF
    right, wrong = (world.one(p).packet[layer].chksum for p in (good, bad))
    assert sums_right(world.one(good).packet)
    assert (wrong - right) % 0xFFFF == 0x1234


@pytest.mark.covers("C-120")
def test_udp_without_checksum_gets_a_full_one_both_ways() -> None:
    world = lab("u")
    out = world.one(head(False) / UDP(sport=4000, dport=80, chksum=0) / Raw(b"question"))
    assert out.packet[UDP].chksum != 0
    assert sums_right(out.packet)
    back = world.one(reply(False) / UDP(sport=8080, dport=4000, chksum=0) / Raw(b"ok"), "real")
    assert back.packet[UDP].chksum != 0
    assert sums_right(back.packet)


@pytest.mark.covers("C-121")
@pytest.mark.parametrize("given", ["complete", "absent"])
def test_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff(given: str) -> None:
    world = lab("u")
    after = IP(src=CLIENT, dst=RIP[False], ttl=63) / UDP(sport=4000, dport=8080, chksum=0, len=10)
    word = -(pseudo_sum(bytes(after / Raw(bytes(2))), 20, 17) + 4000 + 8080 + 10) % 0xFFFF
    sent = head(False) / UDP(sport=4000, dport=80) / Raw(word.to_bytes(2, "big"))
    if given == "absent":
        sent[UDP].chksum = 0
    out = world.one(sent).packet
    assert out[UDP].chksum == 0xFFFF


@pytest.mark.covers("C-122", "C-461", "C-465")
@FAMILIES
@pytest.mark.parametrize("layer", [TCP, UDP], ids=["tcp", "udp"])
def test_partial_checksum_keeps_the_pseudo_header_alone(v6: bool, layer: type[Packet]) -> None:
    world = lab("t" if layer is TCP else "u")
    body = TCP(sport=4000, dport=80, flags="S") if layer is TCP else UDP(sport=4000, dport=80)
    raw, vnet = partial(head(v6) / body / Raw(b"payload"))
    out = world.one(raw, vnet=vnet)
    assert out.vnet == vnet
    l4, protocol = vnet.csum_start - 14, 6 if layer is TCP else 17
    assert out.packet[layer].chksum == pseudo_sum(bytes(out.packet), l4, protocol)
    assert out.packet[layer].dport == 8080


@pytest.mark.covers("C-462")
@pytest.mark.parametrize(
    ("v6", "layer", "kind"),
    [(False, TCP, TCPV4), (True, TCP, TCPV6), (False, UDP, UDP_L4), (True, UDP, UDP_L4)],
    ids=["tcp over ipv4", "tcp over ipv6", "udp over ipv4", "udp over ipv6"],
)
def test_super_frame_stays_one(v6: bool, layer: type[Packet], kind: int) -> None:
    world = lab("t" if layer is TCP else "u")
    if layer is TCP:
        world.send(head(v6) / TCP(sport=4000, dport=80, flags="S"))
    body = TCP(sport=4000, dport=80, flags="A") if layer is TCP else UDP(sport=4000, dport=80)
    sent = head(v6) / body / Raw(bytes(20000))
    raw, vnet = partial(sent)
    vnet = vnet._replace(
        gso_type=kind, gso_size=1200, hdr_len=vnet.csum_start + (20 if layer is TCP else 8)
    )
    out = world.one(raw, vnet=vnet)
    assert out.vnet == vnet
    assert len(out.frame) == 14 + len(raw)
    assert out.packet[layer].dport == 8080


@pytest.mark.covers("C-123")
@pytest.mark.parametrize(("rport", "kept"), [(80, True), (8080, False)])
def test_sctp_sum_is_computed_anew_only_with_another_port(rport: int, kept: bool) -> None:
    world = lab("sctp", rport)
    chunk = SCTPChunkInit(init_tag=5, a_rwnd=4096, n_out_streams=1, n_in_streams=1)
    sent = IP(bytes(head(False) / SCTP(sport=4000, dport=80) / chunk))
    sent[SCTP].chksum ^= 0xFFFF
    out = world.one(sent).packet[SCTP]
    if kept:
        assert out.chksum == sent[SCTP].chksum
    else:
        fresh = out.copy()
        del fresh.chksum
        assert bytes(fresh) == bytes(out)


@pytest.mark.covers("C-125")
def test_loopback_server_gets_nothing_from_outside() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 127.0.0.1:80 -m")
    assert world.send(head(False) / TCP(sport=4000, dport=80, flags="S")) == []
    assert world.engine.reasons() == {"martian": 1}


@pytest.mark.covers("C-111")
@FAMILIES
def test_local_real_server_is_the_hosts_after_rewriting(v6: bool) -> None:
    rip = "fd00:9::99" if v6 else "10.9.0.99"
    world = lab()
    service, at = ("[fd00:9::1]:443", f"[{rip}]:8443") if v6 else (f"{VIP}:443", f"{rip}:8443")
    world.words(f"-A -t {service} -s rr")
    world.words(f"-a -t {service} -r {at} -m")
    sent = head(v6) / TCP(sport=4000, dport=443, flags="S")
    out = world.one(sent)
    wanted = sent.copy()
    wanted.dst = rip
    wanted[TCP].dport = 8443
    assert (out.to_host, out.ifindex) == (True, D0)
    assert bytes(out.packet) == bytes(wanted)


def test_record_route_option_names_the_virtual_address_and_sums_stay_right() -> None:
    sent = head(False, options=[IPOption_RR(pointer=4, routers=["0.0.0.0"])])
    out = lab().one(sent / TCP(sport=4000, dport=80, flags="S")).packet
    assert out.options[0].routers == [VIP]
    assert sums_right(out)
    assert bare(out)[TCP].dport == 8080


def test_finished_frame_says_nothing_of_its_checksum() -> None:
    sent = head(False) / TCP(sport=4000, dport=80, flags="S")
    out = lab().one(sent, vnet=Vnet(flags=2))
    assert not out.vnet.flags & NEEDS_CSUM
    assert sums_right(out.packet)
