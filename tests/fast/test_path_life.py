"""The life of a connection: states, timers, templates, counters, defence."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Raw

from tests.fast.path import CLIENT, VIP, VIP6, Lab, head

CLIENT_2 = "10.1.0.2"


def lab(how: str = "-m", service: str = "-s rr", n: int = 1, **sysctls: int) -> Lab:
    servers = [f"-a -t {VIP}:80 -r 10.2.0.{k}:80 {how}" for k in range(1, n + 1)]
    return Lab(f"-A -t {VIP}:80 {service}", *servers, **sysctls)


def run(world: Lab, steps: str) -> str:
    """Play segments (">S" of the client, "<SA" of the server); returns the state."""
    for step in steps.split():
        if step[0] == ">":
            flags = step[1:]
            world.send(head(False) / TCP(sport=4000, dport=80, flags=flags.replace("0", "")))
        else:
            world.answer("10.2.0.1:80", f"{CLIENT}:4000", step[1:])
    return world.state(4000)[0]


STATES = [
    pytest.param(steps, state, id=f"{row} {steps}", marks=pytest.mark.covers(row))
    for row, steps, state in [
        ("C-168", ">S <SA >R", "SYN_RECV"),
        ("C-169", ">S <R", "CLOSE"),
        ("C-171", ">S <SA >A >S", "ESTABLISHED"),
        ("C-172", ">S <SA >A >0", "CLOSE"),
        ("C-182", ">S", "SYN_RECV"),
    ]
]
SECURE = [
    pytest.param(steps, state, id=f"{row} {steps}", marks=pytest.mark.covers(row))
    for row, steps, state in [("C-175", ">S <SA", "SYNACK"), ("C-175", ">S <SA >A", "SYNACK")]
]


@pytest.mark.parametrize(("steps", "state"), STATES)
def test_segments_lead_to_the_state(steps: str, state: str) -> None:
    assert run(lab(), steps) == state


@pytest.mark.covers("C-170", "C-171")
@pytest.mark.parametrize(
    ("how", "steps", "before", "after"),
    [
        ("-m", ">S <SA >A", "ESTABLISHED", "ESTABLISHED"),
        ("-m", ">S <SA >A <FA", "FIN_WAIT", "SYN_RECV"),
        ("-m", ">S <SA >A <FA >FA", "TIME_WAIT", "SYN_RECV"),
        ("-m", ">S <SA >A <R", "CLOSE", "SYN_RECV"),
        ("-g", ">S >A", "ESTABLISHED", "ESTABLISHED"),
        ("-g", ">S >A >FA", "FIN_WAIT", "SYN_RECV"),
        ("-g", ">S >FA", "TIME_WAIT", "SYN_RECV"),
        ("-g", ">S >A >R", "CLOSE", "SYN_RECV"),
    ],
)
def test_syn_on_an_old_connection(how: str, steps: str, before: str, after: str) -> None:
    world = lab(how, conn_reuse_mode=0)
    assert run(world, steps) == before
    assert run(world, ">S") == after


@pytest.mark.parametrize(("steps", "state"), SECURE)
def test_segments_lead_to_the_state_under_secure_tcp(steps: str, state: str) -> None:
    assert run(lab(secure_tcp=3), steps) == state


@pytest.mark.covers("C-098")
@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_second_half_of_the_modes_of_secure_tcp_uses_the_other_table(mode: int) -> None:
    assert run(lab(secure_tcp=mode), ">S <SA") == ("SYNACK" if mode >= 2 else "SYN_RECV")


@pytest.mark.covers("C-176")
def test_one_way_syn_is_synack_under_secure_tcp() -> None:
    assert run(lab("-g", secure_tcp=3), ">S") == "SYNACK"


@pytest.mark.covers("C-056", "C-183")
def test_both_directions_restart_the_timer() -> None:
    world = lab()
    run(world, ">S <SA >A")
    world.wait(100)
    assert world.state(4000)[1] == 800
    run(world, ">A")
    assert world.state(4000)[1] == 900
    world.wait(50)
    run(world, "<A")
    assert world.state(4000)[1] == 900


@pytest.mark.covers("C-186", "C-195", "C-196")
def test_syn_after_close_is_a_new_decision_at_once() -> None:
    world = lab(n=2)
    assert world.ask(4000) == "10.2.0.2:80"
    world.ask(4000, "A")
    assert world.ask(4000) == "10.2.0.2:80"
    world.ask(4000, "R")
    assert world.ask(4000) == "10.2.0.1:80"
    assert len(world.connections()) == 1


@pytest.mark.covers("C-052")
def test_any_syn_leaves_a_quiesced_server_with_expire_nodest_conn() -> None:
    world = lab(n=2, expire_nodest_conn=1)
    world.ask(4000), world.ask(4000, "A")
    world.words(f"-e -t {VIP}:80 -r 10.2.0.2:80 -m -w 0")
    assert world.ask(4000, "A") == "10.2.0.2:80"
    assert world.ask(4000) == "10.2.0.1:80"


@pytest.mark.covers("C-052")
def test_syn_stays_on_a_quiesced_server_without_expire_nodest_conn() -> None:
    world = lab(n=2)
    world.ask(4000), world.ask(4000, "A")
    world.words(f"-e -t {VIP}:80 -r 10.2.0.2:80 -m -w 0")
    assert world.ask(4000) == "10.2.0.2:80"


@pytest.mark.covers("C-055")
def test_syn_ack_after_close_is_a_new_decision_too() -> None:
    world = lab(n=2)
    world.ask(4000), world.ask(4000, "A"), world.ask(4000, "R")
    assert world.ask(4000, "SA") == "10.2.0.1:80"


# ---- templates


@pytest.mark.covers("C-051", "C-190", "C-258")
def test_template_binds_the_client_and_counts_apart() -> None:
    world = lab(service="-s rr -p 100", n=2)
    assert {world.ask(port) for port in range(4000, 4003)} == {"10.2.0.2:80"}
    assert world.ask(4000, src=CLIENT_2) == "10.2.0.1:80"
    assert world.loads() == {"10.2.0.2:80": (3, 0, 1), "10.2.0.1:80": (1, 0, 1)}
    world.ask(4000, "A"), world.ask(4000, "R")
    assert world.ask(4000) == "10.2.0.2:80"
    world.engine.estimate()
    assert world.server("10.2.0.2:80").stats.conns == 3
    assert world.service().stats.conns == world.engine.total()[0] == 4


@pytest.mark.covers("C-256")
def test_template_of_a_deleted_server_is_renamed_and_stays_so() -> None:
    world = lab(service="-s rr -p 100", n=2)
    assert world.ask(4000) == "10.2.0.2:80"
    world.words(f"-d -t {VIP}:80 -r 10.2.0.2:80")
    assert world.ask(4001) == "10.2.0.1:80"
    templates = [row[2:4] for row in world.connections() if row[1] == f"{CLIENT}:0"]
    invalid = [f"{VIP}:65535", "10.2.0.2:65535"]
    assert sorted(templates) == sorted([invalid, [f"{VIP}:80", "10.2.0.1:80"]])
    world.words(f"-a -t {VIP}:80 -r 10.2.0.2:80 -m")
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    assert world.ask(4002) == "10.2.0.2:80"
    assert world.loads() == {"10.2.0.2:80": (2, 0, 2)}  # a new template beside the renamed one


@pytest.mark.covers("C-257")
def test_new_client_of_a_persistent_service_without_scheduler_is_left() -> None:
    world = lab(service="-s rr -p 100")
    world.ask(4000)
    key = world.service().service
    world.engine.service_put((2, 6, key.key.addr, 80, 0), b"none", 1, 100, 0xFFFFFFFF, b"", True)
    assert world.ask(4001) == "10.2.0.1:80"
    assert world.ask(4001, src=CLIENT_2) == "unreach/3.3"


@pytest.mark.covers("C-184", "C-185", "C-259", "C-260")
def test_template_outlives_its_connections_by_a_minute_at_most() -> None:
    world = lab(service="-s rr -p 100")
    world.ask(4000), world.ask(4000, "A")
    world.wait(90)
    world.ask(4000, "A")  # a packet, not a connection: the template's timer runs on
    assert world.state(0)[1] == 10
    world.wait(12)
    assert 57 <= world.state(0)[1] <= 60
    world.ask(4001)
    assert world.state(0)[1] == 60  # for good
    for _ in range(6):
        world.wait(100)
        assert world.state(0)[1] <= 60
    world.wait(390)
    assert [row[1] for row in world.connections()] in ([f"{CLIENT}:0"], [])
    world.wait(61)
    assert world.connections() == []


@pytest.mark.covers("C-184", "C-185")
def test_template_that_ends_within_a_second_of_its_child_stays_a_minute() -> None:
    world = Lab("--set 0 0 2", f"-A -u {VIP}:80 -s rr -p 2", f"-a -u {VIP}:80 -r 10.2.0.1:80 -m")
    world.ask(4000, "", proto="udp")
    world.wait(0.3)
    world.ask(4000, "", proto="udp")  # the connection ends 0.3 s after the template
    world.wait(10)
    assert world.state(0)[1] in (51, 52)


@pytest.mark.covers("C-194")
def test_one_packet_flag_means_nothing_to_tcp() -> None:
    world = Lab("-A -f 1 -s rr -o", "-a -f 1 -r 10.2.0.1:80 -m")
    world.engine.marks_replace(
        [(1, 2, 0, 0, b"", 0, bytes((10, 9, 0, 1)), 32, (0, 65535), (0, 65535))]
    )
    world.ask(4000)
    assert world.state(4000)[0] == "SYN_RECV"


# ---- counters and rates


@pytest.mark.covers("C-066", "C-270", "C-271", "C-273", "C-274", "C-280", "C-281")
def test_three_levels_count_lengths_of_the_packet_as_it_came() -> None:
    world = lab()
    world.send(head(False) / TCP(sport=4000, dport=80, flags="S") / Raw(bytes(60)))
    world.answer("10.2.0.1:80", f"{CLIENT}:4000")
    inner = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=4000)
    world.send(head(False) / ICMP(type=3, code=1) / inner)
    world.engine.estimate()
    wanted = (1, 2, 1, 100 + 68, 40)
    levels = [world.service().stats, world.server("10.2.0.1:80").stats]
    for s in levels:
        assert (s.conns, s.inpkts, s.outpkts, s.inbytes, s.outbytes) == wanted
    assert world.engine.total()[:5] == wanted
    world.words(f"-Z -t {VIP}:80")
    assert (world.service().stats.conns, world.server("10.2.0.1:80").stats.inpkts) == (0, 0)
    assert world.engine.total()[:5] == wanted
    world.words("-Z")
    assert world.engine.total() == (0,) * 10
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    world.ask(4000, "A")
    world.answer("10.2.0.1:80", f"{CLIENT}:4000")
    assert world.send(head(False) / ICMP(type=3, code=1) / inner)
    world.engine.estimate()
    assert world.engine.total()[:5] == (0,) * 5
    world.words(f"-a -t {VIP}:80 -r 10.2.0.1:80 -m")
    world.engine.estimate()
    assert world.server("10.2.0.1:80").stats.outpkts == 0


@pytest.mark.covers("C-273")
def test_error_of_a_server_counts_as_its_packet() -> None:
    world = lab()
    world.ask(4000)
    inner = IP(src=CLIENT, dst="10.2.0.1") / TCP(sport=4000, dport=80)
    world.one(IP(src="10.2.0.1", dst=CLIENT) / ICMP(type=3, code=1) / inner, "real")
    world.engine.estimate()
    s = world.server("10.2.0.1:80").stats
    assert (s.inpkts, s.outpkts, s.inbytes, s.outbytes) == (1, 1, 40, 68)


@pytest.mark.covers("C-272")
@pytest.mark.parametrize("how", ["-g", "-i"])
def test_replies_past_the_director_are_not_counted(how: str) -> None:
    world = lab(how)
    world.ask(4000)
    world.engine.estimate()
    s = world.service().stats
    assert (s.inpkts, s.outpkts, s.outbytes) == (1, 0, 0)


@pytest.mark.covers("C-104", "C-276", "C-277", "C-278", "C-279")
def test_rates_follow_the_kernels_filter() -> None:
    world = lab()
    packets = octets = 0
    for number in (4, 7, 0, 100, 3, 3, 3, 0, 0, 50):  # the first ends in the middle of a unit
        for _ in range(number):
            world.send(head(False) / TCP(sport=4000, dport=80, flags="S") / Raw(b"x"))
        world.engine.estimate()
        packets += ((number << 9) - packets) >> 2
        octets += ((number * 41 << 4) - octets) >> 2
        s = world.service().stats
        assert (s.inpps, s.inbps) == ((packets + 511) >> 10, (octets + 15) >> 5)
    before = world.service().stats
    world.engine.set_setting("run_estimation", 0)
    world.ask(4001)
    world.engine.estimate()
    assert world.service().stats == before


# ---- defence


@pytest.mark.covers("C-092")
def test_automatic_defence_follows_the_memory() -> None:
    world = lab(drop_packet=1, drop_entry=1, secure_tcp=1)
    names = ("drop_packet", "drop_entry", "secure_tcp")
    world.engine.defend(10)
    assert [world.engine.setting(n) for n in names] == [2, 2, 2]
    world.engine.defend(1 << 30)
    assert [world.engine.setting(n) for n in names] == [1, 1, 1]


@pytest.mark.covers("C-094")
def test_drop_packet_leaves_connections_alone() -> None:
    world = lab()
    world.ask(4000)
    world.tables.set_sysctl("am_droprate", "1")
    world.tables.set_sysctl("drop_packet", "3")
    assert world.ask(4001) == "drop"
    assert {world.ask(4000, "A") for _ in range(20)} == {"10.2.0.1:80"}


@pytest.mark.covers("C-095", "C-191")
def test_drop_entry_ends_half_open_connections() -> None:
    world = lab(drop_entry=3)
    for port in range(4000, 4020):
        world.ask(port)
        if port % 2:
            world.ask(port, "A")
    for _ in range(200):
        world.engine.defend(1 << 30)
    assert {row[4] for row in world.connections()} == {"ESTABLISHED"}
    assert world.loads() == {"10.2.0.1:80": (10, 0, 0)}


@pytest.mark.covers("C-095")
def test_drop_entry_ends_connections_whose_handshake_secure_tcp_waits_for() -> None:
    world = lab(drop_entry=3, secure_tcp=3)
    assert run(world, ">S <SA") == "SYNACK"
    for _ in range(400):
        world.engine.defend(1 << 30)
    assert world.connections() == []


@pytest.mark.covers("C-096")
def test_drop_entry_spares_templates_that_led_somewhere() -> None:
    world = lab(service="-s rr -p 1000")
    for src, flags in ((CLIENT, "SA"), (CLIENT_2, "S")):
        for flag in flags:
            world.ask(4000, flag, src=src)
        world.ask(4000, "R", src=src)
    world.wait(15)  # the first connection has ended: nothing but the assurance spares its template
    assert len(world.connections()) == 3
    world.engine.set_setting("drop_entry", 3)
    for _ in range(600):
        world.engine.defend(1 << 30)
    assert [row[1] for row in world.connections() if row[1].endswith(":0")] == [f"{CLIENT}:0"]


@pytest.mark.covers("C-056", "C-097")
def test_drop_entry_thins_out_idle_established_connections_of_few_packets() -> None:
    world = lab(drop_entry=3)
    for port in range(4000, 4040):
        world.ask(port)
        for _ in range(8 if port < 4010 else 7):  # the SYN makes it 9 packets, or 8
            world.ask(port, "A")
    world.wait(59)
    for _ in range(300):
        world.engine.defend(1 << 30)
    assert len(world.connections()) == 40  # refreshed within the last minute
    world.wait(2)
    for _ in range(600):
        world.engine.defend(1 << 30)
    left = [row[1] for row in world.connections()]
    assert [f"{CLIENT}:{port}" for port in range(4000, 4010)] == left[:10]
    assert len(left) < 40


@pytest.mark.covers("C-115")
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_loopback_source_from_outside_goes_nowhere(v6: bool) -> None:
    world = lab("-g")
    world.words(f"-A -t [{VIP6}]:80 -s rr")
    world.words(f"-a -t [{VIP6}]:80 -r [fd00:2::1]:80 -g")
    loopback = "::1" if v6 else "127.0.0.1"
    assert world.send(head(v6, src=loopback) / TCP(sport=4000, dport=80, flags="S")) == []
    assert world.engine.reasons() == {"martian": 1}
