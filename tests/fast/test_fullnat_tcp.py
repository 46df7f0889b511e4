"""FULLNAT's part in TCP: sequence numbers, options, and the client's address in one of them."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet, Raw

from tests.fast.fulllab import Flow, answer, client_of, lab, toa_of
from tests.fast.path import (
    TCPV4,
    TCPV6,
    finished,
    head,
    partial,
    sums_right,
)

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def client_option(v6: bool, port: int = 4000) -> bytes:
    return port.to_bytes(2, "big") + ip_address(client_of(v6)).packed


@pytest.mark.covers("C-155")
@FAMILIES
def test_sequence_numbers_are_translated_both_ways(v6: bool) -> None:
    flow = Flow(lab(), v6, isn=0xFFFFFFF0)
    assert flow.delta != 0
    back = flow.reply("SA", seq=7000).packet[TCP]
    assert (back.seq, back.ack) == (7000, (flow.isn + 1) % 2**32)
    for seq in (0xFFFFFFF1, 5, 0x80000000):
        went = flow.request("A", seq=seq, ack=7001)
        assert went.packet[TCP].seq == (seq + flow.delta) % 2**32
        assert went.packet[TCP].ack == 7001
        assert sums_right(went.packet)
        back_out = flow.reply("A", ack=(seq + flow.delta) % 2**32)
        assert back_out.packet[TCP].ack == seq
        assert sums_right(back_out.packet)
    assert flow.reply("R", ack=0).packet[TCP].ack == 0  # no acknowledgement: nothing to move


@pytest.mark.covers("C-155")
def test_first_sequence_number_rises_from_one_client_to_the_next_on_the_same_ends() -> None:
    world = lab()
    world.engine.reserve_ports(1026, 65535)  # one port is left
    seen = []
    for port in (4000, 4001, 4002):
        flow = Flow(world, port=port, isn=port * 1_000_000 % 2**32)
        assert flow.lport == 1025
        seen.append((flow.isn + flow.delta) % 2**32)
        flow.request("R")
        world.wait(61)
        assert world.connections() == []
    steps = [(b - a) % 2**32 for a, b in pairwise(seen)]
    assert all(0 < step < 2**31 for step in steps)


def test_connection_without_a_syn_keeps_its_numbers() -> None:
    world = lab(sloppy_tcp=1)
    out = world.one(head(False) / TCP(sport=4000, dport=80, flags="A", seq=77, ack=5))
    assert out.packet[TCP].seq == 77


@pytest.mark.covers("C-155")
@FAMILIES
@pytest.mark.parametrize("lead", [0, 1], ids=["even offset", "odd offset"])
def test_mss_is_lowered_and_time_stamps_are_blanked(v6: bool, lead: int) -> None:
    world = lab()
    options: list[Any] = [("NOP", None)] * lead
    options += [("MSS", 1460), ("Timestamp", (9, 0)), ("SAckOK", b""), ("WScale", 7)]
    syn = TCP(sport=4000, dport=80, flags="S", options=options)
    out = world.one(head(v6) / syn)
    size = 20 if v6 else 8
    kept = [(k, v) for k, v in out.packet[TCP].options if k not in ("NOP", "EOL")]
    assert kept == [("MSS", 1460 - size), ("SAckOK", b""), ("WScale", 7)]
    assert len(out.packet) == len(head(v6) / syn)
    assert sums_right(out.packet)
    ack = TCP(flags="SA", seq=7000, ack=1, options=[("NOP", None)] * lead + [("MSS", 1400)])
    back = world.one(answer(v6, out.packet[TCP].sport, ack), "real").packet
    assert [v for k, v in back[TCP].options if k == "MSS"] == [1400 - size]
    assert sums_right(back)


@pytest.mark.covers("C-156")
@FAMILIES
@pytest.mark.parametrize("lead", [1, 2], ids=["odd offset", "even offset"])
def test_edges_of_selective_acknowledgements_are_translated(v6: bool, lead: int) -> None:
    flow = Flow(lab(), v6).shaken()
    edges = (200, 300, 0xFFFFFFFF, 5)
    moved = tuple((edge + flow.delta) % 2**32 for edge in edges)
    options: list[Any] = [("NOP", None)] * lead + [("SAck", moved)]
    out = flow.reply("A", options=options)
    assert [v for k, v in out.packet[TCP].options if k == "SAck"] == [edges]
    assert sums_right(out.packet)
    # what the client acknowledges selectively are the server's own numbers
    asked = flow.request("A", ack=9000, options=[("NOP", None)] * 2 + [("SAck", (7100, 7200))])
    assert [v for k, v in asked.packet[TCP].options if k == "SAck"] == [(7100, 7200)]


def test_options_that_are_cut_off_end_the_walk_and_no_more() -> None:
    flow = Flow(lab()).shaken()
    cut = b"\x05\x0a\0\0\0\0\0\1"
    tcp = TCP(sport=8080, dport=flow.lport, flags="A", seq=7001, ack=5, dataofs=7)
    sent = answer(False, flow.lport, TCP(), proto=6)
    sent.remove_payload()
    out = flow.world.one(sent / Raw(bytes(tcp) + cut), "real")
    assert bytes(out.packet)[40:48] == cut


def test_header_longer_than_the_packet_is_dropped() -> None:
    world = lab()
    syn = head(False) / TCP(sport=4000, dport=80, flags="S", dataofs=15)
    assert world.send(syn) == []
    assert world.engine.reasons() == {"bad-header": 1}


# ---- the client's address


@pytest.mark.covers("C-152", "C-153")
@FAMILIES
@pytest.mark.parametrize("given", ["complete", "partial"])
def test_early_acks_carry_the_client_directly_behind_the_fixed_header(
    v6: bool, given: str
) -> None:
    flow = Flow(lab(), v6).shaken()
    size = 20 if v6 else 8
    options = [("NOP", None)] * 2 + [("SAck", (7100, 7200))]
    for load in (b"", b"GET / HTTP/1.0\r\n\r\n!"):
        tcp = TCP(sport=4000, dport=80, flags="PA", seq=101, ack=7001, options=options)
        packet = head(v6) / tcp / load
        out = (
            flow.world.one(packet)
            if given == "complete"
            else flow.world.one(*partial(packet)[:1], vnet=partial(packet)[1])
        )
        raw = bytes(out.packet[TCP])
        assert raw[20 : 20 + size] == bytes((254, size)) + client_option(v6)
        assert raw[20 + size : 32 + size] == bytes(tcp)[20:32]
        assert raw[32 + size :] == load
        assert out.packet[TCP].dataofs == 8 + size // 4
        assert len(out.packet) == len(packet) + size
        assert (
            out.packet.plen == len(packet) + size - 40 if v6 else out.packet.len == len(out.packet)
        )
        assert sums_right(finished(out))


@pytest.mark.covers("C-153")
@FAMILIES
def test_client_is_told_until_it_acknowledges_data_of_the_server(v6: bool) -> None:
    flow = Flow(lab(), v6)
    assert toa_of(flow.request("S", seq=flow.isn).packet) is None
    assert toa_of(flow.request("A", ack=7001).packet) is None  # before the server answered
    flow.shaken()
    for flags in ("A", "PA", "FA"):
        assert toa_of(flow.request(flags, ack=7001).packet) == client_option(v6)
    assert toa_of(flow.request("R", ack=7001).packet) is None
    assert toa_of(flow.request("RA", ack=7001).packet) is None
    for ack in (7002, 7000, 9000):
        assert toa_of(flow.request("A", ack=ack).packet) is None


@FAMILIES
@pytest.mark.parametrize(("toa", "in_syn", "in_ack"), [(0, False, False), (1, False, True),
                                                       (2, True, True)])  # fmt: skip
def test_setting_says_where_the_client_is_told(
    v6: bool, toa: int, in_syn: bool, in_ack: bool
) -> None:
    world = lab()
    world.tables.set_sysctl("toa", str(toa))
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    syn = world.one(head(v6) / TCP(sport=4000, dport=80, flags="S", seq=100, options=options))
    assert toa_of(syn.packet) == (client_option(v6) if in_syn else None)
    assert sums_right(syn.packet)
    mss = dict(syn.packet[TCP].options)["MSS"]
    assert mss == 1460 - (0 if toa == 0 else 20 if v6 else 8)
    flow = Flow(world, v6, port=4001).shaken()
    got = toa_of(flow.request("A", ack=7001).packet)
    assert got == (client_option(v6, 4001) if in_ack else None)


@pytest.mark.covers("C-154")
@FAMILIES
def test_full_options_leave_the_client_out(v6: bool) -> None:
    flow = Flow(lab(), v6).shaken()
    room = 5 if v6 else 8  # words of options beside it
    for words_used, fits in ((room, True), (room + 1, False)):
        options = [("NOP", None)] * 4 * words_used
        out = flow.request("A", ack=7001, options=options)
        assert (toa_of(out.packet) is not None) is fits
        assert sums_right(out.packet)


@pytest.mark.covers("C-154")
@FAMILIES
def test_full_packets_leave_the_client_out(v6: bool) -> None:
    flow = Flow(lab(), v6).shaken()
    room = 1500 - (60 + 20 if v6 else 40 + 8)
    for size, fits in ((room, True), (room + 1, False)):
        out = flow.request("A", bytes(size), ack=7001)
        assert (toa_of(out.packet) is not None) is fits


@pytest.mark.covers("C-154")
@pytest.mark.parametrize(("v6", "kind"), [(False, TCPV4), (True, TCPV6)], ids=["ipv4", "ipv6"])
def test_super_frame_carries_the_client_if_its_segments_have_room(v6: bool, kind: int) -> None:
    flow = Flow(lab(), v6).shaken()
    size, header = (20, 60) if v6 else (8, 40)
    for segment, fits in ((1500 - header - size, True), (1500 - header, False)):
        packet: Packet = head(v6) / TCP(sport=4000, dport=80, flags="A", seq=101, ack=7001)
        raw, vnet = partial(packet / Raw(bytes(9000)))
        vnet = vnet._replace(gso_type=kind, gso_size=segment, hdr_len=14 + header)
        out = flow.world.one(raw, vnet=vnet)
        assert (toa_of(out.packet) is not None) is fits
        assert out.vnet.hdr_len == 14 + header + (size if fits else 0)
        assert len(out.packet) == len(raw) + (size if fits else 0)
        assert sums_right(finished(out))
