"""What the director takes from its host and what it leaves: with real traffic, every method."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Protocol

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet

from netns import basic
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.capture import Capture
from tests.e2e.client import counters, endpoint, fetch, send, udp_socket
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director, realserver

OPTION = {"nat": "-m", "dr": "-g", "tun": "-i"}
SHAPES = [(method, family) for method in basic.METHODS for family in (4, 6)]
IDS = [f"{method} IPv{family}" for method, family in SHAPES]
CIP = {4: "10.1.0.11", 6: "fd00:1::11"}

Built = tuple[Net, Director]


class Balance(Protocol):
    def __call__(
        self, method: str, family: int, protocol: str = "-t", port: int = 80
    ) -> Built: ...


@pytest.fixture
def balance(network: Networks, director: Directors) -> Balance:
    """Return what builds a network whose VIP:80 is balanced over three web servers."""

    def make(method: str, family: int, protocol: str = "-t", port: int = 80) -> Built:
        net = network(basic.topology(method))
        vip = basic.VIP[family]
        service = f"{protocol} {endpoint(vip, port)}"
        lines = [f"-A {service} -s rr"]
        for name in basic.REAL_SERVERS:
            start_web(net, name)
            rip = basic.rip(method, name, family)
            lines.append(f"-a {service} -r {endpoint(rip, port)} {OPTION[method]}")
            if method != "nat":
                tunnel = ["--tunnel"] if method == "tun" else []
                assert realserver(net, name, "add", vip, *tunnel).returncode == 0
        balancer = director(net)
        balancer.rules(*lines)
        return net, balancer

    return make


def ip(family: int, source: str, destination: str) -> Packet:
    return (IP if family == 4 else IPv6)(src=source, dst=destination)


@pytest.mark.parametrize(("method", "family"), SHAPES, ids=IDS)
def test_service_without_a_listener_on_the_host_forwards(
    method: str, family: int, balance: Balance
) -> None:
    net, _ = balance(method, family)
    assert not net.run("director", ["ss", "-Htln", "sport = :80"]).stdout
    answers = fetch(net, "client1", endpoint(basic.VIP[family], 80), 6)
    assert sorted(a.host for a in answers) == sorted(basic.REAL_SERVERS * 2)


@pytest.mark.parametrize(("method", "family"), SHAPES, ids=IDS)
def test_host_keeps_its_other_ports_its_ping_and_its_health_checks(
    method: str, family: int, balance: Balance
) -> None:
    net, _ = balance(method, family)
    vip, rip = basic.VIP[family], basic.rip(method, "rs1", family)
    start_web(net, "director", 8081)
    (answer,) = fetch(net, "client1", endpoint(vip, 8081))
    assert (answer.host, answer.server) == ("director", vip)
    # large enough to come in fragments
    for size in ("56", "4000"):
        net.run("client1", ["ping", "-c2", "-i0.05", "-W2", "-s", size, vip])
    assert fetch(net, "director", endpoint(rip, 80))[0].host == "rs1"
    net.run("director", ["ping", "-c1", "-W2", rip])


@pytest.mark.parametrize(("method", "family"), SHAPES, ids=IDS)
def test_client_reaches_a_real_server_directly(method: str, family: int, balance: Balance) -> None:
    net, _ = balance(method, family)
    rip = basic.rip(method, "rs2", family)
    fetch(net, "client1", endpoint(basic.VIP[family], 80), 3)
    answers = fetch(net, "client1", endpoint(rip, 80), 3)
    assert {(a.host, a.server, a.client) for a in answers} == {("rs2", rip, CIP[family])}
    net.run("client1", ["ping", "-c1", "-W2", rip])


@pytest.mark.parametrize("family", [4, 6])
def test_segment_of_no_connection_is_reset_once_by_the_host(family: int, balance: Balance) -> None:
    net, _ = balance("nat", family)
    vip = basic.VIP[family]
    stray = ip(family, CIP[family], vip) / TCP(sport=4444, dport=80, flags="A", seq=7, ack=9)
    with Capture(net, "client1", "eth0", "tcp and port 4444") as capture:
        send(net, "client1", [bytes(stray)])
        wait_for(lambda: counters(net, "director", "TcpOutRsts")["TcpOutRsts"])
        fetch(net, "client1", endpoint(vip, 80), 3)
    resets = [packet[TCP] for packet in capture.packets if "R" in packet[TCP].flags]
    assert [(r.sport, r.dport, r.seq) for r in resets] == [(80, 4444, 9)]


@pytest.mark.parametrize("family", [4, 6])
def test_fragmented_datagram_is_forwarded_and_answered_once(family: int, balance: Balance) -> None:
    net, _ = balance("nat", family, "-u", 5000)
    vip, cip = basic.VIP[family], CIP[family]
    servers = [
        udp_socket(net, name, basic.rip("nat", name, family), 5000) for name in basic.REAL_SERVERS
    ]
    payload = bytes(range(256)) * 16
    with udp_socket(net, "client1", cip) as client:
        client.sendto(payload, (vip, 5000))
        got, server, where = wait_for(lambda: received(servers))
        assert (got, where[0]) == (payload, cip)
        server.sendto(payload[::-1], where)
        answer, source = client.recvfrom(9000)
        assert (answer, source[0]) == (payload[::-1], vip)
        # the host neither put the fragments together nor answered them
        names = ("IpReasmOKs", "Ip6ReasmOKs", "UdpNoPorts", "Udp6NoPorts", "IcmpOutMsgs")
        assert set(counters(net, "director", *names).values()) == {0}
        assert received([client]) is None, "a second answer"
    for server in servers:
        server.close()


@pytest.mark.parametrize("family", [4, 6])
def test_fragmented_datagram_to_another_port_reaches_the_host(
    family: int, balance: Balance
) -> None:
    net, _ = balance("nat", family, "-u", 5000)
    vip, payload = basic.VIP[family], bytes(5000)
    with (
        udp_socket(net, "director", vip, 6000) as host,
        udp_socket(net, "client1", CIP[family]) as client,
    ):
        client.sendto(payload, (vip, 6000))
        got, where = host.recvfrom(9000)
        assert got == payload
        host.sendto(payload, where)
        assert client.recv(9000) == payload


@pytest.mark.parametrize("family", [4, 6])
def test_error_of_a_real_server_reaches_the_client_once_as_the_vips(
    family: int, balance: Balance
) -> None:
    net, _ = balance("nat", family, "-u", 5000)
    vip, cip = basic.VIP[family], CIP[family]
    with (
        Capture(net, "client1", "eth0", "icmp or icmp6") as capture,
        udp_socket(net, "client1", cip, 4000) as client,
    ):
        client.connect((vip, 5000))
        client.send(b"is anybody there")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
    errors = [packet for packet in capture.packets if is_unreachable(packet, family)]
    (error,) = errors
    outer, inner = (IP, "IPerror") if family == 4 else (IPv6, "IPerror6")
    assert error[outer].src == vip
    assert (error[inner].src, error[inner].dst) == (cip, vip)
    assert (error["UDPerror"].sport, error["UDPerror"].dport) == (4000, 5000)


def test_error_of_a_client_reaches_the_real_server_once(balance: Balance) -> None:
    net, _ = balance("nat", 4, "-u", 5000)
    vip, cip = basic.VIP[4], CIP[4]
    rips = {name: basic.rip("nat", name, 4) for name in basic.REAL_SERVERS}
    servers = [udp_socket(net, name, rip, 5000) for name, rip in rips.items()]
    with udp_socket(net, "client1", cip, 4000) as client:
        client.sendto(b"question", (vip, 5000))
        _, server, _ = wait_for(lambda: received(servers))
    chosen = {rip: name for name, rip in rips.items()}[server.getsockname()[0]]
    with Capture(net, chosen, "eth0", "icmp") as capture:
        server.sendto(b"answer", (cip, 4000))  # nobody listens there any more
        wait_for(lambda: counters(net, chosen, "IcmpInDestUnreachs")["IcmpInDestUnreachs"])
    (error,) = [packet for packet in capture.packets if packet[ICMP].type == 3]
    assert (error[IP].src, error[IP].dst) == (cip, rips[chosen])
    assert (error["IPerror"].src, error["IPerror"].dst) == (rips[chosen], cip)
    names = ("IcmpInMsgs", "IcmpOutMsgs")
    assert set(counters(net, "director", *names).values()) == {0}
    for each in servers:
        each.close()


@pytest.mark.parametrize("family", [4, 6])
def test_expired_hop_limit_is_told_once(family: int, balance: Balance) -> None:
    net, _ = balance("nat", family)
    last = ip(family, CIP[family], basic.VIP[family]) / TCP(sport=4444, dport=80, flags="S")
    if family == 4:
        last.ttl = 2  # one for the router, the director's would be the last
    else:
        last.hlim = 2
    with Capture(net, "client1", "eth0", "icmp or icmp6") as capture:
        send(net, "client1", [bytes(last)])
        fetch(net, "client1", endpoint(basic.VIP[family], 80), 3)
    exceeded = [packet for packet in capture.packets if is_exceeded(packet, family)]
    assert len(exceeded) == 1


def received(sockets: Iterable[socket.socket]) -> tuple[bytes, socket.socket, Any] | None:
    """Return (data, socket, from whom) of the first socket that has something, or None."""
    for each in sockets:
        timeout = each.gettimeout()
        each.setblocking(False)
        try:
            data, where = each.recvfrom(9000)
        except BlockingIOError:
            continue
        finally:
            each.settimeout(timeout)
        return data, each, where
    return None


def is_unreachable(packet: Packet, family: int) -> bool:
    if family == 4:
        return ICMP in packet and bool(packet[ICMP].type == 3)
    return ICMPv6DestUnreach in packet


def is_exceeded(packet: Packet, family: int) -> bool:
    if family == 4:
        return ICMP in packet and bool(packet[ICMP].type == 11)
    return ICMPv6TimeExceeded in packet


def test_rules_hold_every_server_when_the_words_have_ended(
    network: Networks, director: Directors
) -> None:
    """A reply that the rules do not know yet would reach the client as the real server's own."""
    net = network(basic.topology("nat"))
    balancer = director(net)
    service = f"-t {basic.VIP[4]}:80"
    servers = [f"10.77.{n >> 8}.{n & 255}" for n in range(1, 2001)]
    balancer.rules(f"-A {service}", *(f"-a {service} -r {each} -m" for each in servers))
    table = net.run("director", ["nft", "list", "ruleset"]).stdout
    assert [each for each in servers if each not in table] == []
