"""The FTP helper of NAT services: what a changed reply does to the stream and its checksums."""

from __future__ import annotations

import os
import struct

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet, Raw

from tests.fast import director as d
from tests.fast.ftpsession import (
    ASKED,
    CLIENT,
    GROWTH,
    SERVER,
    TOLD,
    VIP,
    Session,
    director,
    finished,
    text,
    total,
)

NEEDS_CSUM, DATA_VALID = 1, 2


@pytest.fixture
def session() -> Session:
    return Session(director()).established()


@pytest.fixture
def grown(session: Session) -> Session:
    """A session in which a 227 at `mark` became GROWTH bytes longer."""
    session.ask("PASV\r\n")
    session.mark = session.sseq
    session.answer(ASKED)
    return session


def test_later_replies_move_up_and_what_acknowledges_them_back(grown: Session) -> None:
    before = grown.sseq
    (out,) = grown.answer("150 here it comes\r\n")
    assert finished(out)[TCP].seq == before + GROWTH
    (back,) = grown.ask(flags="A", ack=grown.sseq + GROWTH)
    assert finished(back)[TCP].ack == grown.sseq
    (plain,) = grown.ask("NOOP\r\n", ack=grown.sseq + GROWTH)
    assert finished(plain)[TCP].seq == grown.cseq - 6


def test_the_reply_itself_and_what_came_before_stay(grown: Session) -> None:
    mark = grown.mark
    (again,) = grown.answer(ASKED, seq=mark)
    assert finished(again)[TCP].seq == mark
    (older,) = grown.answer("220 hi\r\n", seq=mark - 8)
    assert finished(older)[TCP].seq == mark - 8
    (ack,) = grown.ask(flags="A", ack=mark)
    assert finished(ack)[TCP].ack == mark


def test_two_rewritten_replies_add_up(grown: Session) -> None:
    grown.ask("PASV\r\n")
    mark = grown.sseq
    (second,) = grown.answer("227 (10,2,0,3,4,2)\r\n")
    assert finished(second)[TCP].seq == mark + GROWTH
    (out,) = grown.answer("150 x\r\n")
    assert finished(out)[TCP].seq == grown.sseq - 7 + 2 * GROWTH
    (back,) = grown.ask(flags="A", ack=grown.sseq + 2 * GROWTH)
    assert finished(back)[TCP].ack == grown.sseq
    (old,) = grown.ask(flags="A", ack=mark + GROWTH)
    assert finished(old)[TCP].ack == mark


def test_the_same_reply_rewritten_again_counts_once(grown: Session) -> None:
    grown.ask("PASV\r\n")
    (again,) = grown.answer(ASKED, seq=grown.mark)
    assert (text(again), finished(again)[TCP].seq) == (TOLD, grown.mark)
    grown.sseq -= len(ASKED)
    (out,) = grown.answer("150 x\r\n")
    assert finished(out)[TCP].seq == grown.sseq - 7 + GROWTH


def test_shorter_replies_move_down() -> None:
    lab = d.Director()
    key = lab.service(d.TCP, VIP, 21, [("10.2.0.3", 21)])
    control = Session(lab).established()
    control.ask("EPSV\r\n")
    control.answer("229 (|1|10.2.0.3|3000|)\r\n")
    (out,) = control.answer("150 x\r\n")
    assert finished(out)[TCP].seq == control.sseq - 7 - len("110.2.0.3")
    assert lab.counts(key) == [(1, 1, 0)]


@pytest.mark.parametrize("nops", [2, 1], ids=["aligned", "at an odd place"])
def test_selective_acknowledgements_move_back(grown: Session, nops: int) -> None:
    mark = grown.mark
    up = grown.sseq + GROWTH
    blocks = (up + 10, up + 20, mark - 8, mark)
    sack = [("NOP", None)] * nops + [("SAck", blocks)] + [("NOP", None)] * (2 - nops)
    (out,) = grown.ask(flags="A", ack=up, options=sack)
    options = dict(finished(out)[TCP].options)
    assert options["SAck"] == (grown.sseq + 10, grown.sseq + 20, mark - 8, mark)


def test_selective_acknowledgements_of_the_server_stay(grown: Session) -> None:
    sack = [("NOP", None), ("NOP", None), ("SAck", (grown.cseq + 5, grown.cseq + 9))]
    (out,) = grown.answer("x", options=sack)
    assert dict(finished(out)[TCP].options)["SAck"] == (grown.cseq + 5, grown.cseq + 9)


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        pytest.param(b"\x08\x0aTTTTEEEE\1\1", True, id="time stamps"),
        pytest.param(b"\0\5\1\1", True, id="nonsense behind the end"),
        pytest.param(b"\1\1\1\5", False, id="no length"),
        pytest.param(b"\5\1\1\1", False, id="length below 2"),
        pytest.param(b"\1\1\5\x0a", False, id="longer than the header"),
    ],
)
@pytest.mark.parametrize("side", ["client", "real"])
def test_broken_options_are_dropped_once_numbers_move(
    grown: Session, side: str, options: bytes, passes: bool
) -> None:
    packet = with_options(side, options)
    lab = grown.director
    assert bool(lab.client(packet) if side == "client" else lab.real(packet)) == passes
    fresh = Session(director()).established().director
    assert fresh.client(packet) if side == "client" else fresh.real(packet)


def with_options(side: str, options: bytes) -> Packet:
    """Return a segment of the session with these bytes behind its TCP header."""
    src, dst, sport, dport = (CLIENT, VIP, 20000, 21)
    if side == "real":
        src, dst, sport, dport = (SERVER, CLIENT, 21, 20000)
    offset = (20 + len(options)) << 2
    header = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, offset, 0x10, 9, 0, 0) + options
    ip = IP(src=src, dst=dst, proto=6)
    pseudo = bytes(ip)[12:20] + struct.pack("!II", len(header), 6)
    check = struct.pack("!H", ~total(pseudo + header) & 0xFFFF)
    return ip / Raw(header[:16] + check + header[18:])


@pytest.mark.parametrize("side", ["client", "real"])
@pytest.mark.parametrize(
    ("flags", "passes"),
    [(0, False), (DATA_VALID, True), (NEEDS_CSUM, True)],
    ids=["to be checked", "said to be right", "to be completed"],
)
def test_wrong_checksums_are_dropped_on_control_connections(
    session: Session, side: str, flags: int, passes: bool
) -> None:
    vnet = struct.pack("=BBHHHH", flags, 0, 0, 0, 34, 16)
    lab = session.director
    if side == "client":
        tcp = TCP(sport=20000, dport=21, flags="A", chksum=0x1234)
        assert bool(lab.client(IP(src=CLIENT, dst=VIP) / tcp, vnet)) == passes
    else:
        tcp = TCP(sport=21, dport=20000, flags="A", chksum=0x1234)
        assert bool(lab.real(IP(src=SERVER, dst=CLIENT) / tcp, vnet)) == passes
    assert lab.engine.reasons() == ({} if passes else {"bad-checksum": 1})


def test_partial_checksum_takes_the_new_length(session: Session) -> None:
    session.ask("PASV\r\n")
    tcp = TCP(sport=21, dport=20000, flags="PA", seq=session.sseq, ack=session.cseq)
    raw = bytearray(bytes(IP(src=SERVER, dst=CLIENT) / tcp / Raw(ASKED.encode())))
    pseudo = bytes(raw[12:20]) + struct.pack("!II", len(raw) - 20, 6)
    raw[36:38] = struct.pack("!H", total(pseudo))
    gso = struct.pack("=BBHHHH", NEEDS_CSUM, 1, 54, 40, 34, 16)
    vnet = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, 34, 16)
    for header in (vnet, gso):
        session.ask("PASV\r\n")
        (out,) = session.director.real(IP(bytes(raw)), header)
        assert (text(out), out.needs_csum) == (TOLD, True)
        finished(out)


def test_announced_and_adjusted_connections_survive_the_process() -> None:
    fd = os.memfd_create("arena")
    first = d.Director(fd=fd)
    first.service(d.TCP, VIP, 21, [(SERVER, 21)])
    control = Session(first).established()
    control.ask("PASV\r\n")
    control.answer(ASKED)
    second = d.Director(fd=fd)
    assert second.engine.found["conns"] == 2
    control.director = second
    (syn,) = second.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40001, dport=1234, flags="S"))
    assert syn.to == "real:3"
    (out,) = control.answer("150 x\r\n")
    assert finished(out)[TCP].seq == control.sseq - 7 + GROWTH
    os.close(fd)
