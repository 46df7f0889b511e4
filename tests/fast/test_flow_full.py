"""FULLNAT on the short way: the same frames as by the stages, and what only those can do."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw

from lbfast.control.tables import Engine
from lbfast.replay.scenario import START_NS
from tests.fast.arenalab import put
from tests.fast.flowlab import forget, short, stages
from tests.fast.fulllab import RIP, RPORT, Flow, answer, ask, ends, lab, toa_of, words
from tests.fast.hashes import local_hash
from tests.fast.path import CLIENT, PLAIN, VIP, Lab, Vnet, df, head, hops, partial, sums_right, tos

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SUMS = pytest.mark.parametrize("left", [False, True], ids=["finished", "left to the device"])


def open_flow(world: Lab, v6: bool, port: int = 4000) -> Flow:
    """Open a TCP connection that both sides have used: the client has acknowledged data."""
    flow = Flow(world, v6, port).shaken()
    flow.request("A", ack=flow.server_isn + 9)
    flow.reply("A")
    return flow


def segments(flow: Flow, **tcp: int) -> tuple[Packet, Packet]:
    """Return a segment of the client and one of the server."""
    numbers = {"seq": flow.isn + 1, "ack": flow.server_isn + 9} | tcp
    went = (
        head(flow.v6, **df(flow.v6))
        / TCP(sport=flow.port, dport=80, flags="A", **numbers)
        / Raw(b"ask")
    )
    numbers = {"seq": flow.server_isn + 1, "ack": flow.isn + 1 + flow.delta} | tcp
    numbers["ack"] %= 2**32
    body = TCP(flags="PA", **numbers) / Raw(b"answer")
    return went, answer(flow.v6, flow.lport, body, flow.lip, **df(flow.v6))


@FAMILIES
@SUMS
def test_segments_of_an_open_connection_go_the_short_way(v6: bool, left: bool) -> None:
    world = lab()
    for packet, side in zip(segments(open_flow(world, v6)), ("client", "real"), strict=True):
        raw, vnet = partial(packet) if left else (bytes(packet), PLAIN)
        forget(world)
        expected = stages(world, raw, side, vnet)
        assert short(world, raw, side, vnet) == expected
        assert left or sums_right(expected[0].packet)


@FAMILIES
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_short_way_sends_what_the_stages_send(v6: bool, data: st.DataObject) -> None:
    world = lab("u")
    lport = ask(world, 4000, v6)[UDP].sport
    fields = hops(v6, data.draw(st.integers(2, 255))) | tos(v6, data.draw(st.integers(0, 255)))
    load = Raw(data.draw(st.binary(max_size=64)))
    went = head(v6, **fields, **df(v6)) / UDP(sport=4000, dport=80) / load
    back = answer(v6, lport, UDP() / load, **fields, **df(v6))
    for packet, side in ((went, "client"), (back, "real")):
        forget(world)
        assert stages(world, packet, side) == short(world, packet, side)


@given(seq=st.integers(0, 2**32 - 1), ack=st.integers(7002, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_any_number_is_moved_with_its_checksum(seq: int, ack: int) -> None:
    world = lab()
    flow = open_flow(world, False)
    went, back = segments(flow, seq=seq, ack=ack)
    (out,) = short(world, went)
    assert out.packet[TCP].seq == (seq + flow.delta) % 2**32
    assert (out.packet[TCP].ack, sums_right(out.packet)) == (ack, True)
    (out,) = short(world, back, "real")
    assert out.packet[TCP].ack == (ack - flow.delta) % 2**32
    assert (out.packet[TCP].seq, sums_right(out.packet)) == (seq, True)


# ---- what the stages alone can do


@FAMILIES
def test_client_is_named_by_the_stages(v6: bool) -> None:
    world = lab()
    flow = open_flow(world, v6)
    early, _ = segments(flow, ack=flow.server_isn + 1)
    (out,) = stages(world, early)
    assert toa_of(out.packet) is not None
    world = lab(toa=0)
    flow = open_flow(world, v6)
    early, _ = segments(flow, ack=flow.server_isn + 1)
    (out,) = short(world, early)
    assert toa_of(out.packet) is None


def test_selective_acknowledgement_is_moved_by_the_stages() -> None:
    world = lab()
    flow = open_flow(world, False)
    edges = tuple((n + flow.delta) % 2**32 for n in (500, 600))
    _, back = segments(flow)
    back[TCP].options = [("NOP", None), ("NOP", None), ("SAck", edges)]
    (out,) = stages(world, Raw(bytes(IP(bytes(back)))), "real")
    assert dict(out.packet[TCP].options)["SAck"] == (500, 600)


def test_udp_without_a_checksum_gets_one() -> None:
    world = lab("u")
    bare = head(False) / UDP(sport=4000, dport=80, chksum=0) / Raw(b"1")
    world.send(bare)
    (out,) = stages(world, bare)
    assert out.packet[UDP].chksum != 0


@pytest.mark.parametrize("words", [4, 15], ids=["too short", "beyond the packet"])
def test_header_that_cannot_be_is_dropped(words: int) -> None:
    world = lab()
    went, _ = segments(open_flow(world, False), dataofs=words)
    assert stages(world, went) == []


def test_packet_that_may_be_cut_gets_an_identification_of_ours() -> None:
    world = lab("u")
    packet = head(False, id=7) / UDP(sport=4000, dport=80) / Raw(b"1")
    first = stages(world, packet)[0].packet.id
    for number in range(1, 4):
        (out,) = short(world, packet)
        assert sums_right(out.packet)
        assert out.packet.id == first + number


# ---- whose it is, and what is counted


def test_replies_come_in_batches_and_count() -> None:
    world = lab("u")
    lports = [ask(world, 4000 + n)[UDP].sport for n in range(8)]
    batch: list[tuple[Packet, str, Vnet]] = [
        (answer(False, lport, UDP() / Raw(b"1234")), "real", PLAIN) for lport in lports
    ]
    for _ in range(2):  # by the stages, then one by one; then the link has learned the way
        world.together(*batch)
    plain = world.engine.plain()
    outs = world.together(*batch)
    assert world.engine.plain() == plain + 8
    assert [out.packet[UDP].dport for out in outs] == [4000 + n for n in range(8)]
    world.engine.estimate()
    stats = world.server(f"{RIP}:{RPORT}", f"udp {VIP}:80").stats
    assert (stats.outpkts, stats.outbytes) == (24, 24 * 32)
    assert world.engine.total()[2:5:2] == (24, 24 * 32)


@FAMILIES
def test_each_reply_finds_its_own_connection_in_a_bucket_of_several(v6: bool) -> None:
    seed, ports = 7018639715332314492, range(4000, 4120)  # one with which buckets are shared
    world = put(Lab(), Engine(conns=256, seed=seed, now_ns=START_NS))
    for line in words("u"):
        world.words(line)
    buckets, backs = set(), {}
    for port in ports:
        lip, lport, rip, rport = ends(ask(world, port, v6))
        flow = (ip_address(lip).packed, lport, ip_address(rip).packed, rport)
        buckets.add(local_hash(seed, 17, flow) & (world.engine.table_size - 1))
        backs[port] = answer(v6, lport, UDP(), **df(v6))
    assert len(buckets) <= len(ports) - 10
    for _ in range(2):
        for port in ports:
            world.send(backs[port], "real")
    for port in ports:
        (out,) = short(world, backs[port], "real")
        assert out.packet[UDP].dport == port


def test_reply_restarts_the_timer() -> None:
    world = lab("u")
    lport = ask(world, 4000)[UDP].sport
    for _ in range(2):
        world.send(answer(False, lport, UDP()), "real")
    world.wait(100)
    world.send(answer(False, lport, UDP()), "real")
    short(world, answer(False, lport, UDP()), "real")
    assert world.state(4000) == ("UDP", 300)


def test_packet_of_the_servers_own_to_the_client_is_no_reply() -> None:
    """A FULLNAT server's replies go to local addresses alone."""
    world = Lab(*words("u"), f"-A -u {VIP}:81", f"-a -u {VIP}:81 -r 10.2.0.8:80 -m")
    lport = ask(world, 4000)[UDP].sport
    for _ in range(3):
        world.send(answer(False, lport, UDP()), "real")
    strange = IP(src=RIP, dst=CLIENT) / UDP(sport=RPORT, dport=4000)
    assert world.verdict(strange, "real") == "ignore"


@FAMILIES
def test_edit_holds_for_the_next_packet(v6: bool) -> None:
    world = lab()
    went, back = segments(open_flow(world, v6))
    short(world, went)
    short(world, back, "real")
    forget(world)
    stages(world, went)
    stages(world, back, "real")
    short(world, went)
    short(world, back, "real")


@FAMILIES
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_send_their_own_as_one_alone(v6: bool, workers: int) -> None:
    """With several workers, all in turn settling what is theirs, frames are those of one, and
    only the first reply of a connection takes the stages."""
    sent = {}
    for number in (1, workers):
        world = put(Lab(), Engine(conns=256, workers=number, seed=9, now_ns=START_NS))
        for line in words("u"):
            world.words(line)
        rng = random.Random(7)
        lports = {port: ask(world, port, v6)[UDP].sport for port in range(4000, 4020)}
        seen, answered = [], set[int]()
        for _ in range(200):
            port = rng.randrange(4000, 4020)
            if rng.random() < 0.5:
                packet, side = head(v6) / UDP(sport=port, dport=80), "client"
            else:
                packet, side = answer(v6, lports[port], UDP(), **df(v6)), "real"
                answered.add(port)
            for out in world.send(packet, side):
                body = out.packet[UDP]
                seen.append((out.packet.src, out.packet.dst, out.ifindex, side, len(body)))
        sent[number] = seen
        assert world.engine.plain() == 200 - len(answered)
    assert sent[1] == sent[workers]


def test_server_without_a_local_address_harms_nobody() -> None:
    world = Lab(f"-A -u {VIP}:80", f"-a -u {VIP}:80 -r {RIP}:80 --fullnat")
    assert stages(world, head(False) / UDP(sport=4000, dport=80)) == []
    assert world.verdict(answer(False, 2000, UDP()), "real") == "ignore"
