"""The FTP helper of NAT services: what commands and replies make of data connections."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from tests.fast import director as d
from tests.fast.ftpsession import (
    ASKED,
    CLIENT,
    ESTABLISHED,
    LISTEN,
    SERVER,
    SERVER6,
    TOLD,
    VIP,
    VIP6,
    Session,
    announced,
    director,
    finished,
    text,
)


@pytest.fixture
def nat() -> d.Director:
    return director()


@pytest.fixture
def session(nat: d.Director) -> Session:
    return Session(nat).established()


# ---- passive


@pytest.mark.covers("C-262", "C-263")
def test_227_names_the_virtual_address_and_makes_the_data_connection(session: Session) -> None:
    session.ask("PASV\r\n")
    (out,) = session.answer(ASKED)
    assert (out.to, text(out), out.needs_csum) == ("client", TOLD, True)
    assert finished(out).len == 40 + len(TOLD)
    row = session.director.row(f"{CLIENT}:0")
    assert (row.virtual, row.server) == (f"{VIP}:1234", f"{SERVER}:1234")
    assert (row.state, row.left_ms) == (LISTEN, 120_000)


@pytest.mark.covers("C-160")
def test_first_packet_of_a_passive_data_connection_says_the_clients_port(
    session: Session,
) -> None:
    session.ask("PASV\r\n")
    session.answer(ASKED)
    lab = session.director
    (syn,) = lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40001, dport=1234, flags="S"))
    assert (syn.to, syn.packet[TCP].dport) == ("real:3", 1234)
    assert [r.client for r in lab.rows()] == [f"{CLIENT}:20000", f"{CLIENT}:40001"]
    reply = TCP(sport=1234, dport=40001, flags="SA")
    (back,) = lab.real(IP(src=SERVER, dst=CLIENT) / reply)
    assert (back.packet.src, back.packet[TCP].sport) == (VIP, 1234)
    (other,) = lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40002, dport=1234, flags="S"))
    assert other.to == "host"
    (stranger,) = lab.client(IP(src="10.1.0.78", dst=VIP) / TCP(sport=1, dport=1234, flags="S"))
    assert stranger.to == "host"


@pytest.mark.covers("C-160")
def test_connection_of_the_clients_port_comes_before_one_of_any_port(session: Session) -> None:
    session.ask("PORT 10,1,0,77,20,9\r\n")
    session.ask("PASV\r\n")
    session.answer("227 Entering Passive Mode (10,2,0,3,0,20).\r\n")
    lab = session.director
    assert {row[0] for row in announced(lab)} == {f"{CLIENT}:5129", f"{CLIENT}:0"}
    (out,) = lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=5129, dport=20, flags="A"))
    assert out.to == "real:3"
    assert sorted(r.client for r in lab.rows()) == [
        f"{CLIENT}:0", f"{CLIENT}:20000", f"{CLIENT}:5129"
    ]  # fmt: skip


def test_data_connection_is_announced_once_and_waits_anew(session: Session) -> None:
    session.ask("PASV\r\n")
    session.answer(ASKED)
    session.director.wait(100)
    session.ask("PASV\r\n")
    session.answer(ASKED)
    assert session.director.row(f"{CLIENT}:0").left_ms == 120_000
    session.director.wait(121)
    assert announced(session.director) == []


def test_control_connection_outlives_its_data_connections(session: Session) -> None:
    session.ask("PASV\r\n")
    session.answer(ASKED)
    lab = session.director
    lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40001, dport=1234, flags="S"))
    lab.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=1234, dport=40001, flags="SA"))
    lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40001, dport=1234, flags="A"))
    session.ask(flags="R")
    lab.wait(11)
    assert lab.row(f"{CLIENT}:20000").left_ms > 55_000
    lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=40001, dport=1234, flags="R"))
    lab.wait(11)
    assert [r.client for r in lab.rows()] == [f"{CLIENT}:20000"]
    lab.wait(61)
    assert lab.rows() == []


@pytest.mark.parametrize(
    ("asked", "reply", "told", "server"),
    [
        ("PASV\r\n", "227 ({r},4,1)\r\n", "227 ({v},4,1)\r\n", "10.2.0.3:1025"),
        ("pasv\r\n", "227 {r},4,1\r\n", "227 {v},4,1\r\n", "10.2.0.3:1025"),
        ("NOOP\r\npAsV\r\n", "227 ={r},4,1 ", "227 ={v},4,1 ", "10.2.0.3:1025"),
        ("PASV\r\n", "227 (10,2,0,9,4,1)\r\n", "227 ({v},4,1)\r\n", "10.2.0.9:1025"),
        ("PASV\r\n", "227 ((010,002,0,3,004,01)\r\n", "227 (({v},4,1)\r\n", "10.2.0.3:1025"),
        ("PASV\r\n", "227 (266,2,0,259,4,257)\r\n", "227 ({v},4,1)\r\n", "10.2.0.3:1025"),
        ("PASV\r\n", "227 (,,,,,)\r\n", "227 ({v},0,0)\r\n", "0.0.0.0:0"),
        ("PASV\r\n", "227 ({r},4,1", None, None),
        ("PASV\r\n", "227 ({r},4)\r\n", None, None),
        ("PASV\r\n", "227 1,2 ({r},4,1)\r\n", None, None),
        ("PASV\r\n", "227-({r},4,1)\r\n", None, None),
        ("PASV\r\n", " 227 ({r},4,1)\r\n", None, None),
        ("PASV\r\n", "229 (|||1025|)\r\n", None, None),
        ("PASV\n", "227 ({r},4,1)\r\n", None, None),
        ("PASV\r", "227 ({r},4,1)\r\n", None, None),
        ("NOOP\r\n", "227 ({r},4,1)\r\n", None, None),
        ("EPSV\r\n", "229 (|||1025|)\r\n", "229 (|||1025|)\r\n", "10.2.0.3:1025"),
        ("EPSV 1\r\n", "229 (!!!1025!)\r\n", "229 (|||1025|)\r\n", "10.2.0.3:1025"),
        ("epsv\rx", "229 x ((###1025#", "229 x ((|||1025|", "10.2.0.3:1025"),
        ("EPSV\r\n", "229 (|1|10.2.0.9|1025|)\r\n", "229 (|||1025|)\r\n", "10.2.0.9:1025"),
        ("EPSV\r\n", "229 (|1|010.2.0.009|01025|)\r\n", "229 (|||1025|)\r\n", "10.2.0.9:1025"),
        ("EPSV\r\n", "229 (|||66561|)\r\n", "229 (|||1025|)\r\n", "10.2.0.3:1025"),
        ("EPSV\r\n", "229 (|||0|)\r\n", None, None),
        ("EPSV\r\n", "229 (|||1025)\r\n", None, None),
        ("EPSV\r\n", "229 |||1025|\r\n", None, None),
        ("EPSV\r\n", "229 (||10.2.0.9|1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (|1||1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (|1|10.2.0|1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (|1|10.2.0.9.|1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (|1|10.2.0.256|1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (|2|fd00:2::9|1025|)\r\n", None, None),
        ("EPSV\r\n", "229 (\x1f\x1f\x1f1025\x1f)\r\n", None, None),
        ("EPSV 2\r\n", "229 (|||1025|)\r\n", None, None),
        ("EPSV ALL\r\n", "229 (|||1025|)\r\n", None, None),
        ("EPSV\n\n", "229 (|||1025|)\r\n", None, None),
        ("EPSV\r", "229 (|||1025|)\r\n", None, None),
    ],
)
@pytest.mark.covers("C-262")
def test_words_of_passive_mode(
    session: Session, asked: str, reply: str, told: str | None, server: str | None
) -> None:
    lists = {"r": SERVER.replace(".", ","), "v": VIP.replace(".", ",")}
    session.ask(asked)
    reply = reply.format(**lists)
    (out,) = session.answer(reply)
    assert text(out) == (reply if told is None else told.format(**lists))
    finished(out)
    assert [server for _, _, server in announced(session.director)] == ([server] if server else [])


def test_only_the_first_answer_is_rewritten(session: Session) -> None:
    session.ask("PASV\r\n")
    session.answer("226 not yet\r\n")
    session.answer(ASKED)
    (again,) = session.answer(ASKED)
    assert text(again) == ASKED


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_extended_passive_mode_keeps_lengths(v6: bool) -> None:
    control = Session(director(v6=v6), v6=v6).established()
    control.ask("EPSV\r\n")
    (out,) = control.answer("229 x (|||3000|)\r\n")
    assert text(out) == "229 x (|||3000|)\r\n"
    finished(out)
    b = "[{}]:{}" if v6 else "{}:{}"
    assert announced(control.director) == [
        (b.format(control.client, 0), b.format(control.vip, 3000), b.format(control.server, 3000))
    ]
    tcp = TCP(sport=40001, dport=3000, flags="S")
    (syn,) = control.director.client(control.packet(control.client, control.vip, tcp))
    assert (syn.to, finished(syn)[TCP].dport) == ("real:3", 3000)


@pytest.mark.parametrize(
    ("asked", "heard"), [("EPSV 2\r\n", True), ("EPSV 1\r\n", False), ("PASV\r\n", False)]
)
def test_family_of_passive_mode_in_ipv6(asked: str, heard: bool) -> None:
    control = Session(director(v6=True), v6=True).established()
    control.ask(asked)
    control.answer("229 x (|||3000|)\r\n")
    control.answer("227 (10,2,0,3,4,1)\r\n")
    assert bool(announced(control.director)) == heard


# ---- active


@pytest.mark.parametrize(
    ("asked", "client"),
    [
        ("PORT 10,1,0,77,20,9\r\n", "10.1.0.77:5129"),
        ("port   10,1,0,78,20,9 x", "10.1.0.78:5129"),
        ("PORTx10,1,0,77,20,9\r\n", "10.1.0.77:5129"),
        ("PORT x 10,1,0,77,20,9\r\n", None),
        ("PORT 10,1,0,77,20,9,9\r\n", "10.1.0.77:5129"),
        ("PORT 10,1,0,77,20,9", None),
        ("PORT 10,1,0,77,20\r\n", None),
        ("PORT 10.1.0.77,20,9\r\n", None),
        ("NOOP\r\nPORT 10,1,0,77,20,9\r\n", None),
        ("EPRT |1|10.1.0.77|5129|\r\n", "10.1.0.77:5129"),
        ("eprt  !1!10.1.0.77!5129!", "10.1.0.77:5129"),
        ("EPRT |1|10.1.0.77|5129\r\n", None),
        ("EPRT |1|10.1.0.77|\r\n", None),
        ("EPRT |||5129|\r\n", None),
        ("EPRT |2|fd00:1::77|5129|\r\n", None),
        ("PASV\r\nPORT 10,1,0,77,20,9\r\n", None),
    ],
)
@pytest.mark.covers("C-262", "C-263")
def test_words_of_active_mode(session: Session, asked: str, client: str | None) -> None:
    (out,) = session.ask(asked)
    assert text(out) == asked
    finished(out)
    found = announced(session.director)
    assert found == ([(client, f"{VIP}:20", f"{SERVER}:20")] if client else [])
    if client:
        assert session.director.row(client).left_ms == 120_000


@pytest.mark.parametrize(
    ("asked", "client"),
    [
        ("EPRT |2|fd00:1::77|5129|\r\n", "[fd00:1::77]:5129"),
        ("EPRT |2|FD00:1:0:0:0::77|5129|\r\n", "[fd00:1::77]:5129"),
        ("EPRT |2|::ffff:10.1.0.77|5129|\r\n", "[::ffff:a01:4d]:5129"),
        ("EPRT |2|fd00:1::77::|5129|\r\n", None),
        ("EPRT |2|fd00:1::77%1|5129|\r\n", None),
        ("EPRT |2|" + "0" * 60 + "|5129|\r\n", None),
        ("EPRT |1|10.1.0.77|5129|\r\n", None),
        ("PORT 10,1,0,77,20,9\r\n", None),
    ],
)
def test_words_of_active_mode_in_ipv6(asked: str, client: str | None) -> None:
    control = Session(director(v6=True), v6=True).established()
    control.ask(asked)
    found = announced(control.director)
    assert found == ([(client, f"[{VIP6}]:20", f"[{SERVER6}]:20")] if client else [])


@pytest.mark.parametrize("server_port", [21, 2121])
@pytest.mark.covers("C-262")
def test_active_data_connection_is_opened_by_the_real_server(server_port: int) -> None:
    control = Session(director(port=server_port), server_port=server_port).established()
    control.ask("PORT 10,1,0,77,20,9\r\n")
    syn = TCP(sport=server_port - 1, dport=5129, flags="S")
    (out,) = control.director.real(IP(src=SERVER, dst=CLIENT) / syn)
    assert (out.to, out.packet.src, finished(out)[TCP].sport) == ("client", VIP, 20)
    (back,) = control.director.client(
        IP(src=CLIENT, dst=VIP) / TCP(sport=5129, dport=20, flags="SA")
    )
    assert (back.to, finished(back)[TCP].dport) == ("real:3", server_port - 1)
    assert control.director.row(f"{CLIENT}:5129").state != LISTEN


def test_port_takes_passive_mode_back(session: Session) -> None:
    session.ask("PASV\r\n")
    session.ask("PORT 10,1,0,77,20,9\r\n")
    (out,) = session.answer(ASKED)
    assert text(out) == ASKED


def test_port_of_a_live_data_connection_makes_it_wait_again(session: Session) -> None:
    session.ask("PORT 10,1,0,77,20,9\r\n")
    lab = session.director
    lab.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=20, dport=5129, flags="S"))
    lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=5129, dport=20, flags="A"))
    lab.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=20, dport=5129, flags="A"))
    assert lab.row(f"{CLIENT}:5129").state == ESTABLISHED
    session.ask("PORT 10,1,0,77,20,9\r\n")
    row = lab.row(f"{CLIENT}:5129")
    assert (row.state, row.left_ms) == (LISTEN, 120_000)
    lab.wait(121)
    assert f"{CLIENT}:5129" not in [r.client for r in lab.rows()]


@pytest.mark.parametrize(
    "flags", [pytest.param("SA", id="not yet"), pytest.param("FA", id="no more")]
)
def test_only_established_connections_are_read(nat: d.Director, flags: str) -> None:
    control = Session(nat)
    control.ask(flags="S", ack=0)
    control.answer(flags="SA")
    if flags == "FA":
        control.ask(flags="A")
        control.ask(flags="FA")
    else:
        control.ask("x", flags="S")
    control.ask("PORT 10,1,0,77,20,9\r\n", flags="U" if flags == "SA" else "PA")
    assert announced(nat) == []


def test_command_in_the_packet_that_establishes_is_read(nat: d.Director) -> None:
    control = Session(nat)
    control.ask(flags="S", ack=0)
    control.answer(flags="SA")
    control.ask("PORT 10,1,0,77,20,9\r\n")
    assert len(announced(nat)) == 1


@pytest.mark.parametrize(
    ("method", "port", "settings"),
    [
        pytest.param(d.DROUTE, 21, {}, id="direct routing"),
        pytest.param(d.MASQ, 2121, {}, id="another port"),
        pytest.param(d.MASQ, 21, {"ftp_helper": 0}, id="helper off"),
    ],
)
def test_other_connections_are_left_alone(
    method: int, port: int, settings: dict[str, int]
) -> None:
    lab = d.Director(**settings)
    lab.service(d.TCP, VIP, port, [(SERVER, port)], method=method)
    for flags, data in (("S", b""), ("A", b""), ("PA", b"PORT 10,1,0,77,20,9\r\n")):
        tcp = TCP(sport=20000, dport=port, flags=flags, chksum=0x1234 if data else None)
        packet = IP(src=CLIENT, dst=VIP) / tcp / Raw(data)
        assert [out.to for out in lab.client(packet)] == ["real:3"]
        if flags == "S" and method == d.MASQ:
            lab.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=port, dport=20000, flags="SA"))
    assert announced(lab) == []


@pytest.mark.covers("C-261")
def test_persistent_ftp_uses_one_template_for_control_and_data() -> None:
    lab = d.Director(ftp_helper=0)
    lab.service(
        d.TCP, VIP, 21, [("10.2.0.3", 21), ("10.2.0.4", 21)], flags=d.PERSISTENT, timeout_s=60
    )
    (control,) = lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=20000, dport=21, flags="S"))
    (data,) = lab.client(IP(src=CLIENT, dst=VIP) / TCP(sport=20001, dport=3000, flags="S"))
    assert data.to == control.to
    assert data.packet[TCP].dport == 3000


def test_replies_of_other_ports_stay_the_hosts(session: Session) -> None:
    session.director.engine.set_setting("nat_icmp_send", 1)
    (out,) = session.director.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=20, dport=9, flags="S"))
    assert out.to == "host"
    (told,) = session.director.real(IP(src=SERVER, dst=CLIENT) / TCP(sport=21, dport=9, flags="S"))
    assert told.to == "real:3"
