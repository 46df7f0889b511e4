"""The benches' frames: right as sent, counted as they arrive, and told when they are lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from bench.flood import Load, Range, flood_range
from bench.plan import Plan
from bench.program import program
from bench.rows import Row
from bench.subjects import rules
from bench.works import frames
from lbfast.selfcall import COMMAND, environment
from netns.build import Net
from netns.inside import inside
from netns.ownership import NAMESPACES
from netns.topo import Host, Topology, addresses, link

SHORT = Load(flows=200, pps=20_000, seconds=0.1)
TO = {4: "198.18.0.2:9", 6: "[fd00::2]:9"}
SIZES = {(4, "udp"): 60, (4, "tcp"): 60, (6, "udp"): 62, (6, "tcp"): 74}
NOBODY = "02:00:00:00:00:02"  # to whom generate sends when it is not told
LAYERS = {"udp": UDP, "tcp": TCP}


@pytest.fixture(scope="module")
def field() -> Iterator[Range]:
    with flood_range(("none", "reflector", "lbfast-dr")) as made:
        yield made


@pytest.fixture(scope="module")
def wire() -> Iterator[Net]:
    hosts = (Host("a", addresses("eth0", "198.18.0.9/24")), Host("b"))
    with Net(Topology("wire", hosts, (link("a:eth0", "b:eth0"),))) as net:
        yield net


def flooded(net: Net, family: int, flows: int, *words: str) -> list[Packet]:
    """Return the few frames of a flood as they arrive."""
    command = [program("generate"), "flood", "eth0", "2000", "0.02", str(flows)]
    with inside(NAMESPACES / net.namespace("b"), tap) as ears:
        ears.settimeout(5)
        out = net.run("a", [*command, f"to={TO[family]}", *words]).stdout.split()
        seen: list[Packet] = []
        while len(seen) < int(out[1]):
            frame = Ether(ears.recv(2048))
            seen += [frame] if frame.dst == NOBODY else []
    assert len(seen) == 40
    return seen


def tap() -> socket.socket:
    """Return a socket that sees every frame of eth0."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    made.bind(("eth0", 3))
    return made


def recomputed(frame: Packet) -> bytes:
    """Return a frame with all its checksums made anew."""
    again = Ether(bytes(frame))
    for layer in (IP, UDP, TCP):
        if layer in again:
            del again[layer].chksum
    return bytes(again)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_flood_sends_right_frames(wire: Net, family: int, protocol: str) -> None:
    seen = flooded(wire, family, 7, f"syn={int(protocol == 'tcp')}")
    assert all(bytes(frame) == recomputed(frame) for frame in seen)
    kind = LAYERS[protocol]
    assert {kind in frame and (IP if family == 4 else IPv6) in frame for frame in seen} == {True}
    assert [f[kind].sport for f in seen[:8]] == [1024, 1025, 1026, 1027, 1028, 1029, 1030, 1024]
    assert {len(f) for f in seen} == {SIZES[family, protocol]}
    if protocol == "tcp":
        assert {str(f[TCP].flags) for f in seen} == {"S"}


def test_flood_of_a_mix_sends_a_full_frame_in_ten(wire: Net) -> None:
    seen = flooded(wire, 4, 20, "mix=1")
    assert [len(f) for f in seen[:20]] == ([60] * 9 + [1514]) * 2
    assert all(bytes(frame) == recomputed(frame) for frame in seen)


def test_flood_leaves_checksums_to_the_receiver_when_told(wire: Net) -> None:
    """In the frame stands the sum of the pseudo-header alone, as the kernel leaves it."""
    seen = flooded(wire, 4, 5, "partial=1")
    assert all(bytes(frame) != recomputed(frame) for frame in seen)


def test_flood_goes_on_where_it_is_told_and_takes_more_addresses(wire: Net) -> None:
    seen = flooded(wire, 4, 60_010, "first=59999")
    assert [(f[IP].src, f[UDP].sport) for f in seen[:2]] == [
        ("198.18.0.1", 61023),
        ("198.18.0.2", 1024),
    ]


def test_turn_counts_what_arrives_and_what_it_cost(field: Range) -> None:
    for name in ("none", "reflector", "lbfast-dr"):
        field.fill(name, SHORT)  # whoever is next is known then
        turn = field.turn(name, SHORT)
        assert turn.sent > 0
        assert turn.sent <= turn.received <= turn.sent + 9  # and neighbour discovery
        assert (turn.own_us() or 0) > 0 or name == "none"
        assert turn.spent.machine_s > 0


def test_turn_without_a_service_is_disturbed_and_has_no_cost(field: Range) -> None:
    place = field.ground.places["lbfast-dr"]

    def ipvsadm(word: str, stdin: str = "") -> None:
        command = [*COMMAND, "ipvsadm", word]
        place.net.run(place.host, command, stdin=stdin, environment=environment())

    ipvsadm("-C")
    turn = field.turn("lbfast-dr", SHORT)
    ipvsadm("-R", "".join(f"{line}\n" for line in rules.words(place)))
    assert turn.is_disturbed
    assert turn.own_us() is turn.machine_us() is None
    assert not field.turn("lbfast-dr", SHORT).is_disturbed


def test_quick_run_gives_a_row_for_each_subject_with_its_ratio(tmp_path: Path) -> None:
    plan = Plan(True, tmp_path, 5, ("reflector", "lbfast-dr", "none"))
    rows: list[Row] = list(frames.run(plan))
    costs = {(r.subject, r.metric): r for r in rows}
    assert set(costs[("lbfast-dr", "cpu")].ratios) == {"reflector"}
    assert ("lbfast-dr", "cost of balancing") in costs
    assert costs[("reflector", "cpu")].family == 4
