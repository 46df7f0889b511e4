"""Which frames are the data path's, which it gives back, and which were never its own."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from lbfast.replay.network import D0, D0_MAC, D1, packed
from tests.fast.path import CLIENT, VIP, VIP6, Lab, head

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SYN = TCP(sport=4000, dport=80, flags="S")


def lab(how: str = "-m", **sysctls: int) -> Lab:
    return Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 {how}",
        "-A -t [fd00:9::1]:80 -s rr", f"-a -t [fd00:9::1]:80 -r [fd00:2::7]:80 {how}",
        **sysctls,
    )  # fmt: skip


def server(v6: bool, dst: str = "") -> Packet:
    if v6:
        return IPv6(src="fd00:2::7", dst=dst or "fd00:1::1")
    return IP(src="10.2.0.7", dst=dst or CLIENT)


def protocol(v6: bool) -> dict[str, Any]:
    return {"nh": 50} if v6 else {"proto": 50}


@pytest.mark.covers("C-040")
def test_family_without_service_is_left_alone() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.7:80 -m")
    assert world.verdict(head(False) / SYN) == "sent"
    assert world.verdict(head(True) / SYN) == "ignore"


@pytest.mark.covers("C-064", "C-041", "C-046", "C-080")
@FAMILIES
def test_what_is_no_service_is_never_taken(v6: bool) -> None:
    world = lab()
    ping = ICMPv6EchoRequest() if v6 else ICMP()
    for sent in (
        head(v6) / TCP(sport=4000, dport=81, flags="S"),
        head(v6) / UDP(sport=4000, dport=80),
        head(v6, dst="fd00:9::2" if v6 else "10.9.0.2") / SYN,
        head(v6) / ping,
        head(v6, **protocol(v6)) / Raw(bytes(40)),
    ):
        assert world.verdict(sent) == "ignore"


@pytest.mark.covers("C-044")
def test_frames_for_others_and_other_protocols_are_never_taken() -> None:
    world = lab()
    packet = head(False) / SYN
    others = (
        Ether(dst="02:00:00:00:99:99", src="02:00:00:00:00:01") / packet,
        Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01") / packet,
        Ether(dst=D0_MAC, src="02:00:00:00:00:01") / ARP(pdst=VIP),
    )
    assert world.frames(*((D0, b"", bytes(frame)) for frame in others)) == []
    assert world.engine.verdicts()["ignore"] == 3


@pytest.mark.covers("C-057", "C-058")
@FAMILIES
@pytest.mark.parametrize("flags", ["A", "FA", "R", "RA", "PA"])
def test_tcp_without_connection_that_is_no_syn_is_given_back_as_it_came(
    v6: bool, flags: str
) -> None:
    world = lab()
    sent = head(v6) / TCP(sport=4000, dport=80, flags=flags)
    out = world.one(sent)
    assert (out.to_host, out.ifindex) == (True, D0)
    assert bytes(out.packet) == bytes(sent)
    assert world.connections() == []


@pytest.mark.covers("C-058", "C-059", "C-174")
@pytest.mark.parametrize(("flags", "verdict"), [("A", "sent"), ("FA", "sent"), ("R", "host"),
                                                ("RA", "host")])  # fmt: skip
def test_sloppy_tcp_schedules_all_but_rst(flags: str, verdict: str) -> None:
    world = lab(sloppy_tcp=1)
    assert world.verdict(head(False) / TCP(sport=4000, dport=80, flags=flags)) == verdict
    if flags == "A":
        assert world.state(4000)[0] == "ESTABLISHED"


@pytest.mark.covers("C-055")
def test_syn_ack_starts_a_connection() -> None:
    world = lab()
    assert world.verdict(head(False) / TCP(sport=4000, dport=80, flags="SA")) == "sent"


@pytest.mark.covers("C-063")
def test_source_port_20_is_never_scheduled() -> None:
    world = lab()
    world.words(f"-A -u {VIP}:80 -s rr")
    world.words(f"-a -u {VIP}:80 -r 10.2.0.7:80 -m")
    for body in (TCP(sport=20, dport=80, flags="S"), UDP(sport=20, dport=80)):
        assert world.verdict(head(False) / body) == "host"
    assert world.connections() == []


@pytest.mark.covers("C-061")
def test_every_datagram_may_start_a_connection() -> None:
    world = Lab(f"-A -u {VIP}:80 -s rr", f"-a -u {VIP}:80 -r 10.2.0.7:80 -m")
    assert world.verdict(head(False) / UDP(sport=4000, dport=80)) == "sent"
    assert world.state(4000) == ("UDP", 300)


@pytest.mark.covers("C-062")
@pytest.mark.parametrize(("size", "reason"), [(3, "no-ports"), (12, "no-ports")])
def test_header_cut_short_is_dropped(size: int, reason: str) -> None:
    world = lab()
    assert world.send(head(False, proto=6) / Raw(bytes(SYN)[:size])) == []
    assert world.engine.reasons() == {reason: 1}


@pytest.mark.covers("C-072")
@FAMILIES
def test_packet_of_a_nat_server_without_connection_is_given_back(v6: bool) -> None:
    world = lab()
    sent = server(v6) / TCP(sport=80, dport=4000, flags="SA")
    out = world.one(sent, "real")
    assert (out.to_host, out.ifindex) == (True, D1)
    assert bytes(out.packet) == bytes(sent)
    assert world.verdict(server(v6) / TCP(sport=22, dport=4000), "real") == "ignore"


@FAMILIES
def test_packet_of_a_nat_server_for_the_host_itself_is_the_hosts(v6: bool) -> None:
    sent = server(v6, "fd00:2::fffe" if v6 else "10.2.255.254")
    assert lab().verdict(sent / TCP(sport=80, dport=4000, flags="SA"), "real") == "ignore"


@pytest.mark.covers("C-070", "C-071")
@FAMILIES
@pytest.mark.parametrize(("flags", "told"), [("SA", True), ("A", True), ("R", False)])
def test_nat_icmp_send_tells_the_server_of_an_orphan(v6: bool, flags: str, told: bool) -> None:
    world = lab(nat_icmp_send=1)
    sent = server(v6) / TCP(sport=80, dport=4000, flags=flags)
    out = world.one(sent, "real")
    if told:
        assert (out.to_host, out.packet.dst) == (False, sent.src)
        assert bytes(out.packet.payload)[:2] == (b"\1\4" if v6 else b"\3\3")
        assert world.engine.reasons() == {"reply-unreachable": 1}
    else:
        assert out.to_host


@pytest.mark.covers("C-070", "C-071")
@pytest.mark.parametrize(("chunk", "told"), [(2, True), (6, False)], ids=["INIT ACK", "ABORT"])
def test_nat_icmp_send_tells_nothing_of_an_abort(chunk: int, told: bool) -> None:
    world = Lab(f"-A --sctp-service {VIP}:80 -s rr", nat_icmp_send=1)
    world.words(f"-a --sctp-service {VIP}:80 -r 10.2.0.7:80 -m")
    sctp = struct.pack("!HHII BBH", 80, 4000, 1, 0, chunk, 0, 4)
    out = world.one(IP(src="10.2.0.7", dst=CLIENT, proto=132) / Raw(sctp), "real")
    assert out.to_host is not told


@pytest.mark.covers("C-068", "C-069", "C-161", "C-173")
def test_passing_reply_of_a_direct_server_is_only_accounted() -> None:
    world = lab("-g")
    world.ask(4000)
    sent = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=4000, flags="SA")
    assert world.verdict(sent, "real") == "ignore"
    world.engine.estimate()
    assert world.server("10.2.0.7:80").stats.outpkts == 1
    assert world.verdict(head(False) / TCP(sport=4000, dport=80, flags="A")) == "sent"
    world.ask(4000, "FA")
    assert world.state(4000)[0] == "CLOSE_WAIT"  # not FIN_WAIT: replies were seen


@pytest.mark.covers("C-067", "C-161")
def test_reply_is_found_by_server_and_client_only() -> None:
    world = lab()
    world.ask(4000)
    assert world.answer("10.2.0.7:80", f"{CLIENT}:4000") == f"{VIP}:80"
    other = IP(src="10.2.0.7", dst="10.1.0.2") / TCP(sport=80, dport=4000, flags="SA")
    assert world.verdict(other, "real") == "host"


# ---- which service (spec 1.5)


@pytest.mark.covers("C-027", "C-029", "C-023")
def test_exact_port_beats_all_ports_which_take_the_rest_of_the_protocol() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.1:80 -m",
        f"-A -t {VIP}:0 -s rr -p", f"-a -t {VIP}:0 -r 10.2.0.2:99 -m",
    )  # fmt: skip
    assert world.ask(4000) == "10.2.0.1:80"
    assert world.ask(4001, dst=f"{VIP}:81") == "10.2.0.2:81"
    assert world.verdict(head(False) / UDP(sport=4000, dport=81)) == "ignore"


@pytest.mark.covers("C-028", "C-065", "C-075")
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(("port", "taken"), [(20, True), (1024, True), (1023, False), (22, False)])
def test_ftp_service_takes_data_ports_and_uses_them_when_persistent(
    persistent: bool, port: int, taken: bool
) -> None:
    world = Lab(f"-A -t {VIP}:21 -s rr{' -p' if persistent else ''}",
                f"-a -t {VIP}:21 -r 10.2.0.1:21 -m")  # fmt: skip
    verdict = world.verdict(head(False) / TCP(sport=4000, dport=port, flags="S"))
    assert verdict == ("ignore" if not taken else "sent" if persistent else "host")


def mark(number: int, dport: tuple[int, int] = (0, 65535)) -> tuple[object, ...]:
    return (number, 2, 0, 0, b"", 0, packed(VIP), 32, (0, 65535), dport)


@pytest.mark.covers("C-022", "C-024", "C-025", "C-026")
def test_mark_comes_before_the_address_and_an_unknown_one_falls_through() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.1:80 -m",
        "-A -f 5 -s rr", "-a -f 5 -r 10.2.0.2:8080 -m", "-a -f 5 -r 10.2.0.3:0 -m",
    )  # fmt: skip
    world.engine.marks_replace([mark(5), mark(6, (90, 90))])
    assert world.ask(4000) == "10.2.0.3:80"
    assert world.ask(4001, dst=f"{VIP}:81") == "10.2.0.2:8080"
    assert world.ask(4002, dst=f"{VIP}:82") == "10.2.0.3:82"
    assert world.verdict(head(False) / TCP(sport=4002, dport=90, flags="S")) == "ignore"
    world.engine.marks_replace([mark(5), mark(6, (80, 80))])  # the last match decides
    assert world.ask(4003) == "10.2.0.1:80"


@pytest.mark.covers("C-042", "C-043")
@FAMILIES
def test_fragments_for_others_come_back_as_they_came(v6: bool) -> None:
    world = lab()
    data = bytes(TCP(sport=4000, dport=81, flags="S") / Raw(bytes(60)))
    pieces = [fragment(v6, 0, data[:40], True), fragment(v6, 40, data[40:], False)]
    outs = [out for piece in pieces for out in world.send(piece)]
    assert [out.to_host for out in outs] == [True, True]
    assert [bytes(out.packet) for out in outs] == [bytes(p) for p in pieces]


def fragment(v6: bool, at: int, data: bytes, more: bool, df: bool = False) -> Packet:
    if v6:
        header = IPv6ExtHdrFragment(offset=at // 8, m=int(more), id=5, nh=6)
        return IPv6(src="fd00:1::1", dst=VIP6) / header / Raw(data)
    return head(False, id=5, proto=6, frag=at // 8, flags=int(more) | 2 * df) / Raw(data)


@pytest.mark.covers("C-042", "C-124")
@FAMILIES
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "last first"])
def test_fragments_of_a_request_reach_the_server_rewritten(
    v6: bool, order: tuple[int, int]
) -> None:
    world = lab()
    rip = "fd00:2::7" if v6 else "10.2.0.7"
    whole = head(v6) / SYN / Raw(bytes(range(60)))
    data = bytes(whole)[40 if v6 else 20 :]
    df = order[0] == 1
    pieces = [fragment(v6, 0, data[:40], True, df), fragment(v6, 40, data[40:], False, df)]
    assert world.send(pieces[order[0]]) == []
    outs = [o.packet for o in world.send(pieces[order[1]])]
    assert {p.dst for p in outs} == {rip}
    parts = [bytes(p[IPv6ExtHdrFragment].payload if v6 else p.payload) for p in outs]
    assert [len(part) for part in parts] == [40, 40]
    wanted = head(v6, dst=rip) / SYN / Raw(bytes(range(60)))
    assert b"".join(parts) == bytes(wanted)[40 if v6 else 20 :]
    assert world.connections()[0][4] == "SYN_RECV"
