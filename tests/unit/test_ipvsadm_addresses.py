"""How addresses and ports are read."""

from __future__ import annotations

import socket

import pytest

from lbfast.cli.addresses import Endpoint, SystemNames, parse_endpoint
from lbfast.model import AF_INET, AF_INET6
from tests.ipvsadm_face import Face, FakeNames

TCP = socket.IPPROTO_TCP


def endpoint(text: str, port: int | None) -> Endpoint:
    af = AF_INET6 if ":" in text else AF_INET
    return Endpoint(af, socket.inet_pton(af, text), port)


@pytest.mark.covers("C-353", "C-354", "C-355", "C-356")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.9.0.1:80", endpoint("10.9.0.1", 80)),
        ("10.9.0.1", endpoint("10.9.0.1", None)),
        ("10.9.0.1:", None),
        ("10.9.0.1:+81", endpoint("10.9.0.1", 81)),
        ("10.9.0.1:65535", endpoint("10.9.0.1", 65535)),
        ("10.9.0.1:65536", None),
        ("10.9.0.1:80x", None),
        ("10.9.0.1:http", endpoint("10.9.0.1", 80)),
        ("10.9.0.1:HTTP", None),
        ("10.9.0.1:m2ua", None),  # known, but not for TCP
        ("10.9.0.1:80:80", None),
        ("1.2:80", endpoint("1.0.0.2", 80)),
        ("0x0a090001:80", endpoint("10.9.0.1", 80)),
        ("012.9.0.1:80", endpoint("10.9.0.1", 80)),
        ("1:80", endpoint("0.0.0.1", 80)),
        ("300.1.1.1:80", None),
        ("80", None),
        ("123456", None),
        ("", None),
        (":80", None),
        ("fd00:9::1", endpoint("fd00:9::1", None)),
        ("fd00:9::1:80", endpoint("fd00:9::1:80", None)),
        ("[fd00:9::1]:80", endpoint("fd00:9::1", 80)),
        ("[fd00:9::1]", None),
        ("[fd00:9::1]80", None),
        ("[fd00:9::1", None),
        ("[10.9.0.1]:80", endpoint("10.9.0.1", None)),
        ("[]:80", None),
        ("vip.example.org:80", endpoint("10.9.0.50", 80)),
        ("vip.example.org", endpoint("10.9.0.50", None)),
        ("six.example.org:80", None),  # names never mean IPv6
        ("nosuch.invalid:80", None),
    ],
)
def test_endpoint_is_read(text: str, expected: Endpoint | None) -> None:
    assert parse_endpoint(text, TCP, FakeNames()) == expected


@pytest.mark.covers("C-355")
@pytest.mark.parametrize(
    ("name", "protocol", "port"),
    [
        ("domain", socket.IPPROTO_UDP, 53),
        ("domain", TCP, None),
        ("m2ua", socket.IPPROTO_SCTP, 2904),
        ("http", socket.IPPROTO_UDP, None),
    ],
)
def test_port_name_is_one_of_the_protocol(name: str, protocol: int, port: int | None) -> None:
    found = parse_endpoint(f"10.9.0.1:{name}", protocol, FakeNames())
    assert found == (None if port is None else endpoint("10.9.0.1", port))


@pytest.mark.covers("C-355")
@pytest.mark.parametrize(
    ("number", "name"),
    [(TCP, "tcp"), (socket.IPPROTO_UDP, "udp"), (socket.IPPROTO_SCTP, "sctp")],
)
def test_system_is_asked_for_a_port_of_the_protocol(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    known = {("some", name): 7}
    monkeypatch.setattr(socket, "getservbyname", lambda *asked: known[asked])
    assert SystemNames().service_port("some", number) == 7


@pytest.mark.covers("C-353")
def test_illegal_addresses_are_named() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80")
    result = face("-A -t 80")
    assert (result.status, result.error) == (
        2,
        "illegal virtual server address[:port] specified\n",
    )
    result = face("-a -t 10.9.0.1:80 -r 80")
    assert (result.status, result.error) == (2, "illegal real server address[:port] specified\n")


@pytest.mark.covers("C-355")
@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("-m -t 10.9.0.1:80 -r 10.2.0.1", 80),
        ("-m -t 10.9.0.1:80 -r 10.2.0.1:8080", 8080),
        ("-m -r 10.2.0.1 -t 10.9.0.1:80", 0),  # the service is not known yet
        ("-m -t 10.9.0.1:80 -r 10.2.0.1:http", 80),
    ],
)
def test_server_without_port_takes_that_of_the_service_so_far(line: str, port: int) -> None:
    face = Face()
    face.all(f"-A -t 10.9.0.1:80\n-a {line}")
    (state,) = face.balancer.services()
    assert state.servers[0].server.key.port == port


def test_server_port_name_needs_the_service_first() -> None:
    result = Face()("-a -m -r 10.2.0.1:http -t 10.9.0.1:80")
    assert result.error == "illegal real server address[:port] specified\n"


@pytest.mark.covers("C-356")
def test_system_names_give_ipv4_for_a_host() -> None:
    names = SystemNames()
    assert names.host_address("localhost") == bytes([127, 0, 0, 1])
    assert names.host_address("") is None
    assert names.host_address("<broadcast>") is None
    assert names.host_address("a..b") is None
