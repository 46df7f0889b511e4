"""Frames that were taken and given back are to the host as if they had never been taken."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Dot1Q, Ether

from lbfast.control.giveback import WAYS, GiveBack, Way
from lbfast.control.steering import MARK_GIVEN
from lbfast.nftlib import library_runner
from tests.e2e.worldlib import (
    Lab,
    Loop,
    Tap,
    counter,
    echo,
    entered,
    ip,
    lab,
    run,
    setting,
    talk,
    wait_for,
)

pytestmark = pytest.mark.net_admin

EVERY = WAYS
BY_BPF: tuple[Way, ...] = WAYS[:-1]

TAKE_ALL = """table netdev take {{
 chain in {{
  type filter hook ingress devices = {{ {devices} }} priority -450; policy accept;
  meta mark {mark:#x} meta mark set 0 counter accept
  meta pkttype host meta protocol {{ ip, ip6 }} icmpv6 type != {{ 133-137 }} counter drop
  meta pkttype host meta protocol {{ ip, ip6 }} meta l4proto != ipv6-icmp counter drop
 }}
}}
"""


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@contextlib.contextmanager
def everything_taken(net: Lab, way: Way, *names: str) -> Iterator[Loop]:
    """Takes every IP frame but neighbour discovery, and gives every one back."""
    interfaces = net.interfaces(*names)
    with entered(net.director):
        nft = library_runner()
        giveback = GiveBack(interfaces, (way,))
        targets = {i: giveback.tx(i) for i in interfaces}
    out = {i: Tap(net.director, ifindex, mark=mark) for i, (ifindex, mark, _) in targets.items()}

    def send(ifindex: int, frame: bytes) -> None:
        mac = targets[ifindex][2]
        if not discovery(frame):
            out[ifindex].sock.send(frame if mac is None else frame[:10] + mac + frame[16:])

    try:
        with Loop(net, interfaces, send) as loop, entered(net.director):
            devices = ", ".join(f'"{n}"' for n in interfaces.values())
            nft(TAKE_ALL.format(devices=devices, mark=MARK_GIVEN))
            yield loop
            assert not loop.errors
    finally:
        with entered(net.director):
            nft("add table netdev take\ndelete table netdev take\n")
            giveback.close()
        for tap in out.values():
            tap.sock.close()


def discovery(frame: bytes) -> bool:
    """Tells whether a frame behind its virtio-net header is IPv6 neighbour discovery."""
    return frame[22:24] == b"\x86\xdd" and frame[30] == 58 and 133 <= frame[64] <= 137


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("address", ["10.1.0.1", "fd01::1"])
def test_local_socket_gets_a_stream_with_super_frames(net: Lab, way: Way, address: str) -> None:
    before = counter(net.director, "TcpInCsumErrors")
    with echo(net.director, address), everything_taken(net, way) as loop:
        assert talk(net.client, address) == (1 << 21, address[:-1] + "2")
        assert loop.frames > 10
    assert counter(net.director, "TcpInCsumErrors") == before


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("address", ["10.2.0.2", "fd02::2"])
def test_host_forwards_a_stream_both_ways(net: Lab, way: Way, address: str) -> None:
    with echo(net.server, address), everything_taken(net, way) as loop:
        count, peer = talk(net.client, address)
        assert (count, peer) == (1 << 21, address.replace("2", "1", 1))
        assert loop.frames > 10
    assert counter(net.server, "TcpInCsumErrors") == 0


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("address", ["10.1.0.1", "fd01::1", "10.2.0.2", "fd02::2"])
def test_fragments_are_reassembled(net: Lab, way: Way, address: str) -> None:
    with everything_taken(net, way):
        assert "1 received" in run(
            net.client, "ping", "-c1", "-W2", "-s4000", "-Mdont", address, ok=False
        )


@pytest.mark.parametrize("way", BY_BPF)
def test_strict_reverse_path_filter_is_no_obstacle(net: Lab, way: Way) -> None:
    setting(net.director, "ipv4/conf/all/rp_filter", 1)
    try:
        with echo(net.director, "10.1.0.1"), everything_taken(net, way):
            assert talk(net.client, "10.1.0.1", size=1 << 12)[0] == 1 << 12
        with entered(net.director):
            giveback = GiveBack(net.interfaces(), (way,))
            assert giveback.obstacles() == []
            giveback.close()
    finally:
        setting(net.director, "ipv4/conf/all/rp_filter", 0)


def test_strict_reverse_path_filter_is_named_for_lo(net: Lab) -> None:
    setting(net.director, "ipv4/conf/all/rp_filter", 1)
    try:
        with entered(net.director):
            giveback = GiveBack(net.interfaces(), ("lo",))
            (sentence,) = giveback.obstacles()
        assert "net.ipv4.conf.all.rp_filter is 1" in sentence
        with everything_taken(net, "lo"):
            assert "0 received" in run(net.client, "ping", "-c1", "-W1", "10.1.0.1", ok=False)
    finally:
        setting(net.director, "ipv4/conf/all/rp_filter", 0)


RULES = """table inet host {
 chain input { type filter hook input priority 0; policy drop;
  meta mark != 0 counter drop
  iifname "eth0" ct state established,related counter accept
  iifname "eth0" tcp dport 80 ct state new counter accept
  icmpv6 type { 133-137 } accept
 }
 chain forward { type filter hook forward priority 0; policy drop;
  meta mark != 0 counter drop
  iifname "eth0" oifname "eth1" ct state new,established counter accept
  iifname "eth1" oifname "eth0" ct state established counter accept
 }
}
"""


@pytest.mark.parametrize("way", BY_BPF)
def test_rules_by_interface_and_conntrack_see_the_frame(net: Lab, way: Way) -> None:
    with entered(net.director):
        nft = library_runner()
        nft(RULES)
    try:
        with (
            echo(net.director, "10.1.0.1"),
            echo(net.server, "10.2.0.2"),
            everything_taken(net, way),
        ):
            assert talk(net.client, "10.1.0.1", size=1 << 12)[0] == 1 << 12
            assert talk(net.client, "10.2.0.2", size=1 << 12)[0] == 1 << 12
    finally:
        with entered(net.director):
            nft("delete table inet host\n")


@pytest.mark.parametrize("way", EVERY)
def test_frame_arrives_once_and_is_not_taken_again(net: Lab, way: Way) -> None:
    with everything_taken(net, way) as loop:
        before = loop.pings, counter(net.director, "IcmpInEchos")
        run(net.client, "ping", "-c3", "-i0.01", "10.1.0.1")
        assert counter(net.director, "IcmpInEchos") - before[1] == 3
        assert loop.pings - before[0] == 3


STACKS = {
    "macvlan": ["link add up0 link eth0 type macvlan mode bridge"],
    "bridge": ["link add up0 type bridge", "link set eth0 master up0"],
}


@pytest.mark.parametrize("way", BY_BPF)
@pytest.mark.parametrize(
    ("kind", "taken_on"),
    [("macvlan", "up0"), ("bridge", "up0"), ("bridge", "eth0")],
    ids=["a macvlan", "a bridge", "a port of a bridge"],
)
def test_stacked_interface_works(way: Way, kind: str, taken_on: str) -> None:
    with lab() as own:
        # or eth0 answers for the address above it as well, and the client may go there
        run(own.director, "sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=1")
        ip(own.director, *STACKS[kind], "addr flush dev eth0")
        ip(own.director, "addr add 10.1.0.1/24 dev up0", "link set up0 up")
        with echo(own.director, "10.1.0.1"):
            wait_for(lambda: pinged(own))
            with everything_taken(own, way, taken_on) as loop:
                assert talk(own.client, "10.1.0.1")[0] == 1 << 21
                assert loop.frames > 10


def pinged(net: Lab) -> bool:
    return "1 received" in run(net.client, "ping", "-c1", "-W1", "10.1.0.1", ok=False)


@pytest.mark.parametrize("way", BY_BPF)
def test_tagged_frame_keeps_its_tag(net: Lab, way: Way) -> None:
    """Without VLAN support a priority tag (VLAN 0) is what the host takes up."""
    with everything_taken(net, way):
        before = counter(net.director, "IcmpInEchos")
        frame = tagged_echo(net)
        with entered(net.client):
            wire = Tap(net.client, socket.if_nametoindex("eth0"), mark=0)
        wire.sock.send(bytes(10) + frame)
        wait_for(lambda: counter(net.director, "IcmpInEchos") == before + 1)
        wire.sock.close()


def tagged_echo(net: Lab) -> bytes:
    mac = run(net.director, "ip", "-br", "link", "show", "eth0").split()[2]
    packet = Ether(dst=mac) / Dot1Q(vlan=0, prio=3) / IP(src="10.1.0.2", dst="10.1.0.1") / ICMP()
    return bytes(packet)


@pytest.mark.parametrize("way", BY_BPF)
def test_nothing_is_left_after_close(net: Lab, way: Way) -> None:
    with entered(net.director):
        giveback = GiveBack(net.interfaces(), (way,))
        assert set(giveback.describe().values()) == {way}
        giveback.close()
    assert "clsact" not in run(net.director, "tc", "qdisc", "show")


@pytest.mark.parametrize(("way", "device"), [("lo-clsact", "lo"), ("clsact", "eth0")])
def test_clsact_of_somebody_else_is_kept(net: Lab, way: Way, device: str) -> None:
    run(net.director, "tc", "qdisc", "add", "dev", device, "clsact")
    try:
        with entered(net.director):
            GiveBack(net.interfaces("eth0"), (way,)).close()
        assert "clsact" in run(net.director, "tc", "qdisc", "show", "dev", device)
    finally:
        run(net.director, "tc", "qdisc", "del", "dev", device, "clsact")


KILLED = """
import os, signal, socket, sys
from lbfast.control.giveback import GiveBack
GiveBack({socket.if_nametoindex("eth0"): "eth0"}, (sys.argv[1],))
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("way", BY_BPF)
def test_killed_process_is_replaced_without_trace(net: Lab, way: Way) -> None:
    with entered(net.director):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, way], stdout=subprocess.PIPE, text=True
        )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    device = "lo" if way.startswith("lo-") else "eth0"
    stale = "lbfast" in run(net.director, "tc", "filter", "show", "dev", device, "egress")
    assert stale == ("clsact" in way)
    with entered(net.director):
        GiveBack(net.interfaces("eth0"), (way,)).close()
    assert "clsact" not in run(net.director, "tc", "qdisc", "show")


def test_way_that_fails_gives_way_to_the_next(net: Lab) -> None:
    """Another egress filter in front that ends the walk is found by the trial frame."""
    run(net.director, "tc", "qdisc", "add", "dev", "eth0", "clsact")
    run(
        net.director, "tc", "filter", "add", "dev", "eth0", "egress", "pref", "1", "u32",
        "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "eth1",
    )  # fmt: skip
    try:
        with entered(net.director):
            giveback = GiveBack(net.interfaces("eth0"), ("clsact", "lo"))
            assert giveback.describe() == {"eth0": "lo"}
            assert giveback.obstacles()[0].startswith("eth0: giving back by clsact failed")
            giveback.close()
    finally:
        run(net.director, "tc", "qdisc", "del", "dev", "eth0", "clsact")
