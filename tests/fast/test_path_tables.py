"""Services, real servers, their trash and thresholds, settings: spec 1 and 2.11."""

from __future__ import annotations

import errno
import re
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP

from lbfast.errors import KernelError
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceFlags,
    ServiceKey,
    TunnelType,
    VirtualService,
)  # fmt: skip
from lbfast.replay.network import packed
from tests.fast.path import CLIENT, VIP, VIP6, Lab

KEY = ServiceKey(AF_INET, 6, packed(VIP), 80)
KEY6 = ServiceKey(AF_INET6, 6, packed(VIP6), 80)
RR = VirtualService(KEY, "rr")


def server(text: str = "10.2.0.1", port: int = 80, **fields: object) -> RealServer:
    af = AF_INET6 if ":" in text else AF_INET
    return replace(RealServer(ServerKey(af, packed(text), port)), **fields)  # type: ignore[arg-type]


def lab(*servers: str, how: str = "-m", **sysctls: int) -> Lab:
    lines = [f"-a -t {VIP}:80 -r {s} {how}" for s in servers or ("10.2.0.1:80", "10.2.0.2:80")]
    return Lab(f"-A -t {VIP}:80 -s rr", *lines, **sysctls)


def refuses(number: int) -> pytest.RaisesExc[KernelError]:
    return pytest.RaisesExc(KernelError, check=lambda e: e.errno == number)


# ---- services


@pytest.mark.covers("C-001", "C-002", "C-003")
def test_service_is_known_by_its_key() -> None:
    tables = Lab().tables
    keys = [
        KEY, ServiceKey(AF_INET, 17, packed(VIP), 80), ServiceKey(AF_INET, 6, packed(VIP), 81),
        ServiceKey(AF_INET, 6, packed("10.9.0.2"), 80), KEY6,
        ServiceKey(AF_INET, fwmark=80), ServiceKey(AF_INET6, fwmark=80),
    ]  # fmt: skip
    for key in keys:
        service = VirtualService(key, "rr", netmask=128 if key.af == AF_INET6 else 0xFFFFFFFF)
        with refuses(errno.ESRCH):
            tables.edit_service(service)
        with refuses(errno.ESRCH):
            tables.delete_service(key)
        tables.add_service(service)
        with refuses(errno.EEXIST):
            tables.add_service(service)
    assert {s.service.key for s in tables.services()} == set(keys)


@pytest.mark.covers("C-004")
def test_unknown_scheduler_is_refused_and_none_schedules_nothing() -> None:
    world = Lab()
    with refuses(errno.ENOENT):
        world.tables.add_service(replace(RR, scheduler="nosuch"))
    with refuses(errno.ENOENT):
        world.tables.add_service(replace(RR, pe_name="nosuch"))
    world.tables.add_service(replace(RR, scheduler="none"))
    world.tables.add_server(KEY, server(method=Method.MASQ))
    assert world.tables.service(KEY).service.scheduler == "none"
    assert world.ask(4000) == "unreach/3.3"


@pytest.mark.covers("C-005")
@pytest.mark.parametrize(("prefix", "right"), [(0, False), (1, True), (128, True), (129, False)])
def test_ipv6_netmask_is_a_prefix_length(prefix: int, right: bool) -> None:
    tables = Lab().tables
    service = VirtualService(KEY6, "rr", ServiceFlags.PERSISTENT, 300, prefix)
    if right:
        tables.add_service(service)
        assert tables.service(KEY6).service == service
    else:
        with refuses(errno.EINVAL):
            tables.add_service(service)


@pytest.mark.covers("C-006")
def test_services_of_an_address_come_before_those_of_a_mark() -> None:
    world = Lab("-A -f 1 -s rr", f"-A -t {VIP}:80 -s rr", "-A -f 2 -s rr", f"-A -u {VIP}:80")
    marks = [bool(s.service.key.fwmark) for s in world.tables.services()]
    assert marks == [False, False, True, True]


@pytest.mark.covers("C-007", "C-010")
def test_edit_replaces_all_of_a_service_but_not_its_templates() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s sh -b sh-port -p 500 -M 255.255.0.0",
        f"-a -t {VIP}:80 -r 10.2.0.1:80 -m",
    )
    world.ask(4000)
    world.words(f"-E -t {VIP}:80 -s sh")
    edited = world.tables.service(KEY).service
    assert edited == VirtualService(KEY, "sh")
    rows = world.connections()
    assert [(row[1], row[5]) for row in rows] == [("10.1.0.0:0", 500), ("10.1.0.1:4000", 60)]


@pytest.mark.covers("C-007")
def test_edit_takes_the_engine_away() -> None:
    word = f"udp {VIP}:5060"
    world = Lab(f"-A -u {VIP}:5060 -s rr -p 100 --pe sip")
    assert world.service(word).service.pe_name == "sip"
    world.words(f"-E -u {VIP}:5060 -s rr -p 100")
    assert world.service(word).service.pe_name == ""


@pytest.mark.covers("C-010")
def test_edit_leaves_a_template_its_time_also_for_connections_to_come() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr -p 500", f"-a -t {VIP}:80 -r 10.2.0.1:80 -m")
    world.ask(4000)
    world.words(f"-E -t {VIP}:80 -s rr -p 100")
    world.wait(10)
    world.ask(4001)
    assert world.state(0)[1] == 500


@pytest.mark.covers("C-008", "C-009")
def test_edit_keeps_the_schedulers_place_unless_it_is_another() -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80", "10.2.0.3:80")
    assert [world.ask(4000), world.ask(4001)] == ["10.2.0.3:80", "10.2.0.2:80"]
    world.words(f"-E -t {VIP}:80 -s rr -p 100")
    world.words(f"-E -t {VIP}:80 -s rr")
    assert world.ask(4002) == "10.2.0.1:80"
    assert world.ask(4003) == "10.2.0.3:80"
    world.words(f"-E -t {VIP}:80 -s wrr")
    world.words(f"-E -t {VIP}:80 -s rr")
    assert world.ask(4004) == "10.2.0.3:80"
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -w 5")
    world.words(f"-E -t {VIP}:80 -s fo")
    assert {world.ask(port) for port in range(4005, 4010)} == {"10.2.0.1:80"}
    world.words(f"-E -t {VIP}:80 -s rr")
    assert len({world.ask(port) for port in range(4010, 4013)}) == 3


# ---- real servers


@pytest.mark.covers("C-011", "C-012")
def test_server_is_known_by_family_address_and_port() -> None:
    tables = Lab().tables
    tables.add_service(RR)
    with refuses(errno.ESRCH):
        tables.add_server(KEY6, server())
    for one in (server(), server(port=81), server("10.2.0.2")):
        with refuses(errno.ENOENT):
            tables.edit_server(KEY, one)
        with refuses(errno.ENOENT):
            tables.delete_server(KEY, one.key)
        tables.add_server(KEY, one)
        with refuses(errno.EEXIST):
            tables.add_server(KEY, one)


@pytest.mark.covers("C-013", "C-014", "C-015", "C-016", "C-017", "C-018")
@pytest.mark.parametrize(
    ("one", "number"),
    [
        (server(weight=-1), errno.ERANGE),
        (server(l_threshold=5, u_threshold=4), errno.ERANGE),
        (server(l_threshold=1), errno.ERANGE),
        (server(u_threshold=1 << 31), errno.EINVAL),
        (server("224.0.0.5"), errno.EINVAL),
        (server("255.255.255.255"), errno.EINVAL),
        (server("0.0.0.0"), errno.EINVAL),
        (server(method=Method.TUNNEL, tun_type=TunnelType.GUE), errno.EINVAL),
        (server("fd00:2::1"), errno.EINVAL),
        (server("fd00:2::1", method=Method.MASQ), errno.EINVAL),
        (server("ff02::1", method=Method.TUNNEL), errno.EINVAL),
        (server("fe80::1", method=Method.TUNNEL), errno.EINVAL),
        (server("fd00:2::1", method=Method.TUNNEL), 0),
        (server("127.0.0.1", method=Method.MASQ), 0),
        (server(l_threshold=5, u_threshold=5), 0),
    ],
)
def test_server_is_checked(one: RealServer, number: int) -> None:
    tables = Lab().tables
    tables.add_service(RR)
    if number:
        with refuses(number):
            tables.add_server(KEY, one)
        assert tables.service(KEY).servers == ()
    else:
        tables.add_server(KEY, one)
        assert tables.service(KEY).servers[0].server == one


@pytest.mark.covers("C-015")
def test_broadcast_address_of_a_link_is_no_server() -> None:
    world = lab()
    world.engine.route_add(0, packed("10.2.255.255"), 32, 3, 3)
    with refuses(errno.EINVAL):
        world.tables.add_server(KEY, server("10.2.255.255"))


@pytest.mark.covers("C-016")
def test_link_local_server_may_be_the_host_itself() -> None:
    world = Lab()
    world.engine.route_add(0, packed("fe80::5"), 128, 2, 1)
    world.tables.add_service(VirtualService(KEY6, "rr", netmask=128))
    world.tables.add_server(KEY6, server("fe80::5"))
    with refuses(errno.EINVAL):
        world.tables.add_server(KEY6, server("fe80::6"))


@pytest.mark.covers("C-020")
def test_quiesced_server_keeps_its_connections_and_gets_no_new_ones() -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80")
    assert world.ask(4000) == "10.2.0.2:80"
    world.words(f"-e -t {VIP}:80 -r 10.2.0.2:80 -m -w 0")
    assert {world.ask(port) for port in range(4001, 4006)} == {"10.2.0.1:80"}
    assert world.ask(4000, "A") == "10.2.0.2:80"


@pytest.mark.covers("C-021")
def test_edit_of_the_method_leaves_running_connections() -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -g")
    assert world.director.engine.connections()[0][0][10] & 7 == Method.MASQ
    packet = world.one(IP(src="10.1.0.1", dst=VIP) / TCP(sport=4000, dport=80, flags="A")).packet
    assert packet.dst == "10.2.0.1"
    reply = IP(src="10.2.0.1", dst="10.1.0.1") / TCP(sport=80, dport=4000, flags="A")
    assert world.one(reply, side="real").packet.src == VIP


@pytest.mark.covers("C-030", "C-200")
def test_new_server_is_first_and_an_edit_keeps_places() -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80", "10.2.0.3:80")
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -w 7")
    assert list(world.loads()) == ["10.2.0.3:80", "10.2.0.2:80", "10.2.0.1:80"]


# ---- settings

DEFAULTS = {
    "amemthresh": 1024, "am_droprate": 10, "drop_entry": 0, "drop_packet": 0, "secure_tcp": 0,
    "conntrack": 0, "snat_reroute": 1, "cache_bypass": 0, "expire_nodest_conn": 0,
    "expire_quiescent_template": 0, "sloppy_tcp": 0, "sloppy_sctp": 0, "conn_reuse_mode": 1,
    "nat_icmp_send": 0, "pmtu_disc": 1, "schedule_icmp": 0, "ignore_tunneled": 0,
    "backup_only": 0, "run_estimation": 1, "lblc_expiration": 86400, "lblcr_expiration": 86400,
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_setting_has_its_default_and_can_be_changed(name: str) -> None:
    tables = Lab().tables
    assert tables.sysctl(name) == str(DEFAULTS[name])
    tables.set_sysctl(name, f" {1 - DEFAULTS[name] % 2}\n")
    assert tables.sysctl(name) == str(1 - DEFAULTS[name] % 2)


@pytest.mark.covers("C-099")
@pytest.mark.parametrize("name", ["drop_entry", "drop_packet", "secure_tcp"])
@pytest.mark.parametrize("value", ["-1", "4", "", "on"])
def test_defence_has_four_values(name: str, value: str) -> None:
    tables = Lab().tables
    with refuses(errno.EINVAL):
        tables.set_sysctl(name, value)
    assert tables.sysctl(name) == "0"


def test_unknown_setting_is_refused() -> None:
    with refuses(errno.ENOENT):
        Lab().tables.sysctl("nosuch")
    with refuses(errno.ENOENT):
        Lab().tables.set_sysctl("nosuch", "1")


@pytest.mark.covers("C-177", "C-178", "C-420")
def test_time_outs_are_those_of_established_fin_wait_and_udp() -> None:
    world = lab("10.2.0.1:80", how="-g")
    world.words("--set 100 20 0")
    assert re.sub(r"\s+", " ", world.words("-L --timeout")).strip() == (
        "Timeout (tcp tcpfin udp): 100 20 300"
    )
    world.ask(4000)
    assert world.state(4000) == ("SYN_RECV", 60)
    world.ask(4000, "A")
    assert world.state(4000) == ("ESTABLISHED", 100)
    world.words("--set 0 30 0")
    assert world.state(4000) == ("ESTABLISHED", 100)
    world.ask(4000, "FA")
    assert world.state(4000) == ("FIN_WAIT", 30)


@pytest.mark.covers("C-177")
@pytest.mark.parametrize(
    ("segments", "state", "seconds"),
    [
        ("S", "SYN_RECV", 60),
        ("S <SA <FA FA", "TIME_WAIT", 120),
        ("S R A R", "CLOSE", 10),
        ("S <SA A FA", "CLOSE_WAIT", 60),
        ("<SA S", "SYN_RECV", 60),
    ],
)
def test_other_time_outs_stay(segments: str, state: str, seconds: int) -> None:
    world = lab("10.2.0.1:80")
    world.words("--set 100 20 30")
    for word in segments.split():
        if word[0] == "<":
            world.answer("10.2.0.1:80", f"{CLIENT}:4000", word[1:])
        else:
            world.ask(4000, word)
    assert world.state(4000) == (state, seconds)
