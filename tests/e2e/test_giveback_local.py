"""Replies of a NAT server that is the director itself reach the data path, and only those."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from lbfast.control.giveback import Way
from lbfast.control.localserver import LocalServers, map_keys
from lbfast.control.nft import Rules
from lbfast.control.steering import plan
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    VirtualService,
)
from tests.e2e.worldlib import Lab, Loop, Tap, counter, echo, entered, lab, run, talk

pytestmark = pytest.mark.net_admin

WAYS: tuple[Way, ...] = ("tcx", "clsact")
ADDRESSES = {AF_INET: "10.1.0.1", AF_INET6: "fd01::1"}
PORT = 8080


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


def packed(text: str) -> bytes:
    return socket.inet_pton(AF_INET6 if ":" in text else AF_INET, text)


@contextlib.contextmanager
def local_servers(net: Lab, way: Way, seen: list[bytes], *, pass_on: bool) -> Iterator[Rules]:
    """Makes the director its own NAT server on PORT; captured frames go on unless told not to."""
    keys = [ServiceKey(af, p, packed(a), 80) for af, a in ADDRESSES.items() for p in (6, 17)]
    servers = [
        (k, RealServer(ServerKey(k.af, packed(ADDRESSES[k.af]), PORT), Method.MASQ)) for k in keys
    ]
    made = plan([VirtualService(k) for k in keys], servers)
    interfaces = net.interfaces()
    with entered(net.director):
        locals_ = LocalServers(interfaces, way)
        rules = Rules("local", interfaces)
        rules.install(made)
    passes = [locals_.tx_pass(i) for i in interfaces]
    out = {i: Tap(net.director, i, mark=mark) for i, mark in passes}

    def swapped(ifindex: int, frame: bytes) -> None:
        if local_source(frame):
            seen.append(frame)
            if pass_on:
                out[ifindex].sock.send(frame[:10] + frame[16:22] + frame[10:16] + frame[22:])

    try:
        with Loop(net, interfaces, swapped) as loop, entered(net.director):
            locals_.set_servers(map_keys(made, [packed(a) for a in ADDRESSES.values()]))
            yield rules
            assert not loop.errors
    finally:
        with entered(net.director):
            rules.remove()
            locals_.close()
        for tap in out.values():
            tap.sock.close()


def mac(net: Lab, name: str) -> bytes:
    text = run(net.director, "ip", "-br", "link", "show", name).split()[2]
    return bytes.fromhex(text.replace(":", ""))


def local_source(frame: bytes) -> bool:
    return frame[36:40] == packed("10.1.0.1") or frame[32:48] == packed("fd01::1")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("address", ADDRESSES.values())
def test_replies_are_captured_and_can_go_on(net: Lab, way: Way, address: str) -> None:
    seen: list[bytes] = []
    with echo(net.director, address, PORT), local_servers(net, way, seen, pass_on=True):
        assert talk(net.client, address, PORT)[0] == 1 << 21
    assert len(seen) > 10
    assert counter(net.client, "TcpInCsumErrors") == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("address", ADDRESSES.values())
def test_captured_reply_leaves_by_the_data_path_alone(net: Lab, way: Way, address: str) -> None:
    seen: list[bytes] = []
    with echo(net.director, address, PORT), local_servers(net, way, seen, pass_on=False) as rules:
        with entered(net.client):
            sock = socket.socket(AF_INET6 if ":" in address else AF_INET)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.connect((address, PORT))
        sock.close()
        assert rules.counters()["local_reply"][0] == len(seen) > 0
    assert seen[0][10:16] == mac(net, "eth0")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("address", ADDRESSES.values())
def test_other_ports_and_pings_are_left_alone(net: Lab, way: Way, address: str) -> None:
    seen: list[bytes] = []
    with echo(net.director, address, 22), local_servers(net, way, seen, pass_on=False):
        assert talk(net.client, address, 22, size=1 << 14)[0] == 1 << 14
        run(net.client, "ping", "-c1", "-W2", address)
    assert not seen


@pytest.mark.parametrize("address", ADDRESSES.values())
def test_fragments_and_errors_of_the_address_are_captured(net: Lab, address: str) -> None:
    seen: list[bytes] = []
    family = AF_INET6 if ":" in address else AF_INET
    with local_servers(net, "tcx", seen, pass_on=True):
        with entered(net.director):
            server = socket.socket(family, socket.SOCK_DGRAM)
            server.bind((address, 999))
        with entered(net.client):
            client = socket.socket(family, socket.SOCK_DGRAM)
        client.settimeout(3)
        client.connect((address, 999))
        client.send(b"x")
        _, peer = server.recvfrom(10)
        server.sendto(bytes(4000), peer)
        assert len(client.recv(5000)) == 4000
        assert len(seen) == 3
        server.close()
        client.send(b"nobody there")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)
        assert len(seen) == 4
        client.close()


def test_nothing_is_attached_without_local_servers(net: Lab) -> None:
    with entered(net.director):
        made = LocalServers(net.interfaces(), "clsact")
        made.set_servers(frozenset((bytes(20),)))
        assert "lbfast_local" in run(net.director, "tc", "filter", "show", "dev", "eth0", "egress")
        made.set_servers(frozenset())
        assert "clsact" not in run(net.director, "tc", "qdisc", "show")


def test_without_bpf_it_is_said(net: Lab) -> None:
    made = LocalServers({}, "lo")
    assert made.obstacles() == []
    made.set_servers(frozenset((bytes(20),)))
    (sentence,) = made.obstacles()
    assert "use direct routing (-g)" in sentence
