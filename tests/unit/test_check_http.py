"""HTTP_GET: the bytes that are sent, and the judgement of what comes back."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.check.base import Result
from lbfast.check.http import Answer, HttpConversation, content_length, request, status_of
from lbfast.check.pattern import OPTIONS, matcher
from lbfast.errors import ConfigError
from lbfast.model.check import Endpoint, HttpCheck, Regex, Url
from tests.checklab import packed

V4 = Endpoint(packed("10.7.0.11"), 8001)
V6 = Endpoint(packed("2001:db8::11"), 80)
PAGE = b"<html>all is well</html>\n"


def http(endpoint: Endpoint = V4, protocol: str = "1.0", virtualhost: str = "") -> HttpCheck:
    return HttpCheck(
        urls=(Url("/a"),), endpoint=endpoint, http_protocol=protocol, virtualhost=virtualhost
    )


@pytest.mark.covers("CHK-10", "CHK-12", "CHK-20")
@pytest.mark.parametrize(
    ("check", "expected"),
    [
        pytest.param(
            http(),
            b"GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.7.0.11:8001\r\n\r\n",
            id="1.0 has no Connection line and a Host with the port",
        ),
        pytest.param(
            http(protocol="1.0C"),
            b"GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\n"
            b"Host: 10.7.0.11:8001\r\n\r\n",
            id="1.0C closes",
        ),
        pytest.param(
            http(protocol="1.1", virtualhost="www.example"),
            b"GET /a HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\n"
            b"Host: www.example\r\n\r\n",
            id="1.1 closes, and a virtual host gets no port",
        ),
        pytest.param(
            http(V6),
            b"GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: [2001:db8::11]:80\r\n\r\n",
            id="IPv6 in brackets, the usual port too",
        ),
    ],
)
def test_request_bytes(check: HttpCheck, expected: bytes) -> None:
    assert request(check, check.urls[0]) == expected


@pytest.mark.covers("CHK-11")
def test_virtual_host_of_the_url_comes_first() -> None:
    sent = request(http(virtualhost="outer"), Url("/", virtualhost="inner:81"))
    assert b"Host: inner:81\r\n" in sent


def test_path_is_sent_as_it_is_written() -> None:
    assert request(http(), Url("/b c?x=ä")).startswith("GET /b c?x=ä HTTP/1.0\r\n".encode())


def answer(status: str = "200 OK", body: bytes = PAGE, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""])
    return head.encode() + body


def judge(data: bytes, url: Url, *, chunk: int = 1 << 20) -> Result:
    """Let a conversation hear an answer in pieces of a size, then its end."""
    found = matcher(url.regex) if url.regex else None
    conversation = HttpConversation(b"GET", url, found)
    assert conversation.connected() == b"GET"
    for start in range(0, len(data), chunk):
        step = conversation.received(data[start : start + chunk])
        if isinstance(step, Result):
            return step
        assert step == b""
    return conversation.closed()


@pytest.mark.covers("CHK-13")
@pytest.mark.parametrize(
    ("status", "codes", "ok"),
    [
        ("200 OK", ((200, 299),), True),
        ("299", ((200, 299),), True),
        ("302 Found", ((200, 299),), False),
        ("302 Found", ((200, 399),), True),
        ("404 No", ((200, 200), (404, 404)), True),
        ("500 Oh", ((200, 299),), False),
        ("20 OK", ((100, 599),), False),
        ("OK 200", ((100, 599),), False),
    ],
)
def test_status_code_decides(status: str, codes: tuple[tuple[int, int], ...], ok: bool) -> None:
    assert judge(answer(status), Url("/a", status_codes=codes)).ok is ok


def test_wrong_status_is_told_with_what_was_expected() -> None:
    url = Url("/a", status_codes=((200, 299), (304, 304)))
    assert judge(answer("503 x"), url).reason == "/a: status code 503, expected 200-299 304"


@pytest.mark.covers("CHK-14")
def test_digest_is_md5_of_the_body() -> None:
    right, wrong = hashlib.md5(PAGE).digest(), hashlib.md5(b"x").digest()
    assert judge(answer(), Url("/", digest=right)).ok
    result = judge(answer(), Url("/", digest=wrong))
    assert not result.ok
    assert right.hex() in result.reason


def test_digest_of_an_empty_body() -> None:
    url = Url("/", digest=bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"))
    assert judge(answer(body=b""), url).ok
    assert not judge(answer(body=b"x"), url).ok


@pytest.mark.covers("CHK-14")
def test_status_is_judged_even_if_the_digest_is_right() -> None:
    url = Url("/", digest=hashlib.md5(PAGE).digest())
    assert not judge(answer("404 Not Found"), url).ok


def test_digest_ends_at_the_content_length() -> None:
    url = Url("/", digest=hashlib.md5(PAGE).digest())
    longer = answer("200 OK", PAGE + b"more", f"Content-Length: {len(PAGE)}")
    assert judge(longer, url).ok
    assert judge(longer, url, chunk=7).ok


@given(st.integers(1, 40), st.binary(max_size=200))
def test_answer_in_pieces_is_judged_as_in_one(chunk: int, body: bytes) -> None:
    url = Url("/", digest=hashlib.md5(body).digest(), regex=Regex("x"))
    whole, pieces = judge(answer(body=body), url), judge(answer(body=body), url, chunk=chunk)
    assert whole == pieces


@given(st.binary(max_size=400))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert judge(data, Url("/", digest=b"x" * 16)).ok is False


@pytest.mark.parametrize("data", [b"", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\n\nbody"])
def test_answer_without_the_end_of_a_header_fails(data: bytes) -> None:
    assert "before the end of the header" in judge(data, Url("/")).reason


def test_endless_header_fails_and_is_not_kept() -> None:
    result = judge(b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 20000, Url("/"), chunk=1000)
    assert "header exceeds" in result.reason


def test_endless_body_for_a_pattern_fails() -> None:
    reply = Answer(wants_digest=False, wants_body=True)
    assert reply.feed(answer(body=b"")) == ""
    megabyte = bytes(1 << 20)
    assert [reply.feed(megabyte) for _ in range(16)] == [""] * 16
    assert "body exceeds" in reply.feed(megabyte)


def test_body_is_not_kept_without_a_pattern() -> None:
    reply = Answer(wants_digest=True, wants_body=False)
    reply.feed(answer())
    assert reply.body == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b", 200),
        (b"HTTP/1.1 404", 404),
        (b"HTTP/1.1", 0),
        (b"200 OK", 0),
        (b"", 0),
        (b"HTTP/1.1 2000 x", 0),
    ],
)
def test_status_of_a_header(head: bytes, status: int) -> None:
    assert status_of(head) == status


def test_content_length_ignores_case_and_nonsense() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  12 ") == 12
    assert content_length(b"HTTP/1.1 200 OK\r\nContent-Length: -1") is None
    assert content_length(b"HTTP/1.1 200 OK") is None


# patterns


@pytest.mark.covers("CHK-18")
@pytest.mark.parametrize(
    ("regex", "body", "ok"),
    [
        pytest.param(Regex("all is"), PAGE, True, id="found"),
        pytest.param(Regex("^all"), PAGE, False, id="anchored at the start"),
        pytest.param(Regex("ALL", options=frozenset({"caseless"})), PAGE, True, id="caseless"),
        pytest.param(Regex("a.b"), b"a\nb", False, id="dot stops at a newline"),
        pytest.param(Regex("a.b", options=frozenset({"dotall"})), b"a\nb", True, id="dotall"),
        pytest.param(Regex("^b", options=frozenset({"multiline"})), b"a\nb", True, id="multiline"),
        pytest.param(Regex("a b", options=frozenset({"extended"})), b"ab", True, id="extended"),
        pytest.param(Regex("b", options=frozenset({"firstline"})), b"a\nb", False, id="firstline"),
        pytest.param(Regex(r"(?<n>a)\k<n>"), b"aa", True, id="named reference"),
        pytest.param(Regex(r"a++ab"), b"aaab", False, id="possessive, which Python has late"),
        pytest.param(Regex(r"\Qa.b\E"), b"a.b", True, id="quoted, which Python has not"),
        pytest.param(Regex("^.$", options=frozenset({"utf"})), "ä".encode(), True, id="utf"),
        pytest.param(Regex("^.$"), "ä".encode(), False, id="bytes without utf"),
        pytest.param(Regex("well", no_match=True), PAGE, False, id="must not match, but does"),
        pytest.param(Regex("ill", no_match=True), PAGE, True, id="must not match, and does not"),
        pytest.param(Regex("a", min_offset=2), b"abba", True, id="from an offset on"),
        pytest.param(Regex("a", min_offset=4), b"abba", False, id="nothing after the offset"),
        pytest.param(Regex("a", min_offset=9), b"abba", False, id="offset beyond the body"),
        pytest.param(Regex("b", max_offset=1), b"abba", True, id="begins early enough"),
        pytest.param(Regex("ba", max_offset=1), b"abba", False, id="begins too late"),
    ],
)
def test_pattern(regex: Regex, body: bytes, ok: bool) -> None:
    assert judge(answer(body=body), Url("/", regex=regex)).ok is ok


@pytest.mark.parametrize("word", sorted(OPTIONS))
def test_every_option_is_known(word: str) -> None:
    assert matcher(Regex("a+b", options=frozenset({word})))(b"aab") == ""


def test_bad_pattern_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"regex 'a\(': "):
        matcher(Regex("a("))
    with pytest.raises(ConfigError, match="nonsense unknown; known: "):
        matcher(Regex("a", options=frozenset({"nonsense"})))


def test_single_byte_escape_is_refused_where_it_must_not_be() -> None:
    with pytest.raises(ConfigError, match="never_backslash_c"):
        matcher(Regex(r"a\C", options=frozenset({"never_backslash_c"})))
    assert matcher(Regex(r"a\\C", options=frozenset({"never_backslash_c"})))(rb"a\C") == ""


def test_pattern_that_never_ends_is_a_failure_and_no_hang() -> None:
    result = judge(answer(body=b"a" * 60 + b"b"), Url("/", regex=Regex(r"^(a+)+(?!b)\1$c")))
    assert result.ok is False


def test_pattern_comes_after_digest_and_status() -> None:
    url = Url("/", digest=b"x" * 16, regex=Regex("nothing"))
    assert "digest" in judge(answer(), url).reason
    assert "status" in judge(answer("500 x"), replace(url, digest=b"")).reason
