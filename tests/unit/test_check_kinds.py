"""SMTP, DNS, UDP, PING, MISC and FILE checks: what they say and how they judge."""

from __future__ import annotations

import struct

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.check import file, misc
from lbfast.check.base import SUCCESS, Result
from lbfast.check.dns import DnsExchange, query
from lbfast.check.ping import PingExchange, checksum
from lbfast.check.smtp import SmtpConversation
from lbfast.check.tcp import TcpConversation
from lbfast.check.udp import DEFAULT_PAYLOAD, UdpExchange, filler
from lbfast.errors import ConfigError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.check import FileCheck, Reply
from lbfast.model.vrrp import TrackFile


def test_tcp_is_content_with_the_connection() -> None:
    assert TcpConversation().connected() is SUCCESS


# SMTP


@pytest.mark.covers("CHK-21")
def test_smtp_says_helo_and_quit() -> None:
    smtp = SmtpConversation("me.example")
    assert smtp.connected() == b""
    assert smtp.received(b"220 ready\r\n") == b"HELO me.example\r\n"
    assert smtp.received(b"250 hello\r\n") == b"QUIT\r\n"
    assert smtp.received(b"221 bye\r\n") is SUCCESS


def test_smtp_answer_may_come_in_pieces_and_lines() -> None:
    smtp = SmtpConversation("me")
    assert smtp.received(b"220-first\r\n22") == b""
    assert smtp.received(b"0 last\r\n") == b"HELO me\r\n"


def test_smtp_takes_any_answer_to_quit_or_none() -> None:
    for last in (b"500 what\r\n", None):
        smtp = SmtpConversation("me")
        smtp.received(b"220 x\r\n")
        smtp.received(b"250 x\r\n")
        assert (smtp.closed() if last is None else smtp.received(last)) == SUCCESS


@pytest.mark.covers("CHK-21")
@pytest.mark.parametrize(
    "lines",
    [[b"554 no\r\n"], [b"220 x\r\n", b"550 no\r\n"], [b"554-no\r\n"], [b"x" * 5000]],
)
def test_smtp_other_code_fails(lines: list[bytes]) -> None:
    smtp = SmtpConversation("me")
    result = [smtp.received(line) for line in lines][-1]
    assert isinstance(result, Result)
    assert result.ok is False


def test_smtp_early_close_fails() -> None:
    assert "closed instead of an answer to greeting" in SmtpConversation("me").closed().reason


# DNS


@pytest.mark.covers("CHK-22")
def test_dns_query_bytes_as_keepalived_sends_them() -> None:
    assert query(".", "SOA")[2:].hex() == "010000010000000000000000060001"
    expected = "0100000100000000000003777777076578616d706c6503636f6d0000010001"
    assert query("www.example.com", "A")[2:].hex() == expected


@pytest.mark.parametrize("kind", ["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG"])
def test_dns_knows_the_types(kind: str) -> None:
    assert dns.message.from_wire(query("x.example", kind)).question[0].rdtype.name == kind


def test_dns_refuses_what_is_no_name_or_type() -> None:
    with pytest.raises(ConfigError, match="of type 'NOPE'"):
        query("x", "NOPE")
    with pytest.raises(ConfigError, match="no query for"):
        query("x" * 64, "A")


def reply(exchange: DnsExchange, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(exchange.request))
    answer.set_rcode(code)
    return answer.to_wire()


@pytest.mark.covers("CHK-22")
def test_dns_judges_the_code() -> None:
    exchange = DnsExchange(query(".", "SOA"))
    assert exchange.received(reply(exchange)) is SUCCESS
    result = exchange.received(reply(exchange, dns.rcode.NXDOMAIN))
    assert result is not None
    assert result.reason == "answer with code NXDOMAIN"


def test_dns_answer_to_another_query_is_passed_over() -> None:
    exchange = DnsExchange(query(".", "SOA"))
    data = reply(exchange)
    assert exchange.received(bytes((data[0] ^ 1,)) + data[1:]) is None


def test_dns_query_or_garbage_as_answer_fails() -> None:
    exchange = DnsExchange(query(".", "SOA"))
    for data in (exchange.request, exchange.request[:5], b""):
        result = exchange.received(data)
        assert result is not None
        assert "malformed" in result.reason
    assert not exchange.timed_out().ok


def test_dns_ids_differ() -> None:
    template = query(".", "SOA")
    assert len({DnsExchange(template).request[:2] for _ in range(20)}) > 10


@given(st.binary(max_size=100))
def test_dns_survives_any_bytes(data: bytes) -> None:
    exchange = DnsExchange(query(".", "SOA"))
    exchange.received(exchange.request[:2] + data)


# UDP


def test_udp_filler_is_keepalived_s() -> None:
    assert DEFAULT_PAYLOAD == b"keepalived check - keepalived ch"
    assert UdpExchange(None, None).request == DEFAULT_PAYLOAD
    assert UdpExchange(b"\x01\xff", None).request == b"\x01\xff"


@pytest.mark.covers("CHK-23")
def test_udp_without_reply_takes_silence_and_any_answer() -> None:
    assert UdpExchange(None, None).timed_out() is SUCCESS
    assert UdpExchange(None, None).received(b"x") is SUCCESS


@pytest.mark.covers("CHK-24")
@pytest.mark.parametrize(
    ("data", "ok"),
    [
        pytest.param(b"\x12\x3f", True, id="a free nibble matches anything"),
        pytest.param(b"\x12\x4f", False, id="the other nibble must match"),
        pytest.param(b"\x12\x30\x99", True, id="more than the pattern is not compared"),
        pytest.param(b"\x12", False, id="shorter than the minimum"),
        pytest.param(b"\x12\x30\x00\x00", False, id="longer than the maximum"),
    ],
)
def test_udp_reply(data: bytes, ok: bool) -> None:
    exchange = UdpExchange(None, Reply(b"\x12\x30", b"\xff\xf0", 2, 3))
    result = exchange.received(data)
    assert result is not None
    assert result.ok is ok


def test_udp_with_reply_fails_in_silence() -> None:
    assert not UdpExchange(None, Reply()).timed_out().ok
    assert UdpExchange(None, Reply()).received(b"") is SUCCESS


# PING


def test_ping_request_is_an_echo_with_128_bytes_of_filler() -> None:
    request = PingExchange(AF_INET).request
    assert request[:2] == b"\x08\x00"
    assert request[8:] == filler(128)
    assert checksum(request) == 0
    assert PingExchange(AF_INET6).request[:4] == b"\x80\x00\x00\x00"


def test_ping_sequence_goes_on() -> None:
    first, second = (
        struct.unpack_from("!H", PingExchange(AF_INET).request, 6)[0] for _ in range(2)
    )
    assert second == (first + 1) & 0xFFFF


def test_ping_takes_its_own_reply_alone() -> None:
    one, other = PingExchange(AF_INET), PingExchange(AF_INET)
    header = bytes((0x45, *bytes(19)))
    mine = header + b"\x00" + one.request[1:]
    assert one.received(mine) is SUCCESS
    assert other.received(mine) is None
    assert one.received(header + one.request) is None  # the request, seen on a loopback
    assert one.received(b"") is None
    assert one.received(header) is None
    v6 = PingExchange(AF_INET6)
    assert v6.received(b"\x81" + v6.request[1:]) is SUCCESS
    assert not v6.timed_out().ok


# MISC and FILE


@pytest.mark.covers("CHK-26")
@pytest.mark.parametrize(
    ("status", "is_dynamic", "expected"),
    [
        (0, False, (True, None)),
        (1, False, (False, None)),
        (2, False, (False, None)),
        (0, True, (True, None)),
        (1, True, (False, None)),
        (2, True, (True, 0)),
        (10, True, (True, 8)),
        (255, True, (True, 253)),
        (-9, True, (False, None)),
    ],
)
def test_misc_exit_status(
    status: int, is_dynamic: bool, expected: tuple[bool, int | None]
) -> None:
    result = misc.judge(status, is_dynamic=is_dynamic)
    assert (result.ok, result.weight) == expected


@pytest.mark.covers("CHK-30")
@pytest.mark.parametrize(
    ("value", "weight", "reverse", "expected"),
    [
        pytest.param(0, 0, False, (True, 0), id="weight 0: 0 is good"),
        pytest.param(5, 0, False, (False, 0), id="weight 0: all else is bad"),
        pytest.param(0, 0, True, (False, 0), id="reversed: 0 is bad"),
        pytest.param(-3, 2, False, (True, -6), id="value times weight is added"),
        pytest.param(3, 2, True, (True, -6), id="reversed: subtracted"),
        pytest.param(-(1 << 30), 2, False, (False, 0), id="far below: a failure"),
    ],
)
def test_file_value(value: int, weight: int, reverse: bool, expected: tuple[bool, int]) -> None:
    result = file.judge(value, weight, reverse=reverse)
    assert (result.ok, result.share) == expected


def test_file_weight_is_the_checks_own_or_the_files() -> None:
    tracked = TrackFile("f", "/f", weight=4, reverse=True)
    assert file.weight_of(FileCheck(track_file="f"), tracked) == (4, True)
    assert file.weight_of(FileCheck(track_file="f", weight=0), tracked) == (0, False)
