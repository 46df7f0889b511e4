"""Each kind of check over real sockets of the loopback."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from typing import Any

import pytest

from lbfast.check import datagram, stream
from lbfast.check.endpoint import NoSocketError, open_socket, target_of
from lbfast.model.check import (
    DnsCheck,
    Endpoint,
    HttpCheck,
    PingCheck,
    Regex,
    SmtpCheck,
    TcpCheck,
    Timing,
    UdpCheck,
    Url,
)
from tests.checklab import packed
from tests.checkservice import (
    BAD,
    DOWN,
    OK,
    RS,
    UP,
    Listener,
    answering,
    at_once,
    endpoint,
    go,
    one,
    running,
    until,
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)


@pytest.mark.covers("CHK-08", "CHK-06")
def test_tcp_refused_is_down_and_a_listener_is_up_again() -> None:
    async def test() -> None:
        listener = await Listener().open()
        async with running(one(TcpCheck(endpoint=endpoint(listener.port)))) as (_, table):
            await listener.came(2)
            assert table.weights() == {RS: 1}
            await listener.close()
            await table.lines_are(DOWN)
            await listener.open()
            await table.lines_are(UP)
            await listener.close()

    go(test())


def test_http_status_takes_down_and_two_successes_bring_up() -> None:
    async def test() -> None:
        text = OK
        listener = await Listener(answering(lambda: text)).open()
        http = HttpCheck(urls=(Url("/a"),), endpoint=endpoint(listener.port))
        async with running(one(http)) as (_, table):
            await listener.came(1)
            text = BAD
            await table.lines_are(DOWN)
            text = OK
            before = len(listener.peers)
            await table.lines_are(UP)
            assert len(listener.peers) >= before + 2
        await listener.close()

    go(test())


@pytest.mark.covers("CHK-17")
def test_http_silence_after_accept_fails_after_connect_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def test() -> None:
        listener = await Listener(silent).open()
        http = HttpCheck(
            urls=(Url("/"),),
            endpoint=endpoint(listener.port),
            timing=Timing(connect_timeout_s=0.2),
        )
        async with running(one(http)) as (checks, table):
            begun = asyncio.get_running_loop().time()
            await table.lines_are(DOWN)
            assert asyncio.get_running_loop().time() - begun >= 0.2
            assert "no answer from [127.0.0.1]" in checks.dump()
        await listener.close()

    go(test())


@pytest.mark.covers("CHK-08")
def test_tcp_connect_timeout_is_honoured() -> None:
    async def test() -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)  # one connection fits; what comes later is not answered
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            check = TcpCheck(
                endpoint=endpoint(full.getsockname()[1]), timing=Timing(connect_timeout_s=0.2)
            )
            async with running(one(check)) as (checks, table):
                await table.lines_are(DOWN)
                assert "timed out after 0.2s" in checks.dump()

    go(test())


def test_large_page_in_pieces_is_read_to_its_end() -> None:
    async def test() -> None:
        body = b"x" * 3_000_000 + b"end"
        listener = await Listener(answering(lambda: b"HTTP/1.0 200 OK\r\n\r\n" + body)).open()
        url = Url("/", regex=Regex("xend$"))
        http = HttpCheck(urls=(url,), endpoint=endpoint(listener.port))
        down = Timing(alpha=True)
        async with running(one(replace(http, timing=down))) as (_, table):
            await table.lines_are(UP)
        await listener.close()

    go(test())


@pytest.mark.covers("CHK-09")
def test_source_address_and_port_are_those_of_bindto() -> None:
    async def test() -> None:
        listener = await Listener().open()
        with socket.create_server(("127.0.0.9", 0)) as free:
            port = free.getsockname()[1]
        there = endpoint(listener.port, bindto=packed("127.0.0.9"), bind_port=port)
        async with running(one(TcpCheck(endpoint=there))):
            await listener.came(1)
        assert listener.peers[0] == ("127.0.0.9", port)
        await listener.close()

    go(test())


@pytest.mark.covers("CHK-09")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_source_port_alone_is_that_of_bind_port(address: str) -> None:
    where = Endpoint(packed(address), 80, bind_port=_free_port())
    with open_socket(where, target_of(where), socket.SOCK_STREAM) as sock:
        assert sock.getsockname()[:2] == ("::" if ":" in address else "0.0.0.0", where.bind_port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.covers("CHK-37")
@pytest.mark.parametrize("kind", [UdpCheck, PingCheck])
def test_datagram_that_cannot_leave_counts_against_the_server(kind: Any) -> None:
    async def test() -> None:
        nowhere = endpoint(9, bindto=packed("192.0.2.99"))
        async with running(one(kind(endpoint=nowhere))) as (_, table):
            await table.lines_are(DOWN)

    go(test())


@pytest.mark.covers("CHK-37")
@pytest.mark.parametrize("kind", [TcpCheck, UdpCheck, PingCheck, DnsCheck])
def test_want_of_a_socket_is_no_verdict(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> socket.socket:
        raise NoSocketError(errno.EAFNOSUPPORT, "no such family")

    async def test() -> None:
        for module in (stream, datagram):
            monkeypatch.setattr(module, "open_socket", none)
        async with running(one(kind(endpoint=endpoint(9)))) as (checks, table):
            await until(lambda: "no such family" in checks.dump())
            assert table.weights() == {RS: 1}

    go(test())


@pytest.mark.covers("CHK-37")
@pytest.mark.parametrize("kind", [TcpCheck, DnsCheck])
def test_local_trouble_is_no_verdict(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        nowhere = endpoint(9, bindto=packed("192.0.2.99"))
        check = kind(endpoint=nowhere, log_all_failures=True)
        async with running(one(check)) as (checks, table):
            await until(lambda: caplog.text.count("[127.0.0.1]:") >= 2)  # it goes on trying
            assert table.weights() == {RS: 1}
            assert "last result = unknown" in checks.dump()

    go(test())


def test_smtp_over_a_real_connection() -> None:
    async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            said.append(line)
            writer.write(b"250 ok\r\n")

    said: list[bytes] = []

    async def test() -> None:
        listener = await Listener(mail).open()
        check = SmtpCheck(
            helo_name="me", endpoint=endpoint(listener.port), timing=Timing(alpha=True)
        )
        async with running(one(check)) as (_, table):
            await table.lines_are(UP)
        await listener.close()

    go(test())
    assert said[:2] == [b"HELO me\r\n", b"QUIT\r\n"]


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram by a function of it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(self._answer(data), addr)


async def udp_server(answer: Any) -> tuple[asyncio.BaseTransport, int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Echo(answer), local_addr=("127.0.0.1", 0)
    )
    return transport, transport.get_extra_info("sockname")[1]


def test_dns_over_a_real_socket() -> None:
    async def test() -> None:
        code = 3
        transport, port = await udp_server(
            lambda query: query[:2] + bytes((0x81, 0x80 | code)) + query[4:]
        )
        check = DnsCheck(endpoint=endpoint(port), timing=Timing(delay_before_retry_s=0.05))
        async with running(one(check)) as (_, table):
            await table.lines_are(DOWN)
            code = 0
            await table.lines_are(UP)
        transport.close()

    go(test())


@pytest.mark.covers("CHK-23")
def test_udp_closed_port_fails_at_once() -> None:
    async def test() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with running(one(UdpCheck(endpoint=endpoint(port)))) as (checks, table):
            begun = asyncio.get_running_loop().time()
            await table.lines_are(DOWN)
            assert asyncio.get_running_loop().time() - begun < 4  # connect_timeout is 5
            assert "Connection refused" in checks.dump()

    go(test())
