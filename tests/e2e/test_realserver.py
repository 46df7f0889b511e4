"""`lbfast realserver`: quiet about its VIP, unwraps every kind of tunnel, undoes all of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet, Raw

from lbfast.control.rundir import RUN
from netns import basic
from netns.build import Net
from netns.inside import inside, namespace_cookie
from netns.ownership import NAMESPACES
from netns.topo import Host, Sysctl, Topology, addresses, link
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.client import counters, send, udp_socket
from tests.e2e.conftest import Networks
from tests.e2e.director import realserver

SOL_PACKET, PACKET_VNET_HDR = 263, 15
VIP4, VIP6 = "198.51.100.1", "2001:db8:9::1"
QDISC = r"qdisc \w+ "  # the one thing that a device keeps from having been up
CLIENT4, CLIENT6 = "203.0.113.7", "2001:db8:7::7"
TRACES = (
    "ip addr",
    "ip route show table all; ip -6 route show table all",
    "ip -d link",
    "sysctl -a --pattern 'arp_|rp_filter|disable_ipv6'",
)


def pair(*sysctls: Sysctl) -> Topology:
    """Return a director and a real server on one link; clients are further behind."""
    one = Host("director", addresses("eth0", "10.0.0.1/24", "fd00::1/64"))
    two = Host(
        "rs",
        addresses("eth0", "10.0.0.2/24", "fd00::2/64"),
        sysctls=sysctls,
    )
    return Topology("pair", (one, two), (link("director:eth0", "rs:eth0"),))


def routed(net: Net) -> Net:
    """Give the real server its way back to clients."""
    net.run("rs", ["ip", "route", "add", "default", "via", "10.0.0.1"])
    net.run("rs", ["ip", "-6", "route", "add", "default", "via", "fd00::1"])
    return net


def traces(net: Net) -> list[str]:
    return [net.run("rs", ["sh", "-c", command], check=False).stdout for command in TRACES]


def tunnel_pid(net: Net, host: str = "rs") -> int:
    name = f"ns-{namespace_cookie(NAMESPACES / net.namespace(host))}"
    return int((RUN / name / "realserver.pid").read_text().split()[0])


@pytest.mark.parametrize(
    "before",
    [(), (Sysctl("net.ipv4.conf.all.arp_ignore", "2"), Sysctl("net.ipv4.conf.lo.rp_filter", "1"))],
    ids=["a host as it comes", "a host with settings of its own"],
)
def test_del_leaves_the_host_as_it_was(before: tuple[Sysctl, ...], network: Networks) -> None:
    net = network(pair(*before))
    was = traces(net)
    assert realserver(net, "rs", "add", VIP4, VIP6, "--tunnel").returncode == 0
    assert realserver(net, "rs", "add", "198.51.100.2").returncode == 0
    assert realserver(net, "rs", "status").returncode == 0
    assert traces(net) != was
    assert realserver(net, "rs", "del", "198.51.100.2").returncode == 0
    assert realserver(net, "rs", "del").returncode == 0
    assert traces(net) == was


def test_address_of_the_administrator_stays(network: Networks) -> None:
    net = network(pair())
    net.run("rs", ["ip", "addr", "add", f"{VIP4}/32", "dev", "lo"])
    was = traces(net)
    assert realserver(net, "rs", "add", VIP4).returncode == 0
    assert realserver(net, "rs", "del").returncode == 0
    assert traces(net) == was


@pytest.mark.parametrize("family", [4, 6])
def test_nobody_answers_for_a_vip_that_only_real_servers_have(
    family: int, network: Networks
) -> None:
    net = network(basic.topology("dr"))
    vip = "10.2.0.99" if family == 4 else "fd00:2::99"
    for name in basic.REAL_SERVERS:
        assert realserver(net, name, "add", vip).returncode == 0
    net.run("router", ["ping", "-c2", "-i0.1", "-W1", vip], check=False)
    neighbour = net.run("router", ["ip", "neigh", "show", vip]).stdout
    assert "lladdr" not in neighbour


def test_real_server_never_asks_in_the_name_of_its_vip(network: Networks) -> None:
    net = routed(network(pair()))
    assert realserver(net, "rs", "add", VIP4, VIP6).returncode == 0
    for vip, family in ((VIP4, "-4"), (VIP6, "-6")):
        net.run("rs", ["ip", "neigh", "flush", "dev", "eth0"])
        expression = f"arp and not arp host {CLIENT4}" if family == "-4" else "icmp6"
        client = CLIENT4 if family == "-4" else CLIENT6
        with Capture(net, "director", "eth0", expression) as capture:
            net.run("rs", ["ping", family, "-c1", "-W1", "-I", vip, client], check=False)
        asked = [packet for packet in capture.packets if "who" in packet.summary()]
        asked += [packet for packet in capture.packets if packet.haslayer("ICMPv6ND_NS")]
        assert asked
        assert not [
            packet for packet in asked if vip in (packet.fields.get("psrc"), source(packet))
        ]


def source(packet: Packet) -> str:
    """Return who a neighbour's question is from."""
    return str(packet["ARP"].psrc if packet.haslayer("ARP") else packet[IPv6].src)


KINDS = ["4in4", "6in4", "4in6", "6in6"]


def inner(kind: str, payload: bytes) -> Packet:
    if kind[0] == "4":
        return IP(src=CLIENT4, dst=VIP4) / UDP(sport=7, dport=9) / payload
    return IPv6(src=CLIENT6, dst=VIP6) / UDP(sport=7, dport=9) / payload


def outer(kind: str, packet: Packet) -> Packet:
    if kind[-1] == "4":
        return IP(src="10.0.0.1", dst="10.0.0.2", id=77) / packet
    return IPv6(src="fd00::1", dst="fd00::2") / packet


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strictness", ["0", "1", "2"], ids=lambda value: f"rp_filter={value}")
def test_tunnelled_datagram_is_unwrapped(kind: str, strictness: str, network: Networks) -> None:
    net = routed(network(pair(Sysctl("net.ipv4.conf.all.rp_filter", strictness))))
    assert realserver(net, "rs", "add", VIP4, VIP6, "--tunnel").returncode == 0
    vip, client = (VIP4, CLIENT4) if kind[0] == "4" else (VIP6, CLIENT6)
    payload = os.urandom(2500)
    with udp_socket(net, "rs", vip, 9) as server:
        send(net, "director", [bytes(outer(kind, inner(kind, b"small")))])
        data, where = server.recvfrom(9000)
        assert (data, where[:2]) == (b"small", (client, 7))
        send(net, "director", pieces(kind, payload))
        assert server.recv(9000) == payload


def pieces(kind: str, payload: bytes) -> list[bytes]:
    """Return a tunnelled packet whose outer packet comes in fragments, the last one first."""
    if kind[-1] == "4":
        return [bytes(p) for p in reversed(fragment(outer(kind, inner(kind, payload)), 1200))]
    number = 4 if kind[0] == "4" else 41
    body = bytes(inner(kind, payload))
    whole = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment(id=9, nh=number) / Raw(body)
    return [bytes(piece) for piece in reversed(fragment6(whole, 1280))]


@pytest.mark.parametrize("kind", KINDS)
def test_unfinished_checksum_is_taken_and_a_bad_one_refused(kind: str, network: Networks) -> None:
    net = routed(network(pair()))
    assert realserver(net, "rs", "add", VIP4, VIP6, "--tunnel").returncode == 0
    bad, unfinished = inner(kind, b"bad"), inner(kind, b"unfinished")
    bad[UDP].chksum = 0x1234
    unfinished[UDP].chksum = pseudo_sum(unfinished)
    name = "UdpInCsumErrors" if kind[0] == "4" else "Udp6InCsumErrors"
    with udp_socket(net, "rs", VIP4 if kind[0] == "4" else VIP6, 9) as server:
        send(net, "director", [bytes(outer(kind, bad))])
        send_unfinished(net, outer(kind, unfinished), 40 if kind[-1] == "6" else 20)
        assert server.recv(100) == b"unfinished"
    assert counters(net, "rs", name)[name] == 1


def send_unfinished(net: Net, packet: Packet, outer_size: int) -> None:
    """Send a packet on the link as a sender does that leaves the inner checksum to its device."""
    raw = bytes(packet)
    inner_size = 40 if raw[outer_size] >> 4 == 6 else 20
    vnet = struct.pack("=BBHHHH", 1, 0, 0, 0, 14 + outer_size + inner_size, 6)
    put_on_link(net, raw, vnet)


def put_on_link(net: Net, packet: bytes, vnet: bytes = bytes(10)) -> None:
    """Let the director send a packet to the real server's own hardware address."""
    ethertype = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    macs = bytes.fromhex(mac_of(net, "rs").replace(":", "")) + bytes(6)

    def open_link() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.bind(("eth0", 0))
        return sock

    with inside(NAMESPACES / net.namespace("director"), open_link) as sock:
        sock.send(vnet + macs + ethertype + packet)


def mac_of(net: Net, host: str) -> str:
    return net.run(host, ["cat", "/sys/class/net/eth0/address"]).stdout.strip()


@pytest.mark.parametrize("kind", ["4in4", "6in6"])
@pytest.mark.parametrize("strictness", ["0", "1"], ids=lambda value: f"rp_filter={value}")
def test_kernel_unwraps_what_is_plain(kind: str, strictness: str, network: Networks) -> None:
    net = routed(network(pair(Sysctl("net.ipv4.conf.all.rp_filter", strictness))))
    assert realserver(net, "rs", "add", VIP4, VIP6, "--tunnel").returncode == 0
    os.kill(tunnel_pid(net), signal.SIGSTOP)
    elsewhere = outer(kind, inner(kind, b"for another host"))
    elsewhere.dst = "10.0.0.99" if kind[-1] == "4" else "fd00::99"
    marked = outer(kind, inner(kind, b"congested on the way"))
    if kind[-1] == "4":
        marked.tos = 3
    else:
        marked.tc = 3
    with udp_socket(net, "rs", VIP4 if kind[0] == "4" else VIP6, 9) as server:
        for packet in (elsewhere, marked, outer(kind, inner(kind, b"plain"))):
            put_on_link(net, bytes(packet))
        assert server.recv(100) == b"plain"
        os.kill(tunnel_pid(net), signal.SIGCONT)
        put_on_link(net, bytes(outer(kind, inner(kind, b"last"))))
        assert server.recv(100) == b"last"


def test_kernel_unwraps_for_addresses_that_are_added_later(network: Networks) -> None:
    net = routed(network(pair()))
    assert realserver(net, "rs", "add", VIP4, "--tunnel").returncode == 0
    assert realserver(net, "rs", "add", "198.51.100.2").returncode == 0
    late = outer("4in4", inner("4in4", b"late"))
    late.payload.dst = "198.51.100.2"
    with udp_socket(net, "rs", "198.51.100.2", 9) as server:
        put_on_link(net, bytes(late))
        assert server.recv(100) == b"late"
        os.kill(tunnel_pid(net), signal.SIGSTOP)
        put_on_link(net, bytes(late))
        assert server.recv(100) == b"late"
    os.kill(tunnel_pid(net), signal.SIGCONT)


def pseudo_sum(packet: Packet) -> int:
    """Return what a sender leaves in the field for its device: the pseudo-header's sum alone."""
    raw = bytes(packet)
    ends = raw[12:20] if raw[0] >> 4 == 4 else raw[8:40]
    total = sum(int.from_bytes(ends[i : i + 2], "big") for i in range(0, len(ends), 2))
    total += 17 + len(bytes(packet[UDP]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_tunnelled_packet_for_another_address_is_not_let_in(network: Networks) -> None:
    net = routed(network(pair()))
    assert realserver(net, "rs", "add", VIP4, "--tunnel").returncode == 0
    stray = IP(src=CLIENT4, dst="10.0.0.2") / UDP(sport=7, dport=9) / b"stray"
    with udp_socket(net, "rs", "0.0.0.0", 9) as server:
        send(net, "director", [bytes(outer("4in4", p)) for p in (stray, inner("4in4", b"ours"))])
        assert server.recv(100) == b"ours"
    assert counters(net, "director", "IcmpInDestUnreachs")["IcmpInDestUnreachs"] == 0


def test_killed_tunnel_is_told_and_started_again(network: Networks) -> None:
    net = routed(network(pair()))
    realserver(net, "rs", "add", VIP4, "--tunnel")
    os.kill(tunnel_pid(net), signal.SIGKILL)
    wait_for(lambda: realserver(net, "rs", "status").returncode == 1)
    assert "not running" in realserver(net, "rs", "status").stdout
    assert realserver(net, "rs", "add", VIP4, "--tunnel").returncode == 0
    assert realserver(net, "rs", "status").returncode == 0
    with udp_socket(net, "rs", VIP4, 9) as server:
        send(net, "director", [bytes(outer("4in4", inner("4in4", b"again")))])
        assert server.recv(100) == b"again"
    pid = tunnel_pid(net)
    assert realserver(net, "rs", "del").returncode == 0
    assert not Path(f"/proc/{pid}/exe").exists()


WRONG = {
    "no address": (["add", "here"], "'here' is no address"),
    "a prefix": (["add", "10.0.0.0/24"], "'10.0.0.0/24' is no address"),
    "a multicast address": (["add", "224.0.0.1"], "cannot be a VIP"),
    "an unknown interface": (["add", VIP4, "--interface", "eth9"], "interface 'eth9' unknown"),
    "an interface that speaks ARP": (["add", VIP4, "--interface", "eth0"], "speaks ARP"),
    "an address of another interface": (["add", "10.0.0.2"], "is an address of eth0 already"),
    "a VIP that is not prepared": (["del", VIP4], "is not prepared here"),
    "no VIP": (["add"], "required: VIP"),
    "an unknown word": (["raise"], "invalid choice: 'raise'"),
}


def test_bad_input_is_answered_by_one_sentence_and_changes_nothing(network: Networks) -> None:
    net = network(pair())
    was = traces(net)
    for what, (words, sentence) in WRONG.items():
        done = realserver(net, "rs", *words)
        assert done.returncode == 2, what
        assert done.stderr.startswith("lbfast realserver"), what
        assert sentence in done.stderr, what
        assert len(done.stderr.splitlines()) == 1, what
    assert traces(net) == was


def test_device_of_the_kernel_is_raised_and_put_back(network: Networks) -> None:
    net = network(pair())
    net.run("rs", ["ip", "tuntap", "add", "tunl0", "mode", "tun"])  # stands in for ipip's
    was = [re.sub(QDISC, "", text) for text in traces(net)]
    assert realserver(net, "rs", "add", VIP4, "--tunnel").returncode == 0
    status = realserver(net, "rs", "status").stdout
    assert "tunnel by the kernel: tunl0" in status
    assert "tunnel by lbfast: lbtun0 6in4 4in6 6in6 pid" in status
    assert "UP" in net.run("rs", ["ip", "link", "show", "tunl0"]).stdout
    assert net.run("rs", ["sysctl", "-n", "net.ipv4.conf.tunl0.rp_filter"]).stdout == "2\n"
    assert realserver(net, "rs", "del").returncode == 0
    assert [re.sub(QDISC, "", text) for text in traces(net)] == was
