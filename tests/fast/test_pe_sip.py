"""The persistence engine sip: which Call-ID is read, and what it keeps together."""

from __future__ import annotations

import os

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from tests.fast import director as d

VIP, CLIENT, OTHER = "10.9.0.60", "10.1.0.7", "10.1.0.8"
SERVERS = [(f"10.2.0.{n}", 5060) for n in (1, 2, 3)]
INVITE = b"INVITE sip:u@example.org SIP/2.0\r\n"


def sip_director(flags: int = d.PERSISTENT, method: int = d.DROUTE, fd: int = -1) -> d.Director:
    made = d.Director(fd=fd)
    made.service(d.UDP, VIP, 5060, SERVERS, method=method, flags=flags, timeout_s=60, pe=b"sip")
    return made


def message(call: bytes) -> bytes:
    return INVITE + b"Call-ID: " + call + b"\r\n\r\n"


def request(data: bytes, port: int = 5060, client: str = CLIENT) -> Packet:
    return IP(src=client, dst=VIP) / UDP(sport=port, dport=5060) / Raw(data)


def templates(director: d.Director) -> list[tuple[str, str, bytes]]:
    return [(r.client, r.server, r.pe_data) for r in director.rows() if r.client.endswith(":0")]


@pytest.mark.parametrize(
    ("header", "call"),
    [
        (b"Call-ID: plain@host\r\n", b"plain@host"),
        (b"call-id:x\r\n", b"x"),
        (b"CALL-ID \t :\t x@h\n", b"x@h"),
        (b"i: x@h\r", b"x@h"),
        (b"I:x\r\n", b"x"),
        (b"Via: y\r\nCall-ID: x\r\n", b"x"),
        (b"Call-ID:\r\n x@h\r\n", b"x@h"),
        (b"Call-ID\r\n :\r\n\tx@h\r\n", b"x@h"),
        (b"\r\n\r\ni: in the body\r\n", None),
        (b"\r\n\r\ni: body\r\n", b"body"),
        (b"Call-ID: -.!%*_+`'~()<>:\\\"/[]?{}@-.!%*_+`'~()<>:\\\"/[]?{}\r\n",
         b"-.!%*_+`'~()<>:\\\"/[]?{}@-.!%*_+`'~()<>:\\\"/[]?{}"),
        (b"Call-ID: \xc0\xd6\xd8\xff\r\n", b"\xc0\xd6\xd8\xff"),
        (b"Call-ID: a\xd7\r\n", None),
        (b"Call-ID: a\xf7\r\n", None),
        (b"Call-ID: " + b"y" * 255 + b"\r\n", b"y" * 255),
        (b"Call-ID: " + b"y" * 256 + b"\r\n", None),
        (b"Call-ID: x \r\n", None),
        (b"Call-ID: a b\r\n", None),
        (b"Call-ID: a@b@c\r\n", None),
        (b"Call-ID: a;b\r\n", None),
        (b"Call-ID: a$b\r\n", None),
        (b"Call-ID: x", None),
        (b"Call-ID: x@", None),
        (b"Call-ID x\r\n", None),
        (b"Call-ID:\r\nx\r\n", None),
        (b"Call-ID: ", None),
        (b"Call-ID", None),
        (b"i", None),
        (b"X-Call-ID: x\r\n", None),
        (b" Call-ID: x\r\n", None),
        (b"ii: x\r\n", None),
        (b"From: x\r\n", None),
        # one without a value is passed over; after a second one the search goes on as far behind
        # it as it is in; one without a colon ends it
        (b"Call-ID: ;\r\nCall-ID: next\r\n", b"next"),
        (b"Call-ID: ;\r\nCall-ID: ;\r\nCall-ID: near\r\n", None),
        (b"i: ;\r\ni: ;\r\n" + b"X: " + b"x" * 50 + b"\r\nCall-ID: far\r\n", b"far"),
        (b"Call-ID: ;\r\n" + b"X: " + b"x" * 50 + b"\r\nCall-ID: far\r\n", b"far"),
        (b"Call-ID: @h\r\n" + b"X: " + b"x" * 50 + b"\r\nCall-ID: far\r\n", b"far"),
        (b"Call-ID: a@;\r\n" + b"X: " + b"x" * 50 + b"\r\nCall-ID: far\r\n", b"far"),
        (b"Call-IDX: q\r\n" + b"X: " + b"x" * 50 + b"\r\nCall-ID: far\r\n", None),
        (b"i=x\r\nCall-ID: x\r\n", None),
    ],
)  # fmt: skip
@pytest.mark.covers("C-264", "C-265")
def test_which_call_id_is_read(header: bytes, call: bytes | None) -> None:
    director = sip_director()
    outs = director.client(request(INVITE + header))
    assert len(outs) == (call is not None)
    assert [data for _, _, data in templates(director)] == ([] if call is None else [call])
    assert director.engine.reasons() == ({} if outs else {"no-pe-data": 1})


@pytest.mark.covers("C-264")
def test_calls_of_one_client_go_their_own_ways_and_stay_there() -> None:
    director = sip_director()
    went: dict[bytes, str] = {}
    for port, call in enumerate([b"a", b"b", b"c", b"b", b"a", b"c", b"a"], 6000):
        (out,) = director.client(request(message(call), port))
        assert went.setdefault(call, out.to) == out.to
    assert len(set(went.values())) == 3
    assert director.counts((2, d.UDP, d.packed(VIP), 5060, 0)) == [(0, 3, 1), (0, 2, 1), (0, 2, 1)]


def test_the_same_call_of_another_client_is_another_one() -> None:
    director = sip_director()
    (one,) = director.client(request(message(b"a")))
    (two,) = director.client(request(message(b"a"), client=OTHER))
    assert one.to != two.to
    assert len(templates(director)) == 2


def test_calls_that_differ_in_length_only_are_different() -> None:
    director = sip_director()
    for port, call in enumerate([b"aa", b"a", b"aaa"], 6000):
        director.client(request(message(call), port))
    assert sorted(data for _, _, data in templates(director)) == [b"a", b"aa", b"aaa"]


def test_calls_that_share_a_chain_are_different() -> None:
    director = sip_director(d.PERSISTENT | d.ONE_PACKET)
    calls = [b"%03d" % n for n in range(1000)] + [b"%03x" % n for n in range(0xA00, 0xFFF)]
    for call in calls:  # more than the square root of the chains
        director.client(request(message(call)))
    assert sorted(data for _, _, data in templates(director)) == sorted(calls)


def test_packets_of_a_known_connection_are_not_read() -> None:
    director = sip_director()
    (first,) = director.client(request(message(b"a")))
    for data in (message(b"b"), b"not sip", b""):
        (out,) = director.client(request(data))
        assert out.to == first.to
    assert len(templates(director)) == 1


@pytest.mark.covers("C-266")
def test_only_templates_have_data() -> None:
    director = sip_director()
    director.client(request(message(b"a@h")))
    assert [(r.client, r.pe_data) for r in director.rows()] == [
        (f"{CLIENT}:0", b"a@h"),
        (f"{CLIENT}:5060", b""),
    ]


@pytest.mark.covers("C-265")
@pytest.mark.parametrize("protocol", [d.TCP, d.SCTP], ids=["tcp", "sctp"])
def test_other_protocols_have_no_call_id(protocol: int) -> None:
    director = d.Director(sloppy_sctp=1)
    director.service(protocol, VIP, 5060, SERVERS, flags=d.PERSISTENT, timeout_s=60, pe=b"sip")
    layer = TCP(sport=5060, dport=5060, flags="S") / Raw(b"x" * 8 + message(b"a"))
    if protocol == d.SCTP:
        layer = Raw(b"\x10\0\x13\xc4" + bytes(12) + message(b"a"))
    assert director.client(IP(src=CLIENT, dst=VIP, proto=protocol) / layer) == []
    assert director.engine.reasons() == {"no-pe-data": 1}


def test_an_error_that_would_be_scheduled_has_no_call_id() -> None:
    director = sip_director()
    director.engine.set_setting("schedule_icmp", 1)
    quoted = IP(src=VIP, dst=CLIENT) / UDP(sport=5060, dport=5060) / Raw(message(b"a"))
    assert director.client(IP(src=CLIENT, dst=VIP) / ICMP(type=3, code=3) / quoted) == []
    assert director.engine.reasons() == {"no-pe-data": 1}


def test_one_packet_scheduling_keeps_the_template_alone() -> None:
    director = sip_director(d.PERSISTENT | d.ONE_PACKET)
    (one,) = director.client(request(message(b"a")))
    director.wait(59)
    (two,) = director.client(request(message(b"a")))
    (other,) = director.client(request(message(b"b")))
    assert one.to == two.to != other.to
    assert director.client(request(b"not sip")) == []
    assert [(r.client, r.left_ms) for r in director.rows()] == [(f"{CLIENT}:0", 60_000)] * 2


def test_ipv6_calls() -> None:
    director = d.Director()
    director.service(
        d.UDP, "fd00:9::60", 5060, [("fd00:2::1", 5060), ("fd00:2::2", 5060)],
        flags=d.PERSISTENT, timeout_s=60, pe=b"sip",
    )  # fmt: skip
    ways = []
    for port, call in enumerate([b"a", b"b", b"a"], 6000):
        ip = IPv6(src="fd00:1::7", dst="fd00:9::60") / UDP(sport=port, dport=5060)
        ways += [out.to for out in director.client(ip / Raw(message(call)))]
    assert ways[0] == ways[2] != ways[1]


def test_without_the_engine_its_templates_do_not_match() -> None:
    director = sip_director()
    director.client(request(message(b"a")))
    key = (2, d.UDP, d.packed(VIP), 5060, 0)
    director.engine.service_put(key, b"rr", d.PERSISTENT, 60, 0xFFFFFFFF, b"", True)
    director.client(request(b"anything", 6000))
    director.client(request(b"anything", 6001))
    assert [data for _, _, data in templates(director)] == [b"", b"a"]


def test_calls_survive_the_process() -> None:
    fd = os.memfd_create("arena")
    first = sip_director(fd=fd)
    calls = {b"a": 6000, b"b": 6001}
    ways = {call: first.client(request(message(call), port))[0].to for call, port in calls.items()}
    second = d.Director(fd=fd)
    for call, to in ways.items():
        (out,) = second.client(request(message(call), calls[call] + 1000))
        assert out.to == to
    os.close(fd)


# ---- calls that a real server starts


def first_word(data: bytes, server: str = "10.2.0.2", port: int = 5060, to: int = 5070) -> Packet:
    return IP(src=server, dst=CLIENT) / UDP(sport=port, dport=to) / Raw(data)


@pytest.mark.parametrize("flags", [0, d.PERSISTENT], ids=["no template", "persistent"])
def test_a_call_of_a_real_server_leaves_from_the_virtual_address(flags: int) -> None:
    director = sip_director(flags, d.MASQ)
    (out,) = director.real(first_word(message(b"out")))
    assert (out.to, out.packet.src, out.packet[UDP].sport) == ("client", VIP, 5060)
    (back,) = director.client(request(b"100 Trying\r\n", 5070))
    assert back.to == "real:2"
    expected = [(f"{CLIENT}:0", "10.2.0.2:5060", b"out")] if flags else []
    assert templates(director) == expected
    if flags:
        (again,) = director.client(request(message(b"out"), 5071))
        assert again.to == "real:2"


def test_a_call_moves_to_the_server_that_speaks_for_it() -> None:
    director = sip_director(method=d.MASQ)
    director.real(first_word(message(b"out")))
    director.real(
        IP(src="10.2.0.3", dst=CLIENT) / UDP(sport=5060, dport=5071) / Raw(message(b"out"))
    )
    (again,) = director.client(request(message(b"out"), 5072))
    assert again.to == "real:3"


@pytest.mark.parametrize(
    ("flags", "packet"),
    [
        pytest.param(d.PERSISTENT, first_word(b"no call"), id="no call-id"),
        pytest.param(d.PERSISTENT, first_word(message(b"a"), port=5061), id="another port"),
        pytest.param(d.PERSISTENT, first_word(message(b"a"), "10.2.0.9"), id="another address"),
    ],
)
def test_what_else_a_real_server_sends_stays_the_hosts(flags: int, packet: Packet) -> None:
    director = sip_director(flags, d.MASQ)
    verdicts = director.engine.verdicts()
    assert [out.to for out in director.real(packet)] in ([], ["host"])
    assert director.engine.verdicts()["sent"] == verdicts["sent"]
    assert director.rows() == []


def test_only_services_with_the_engine_let_servers_start() -> None:
    director = d.Director()
    director.service(d.UDP, VIP, 5060, SERVERS, flags=d.PERSISTENT, timeout_s=60)
    (out,) = director.real(first_word(message(b"a")))
    assert out.to == "host"


def test_a_servers_one_packet_is_not_remembered() -> None:
    director = sip_director(d.PERSISTENT | d.ONE_PACKET, d.MASQ)
    (out,) = director.real(first_word(message(b"out")))
    assert out.packet.src == VIP
    assert [r.client for r in director.rows()] == [f"{CLIENT}:0"]
    assert director.counts((2, d.UDP, d.packed(VIP), 5060, 0))[1] == (0, 0, 1)
