"""Packets that nobody should believe, many of them, and many instances."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from lbfast.model.vrrp import AuthType, VrrpConfig
from lbfast.vrrp.packet import Advert, Envelope, encode, ipv4_packet
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.client import raw_socket
from tests.e2e.conftest import Networks
from tests.e2e.vrrplab import (
    SOURCE4,
    VIP4,
    Router,
    adverts,
    mac_of,
    message_of,
    packed,
    segment,
    v2,
    v3,
    virtual,
    wait_masters,
)

GROUP, STRANGER = packed("224.0.0.18"), packed("10.9.0.9")
FLOOD = 5000


def send(net: Net, packets: list[bytes]) -> None:
    """Send whole packets from the observer to everybody."""
    with raw_socket(net, "vo", socket.AF_INET) as sock:
        where = socket.inet_aton(SOURCE4["va"].rsplit(".", 1)[0] + ".9")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
        for packet in packets:
            sock.sendto(packet, ("224.0.0.18", 0))


def flipped(packet: bytes, seed: int) -> bytes:
    """Return a packet with one byte behind the IP header changed, or cut short."""
    chance = random.Random(seed)
    at = chance.randrange(20, len(packet))
    if chance.random() < 0.3:
        return packet[:at]
    return packet[:at] + bytes((packet[at] ^ chance.randrange(1, 256),)) + packet[at + 1 :]


@pytest.mark.covers("VRP-49", "VRP-13")
def test_flood_of_bad_adverts_does_not_delay_the_master(network: Networks) -> None:
    net = segment(network)
    router = Router(net, "va", "lbfast", v3(150)).start()
    wait_masters([router], VIP4, "va")
    addresses = (packed(VIP4),)
    higher = encode(Advert(3, 51, 200, 100_000, addresses), STRANGER, GROUP)
    wrong = higher[:6] + bytes((higher[6] ^ 0xFF,)) + higher[7:]
    flood = [ipv4_packet(wrong, Envelope(STRANGER, GROUP))] * FLOOD
    with Capture(net, "vo", "eth0", "ip proto 112 and src host 10.9.0.1") as capture:
        send(net, flood)
        wait_for(lambda: capture.path.stat().st_size > 1000, 10, "adverts of the master")
    times = [one.at for one in adverts(capture, mac_of(net, "va"))]
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.16
    assert router.states() == ["BACKUP", "MASTER"]
    assert "dropped: checksum" in router.log()


MAKES: dict[str, Callable[[int], bytes]] = {
    "damaged": lambda seed: flipped(
        ipv4_packet(
            encode(Advert(2, 51, 255, 1_000_000, (packed(VIP4),), 1, b"secret12")),
            Envelope(STRANGER, GROUP),
        ),
        seed,
    ),
    "random": lambda seed: ipv4_packet(
        random.Random(seed).randbytes(seed % 60), Envelope(STRANGER, GROUP)
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_damaged_packets_change_nothing(make: Callable[[int], bytes], network: Networks) -> None:
    net = segment(network)
    instance = v2(150, auth_type=AuthType.PASS, auth_pass=b"secret12")
    router = Router(net, "va", "lbfast", instance).start()
    wait_masters([router], VIP4, "va")
    send(net, [make(seed) for seed in range(1000)])
    with Capture(net, "vo", "eth0", "ip proto 112 and src host 10.9.0.1") as capture:
        wait_for(lambda: len(capture.path.read_bytes()) > 200, 10, "an advert")
    assert router.states() == ["BACKUP", "MASTER"]
    assert "Traceback" not in router.log()


def test_255_instances_fail_over_together(network: Networks) -> None:
    net = segment(network)
    instances = tuple(
        replace(v3(150), name=f"V{n}", vrid=n, addresses=virtual(f"10.9.1.{n}/32"))
        for n in range(1, 256)
    )
    high = Router(net, "va", "lbfast", VrrpConfig(instances)).start()
    wait_for(lambda: high.states().count("MASTER") == 255, 20, "255 masters")
    lower = VrrpConfig(tuple(replace(each, priority=100) for each in instances))
    low = Router(net, "vb", "lbfast", lower).start()
    a, b = mac_of(net, "va"), mac_of(net, "vb")
    with Capture(net, "vo", "eth0", "ip proto 112") as capture:
        wait_for(lambda: capture.path.stat().st_size > 40_000, 10, "two rounds of adverts")
        high.crash()
        wait_for(lambda: low.states().count("MASTER") == 255, 20, "255 masters")
        seen = capture.path.stat().st_size
        wait_for(lambda: capture.path.stat().st_size > seen + 40_000, 10, "two rounds more")
    sent = adverts(capture)
    last = max(one.at for one in sent if one.mac == a)
    taken = {message_of(one.packet)[1]: one.at for one in reversed(sent) if one.mac == b}
    assert len(taken) == 255
    assert max(taken.values()) - last < 0.8  # 0.36 s, and what a shared machine adds
    assert low.states() == ["BACKUP"] * 255 + ["MASTER"] * 255
