"""The predicate of what is taken from the host, case by case."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from lbfast.control.localserver import map_keys
from lbfast.control.steering import (
    SCTP,
    TCP,
    UDP,
    Facts,
    LocalAddresses,
    MarkRule,
    SteeringPlan,
    plan,
    prefix_matches,
    taken,
    tap_filter,
)
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    VirtualService,
)

VIP, VIP6 = socket.inet_aton("10.9.0.1"), socket.inet_pton(AF_INET6, "fd09::1")
CLIENT, RIP = socket.inet_aton("10.1.0.2"), socket.inet_aton("10.2.0.2")
CLIENT6, RIP6 = socket.inet_pton(AF_INET6, "fd01::2"), socket.inet_pton(AF_INET6, "fd02::2")
WEB = ServiceKey(AF_INET, TCP, VIP, 80)
WEB6 = ServiceKey(AF_INET6, TCP, VIP6, 80)


def service(key: ServiceKey) -> VirtualService:
    return VirtualService(key)


def server(addr: bytes, port: int, method: Method = Method.MASQ) -> RealServer:
    return RealServer(ServerKey(AF_INET if len(addr) == 4 else AF_INET6, addr, port), method)


REQUEST = Facts(AF_INET, TCP, CLIENT, VIP, 1234, 80, daddr_local=True)
REPLY = Facts(AF_INET, TCP, RIP, CLIENT, 8080, 1234)
ERROR = Facts(AF_INET, 1, CLIENT, VIP, icmp_type=3, daddr_local=True)
FRAGMENT = Facts(AF_INET, UDP, CLIENT, VIP, fragment=True, daddr_local=True)
NAT = plan([service(WEB)], [(WEB, server(RIP, 8080))])
DIRECT = plan([service(WEB)], [(WEB, server(RIP, 80, Method.DROUTE))])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param(REQUEST, "service", id="a request to a service"),
        pytest.param(replace(REQUEST, dport=81), "", id="another port of the VIP"),
        pytest.param(replace(REQUEST, protocol=UDP), "", id="another protocol"),
        pytest.param(replace(REQUEST, daddr=RIP), "", id="a client going to a RIP itself"),
        pytest.param(replace(REQUEST, dport=None), "", id="a header too short for ports"),
        pytest.param(REPLY, "reply", id="a reply of a NAT server"),
        pytest.param(replace(REPLY, daddr_local=True), "", id="an answer to a health check"),
        pytest.param(replace(REPLY, sport=22), "", id="another port of a NAT server"),
        pytest.param(ERROR, "icmp", id="an ICMP error to the VIP"),
        pytest.param(replace(ERROR, icmp_type=8), "", id="a ping of the VIP"),
        pytest.param(replace(ERROR, icmp_type=12), "", id="parameter problem, not followed"),
        pytest.param(
            replace(ERROR, daddr=CLIENT, daddr_local=False), "icmp", id="an error passing through"
        ),
        pytest.param(replace(ERROR, daddr=RIP), "", id="an error for the host itself"),
        pytest.param(FRAGMENT, "fragment", id="a fragment to the VIP"),
        pytest.param(replace(FRAGMENT, daddr=RIP), "", id="a fragment to the host"),
        pytest.param(
            replace(FRAGMENT, saddr=RIP, daddr=CLIENT, daddr_local=False),
            "fragment",
            id="a fragment of a NAT server",
        ),
        pytest.param(
            replace(FRAGMENT, protocol=1, saddr=CLIENT, daddr=RIP, daddr_local=False),
            "fragment",
            id="a fragment of ICMP passing through",
        ),
        pytest.param(replace(REQUEST, af=AF_INET6, daddr=VIP6), "", id="a family without service"),
    ],
)
def test_taken_with_a_nat_service(facts: Facts, reason: str) -> None:
    assert taken(NAT, facts) == reason


LIP = socket.inet_aton("10.2.255.21")
FULL = plan(
    [service(WEB)],
    [(WEB, server(RIP, 8080, Method.FULLNAT))],
    local=LocalAddresses(frozenset((LIP, socket.inet_pton(AF_INET6, "fd02::21"))), (5000, 6000)),
)
RETURN = Facts(AF_INET, TCP, RIP, LIP, 8080, 1025, daddr_local=True)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param(REQUEST, "service", id="a request to a service"),
        pytest.param(RETURN, "local", id="a reply to a local address"),
        pytest.param(replace(RETURN, dport=1024), "", id="a port below ours"),
        pytest.param(replace(RETURN, dport=5000), "", id="the host's first port"),
        pytest.param(replace(RETURN, dport=6000), "", id="the host's last port"),
        pytest.param(replace(RETURN, dport=65535), "local", id="the last port"),
        pytest.param(replace(RETURN, sport=80), "", id="another port of the server"),
        pytest.param(replace(RETURN, protocol=UDP), "", id="another protocol"),
        pytest.param(replace(RETURN, saddr=CLIENT), "", id="another sender"),
        pytest.param(replace(RETURN, daddr=CLIENT), "", id="another address of the host"),
        pytest.param(REPLY, "", id="what the server sends elsewhere"),
        pytest.param(replace(ERROR, daddr=LIP), "icmp", id="an error to a local address"),
        pytest.param(
            replace(FRAGMENT, saddr=RIP, daddr=LIP), "fragment", id="a fragment of the server"
        ),
        pytest.param(
            replace(FRAGMENT, saddr=CLIENT, daddr=LIP), "", id="a fragment of somebody else"
        ),
        pytest.param(replace(RETURN, af=AF_INET6), "", id="a family without service"),
    ],
)
def test_taken_with_a_fullnat_service(facts: Facts, reason: str) -> None:
    assert taken(FULL, facts) == reason


def test_taken_without_nat_leaves_replies_and_passing_errors() -> None:
    assert taken(DIRECT, replace(REPLY, sport=80)) == ""
    assert taken(DIRECT, replace(ERROR, daddr=CLIENT, daddr_local=False)) == ""
    assert taken(DIRECT, ERROR) == "icmp"


def test_plan_without_services_takes_nothing() -> None:
    assert plan([], []) == SteeringPlan()
    assert taken(SteeringPlan(), REQUEST) == ""


def test_port_0_service_takes_every_port_of_its_protocol() -> None:
    made = plan([service(replace(WEB, port=0))], [(replace(WEB, port=0), server(RIP, 0))])
    assert taken(made, replace(REQUEST, dport=9999)) == "service"
    assert taken(made, replace(REQUEST, protocol=UDP)) == ""
    assert taken(made, replace(REPLY, sport=7)) == "reply"


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (20, "service"),
        (21, "service"),
        (22, ""),
        (1023, ""),
        (1024, "service"),
        (65535, "service"),
    ],
)
def test_ftp_service_takes_data_ports(port: int, reason: str) -> None:
    made = plan([service(replace(WEB, port=21))], [])
    assert taken(made, replace(REQUEST, dport=port)) == reason


def test_server_without_port_replies_from_any() -> None:
    made = plan([service(WEB)], [(WEB, server(RIP, 0))])
    assert taken(made, replace(REPLY, sport=80)) == "reply"


def test_fwmark_service_takes_what_its_last_rule_marks() -> None:
    key = ServiceKey(AF_INET, fwmark=7)
    net = socket.inet_aton("10.9.0.0")
    rules = [
        MarkRule(7, AF_INET, dst=net, dst_len=16),
        MarkRule(3, AF_INET, TCP, dst=VIP, dst_len=32, dport=(25, 25)),
    ]
    made = plan([service(key)], [(key, server(RIP, 80))], rules)
    assert taken(made, replace(REQUEST, dport=443)) == "mark"
    assert taken(made, replace(REQUEST, protocol=SCTP)) == "mark"
    assert taken(made, replace(REQUEST, dport=25)) == "", "marked 3, which is no service"
    assert taken(made, replace(REQUEST, daddr=CLIENT)) == ""
    assert taken(made, replace(REPLY, protocol=UDP, sport=5)) == "reply"


@pytest.mark.parametrize(
    ("rule", "fragment", "error"),
    [
        pytest.param(MarkRule(7, AF_INET, UDP), "fragment", "icmp", id="any destination"),
        pytest.param(MarkRule(7, AF_INET, TCP), "", "icmp", id="another protocol"),
        pytest.param(MarkRule(7, AF_INET, dst=VIP, dst_len=32), "", "", id="elsewhere"),
        pytest.param(MarkRule(8, AF_INET), "", "", id="a mark without a service"),
        pytest.param(MarkRule(7, AF_INET6), "", "", id="the other family"),
        pytest.param(MarkRule(7, AF_INET, ifindex=4), "", "icmp", id="another interface"),
    ],
)
def test_fragments_and_errors_of_transit_traffic(
    rule: MarkRule, fragment: str, error: str
) -> None:
    made = plan([service(ServiceKey(AF_INET, fwmark=7))], [], [rule])
    assert taken(made, Facts(AF_INET, UDP, CLIENT, RIP, fragment=True, ifindex=3)) == fragment
    assert taken(made, Facts(AF_INET, 1, CLIENT, RIP, icmp_type=3, ifindex=3)) == error


def test_mark_rule_of_another_interface_does_not_apply() -> None:
    key = ServiceKey(AF_INET, fwmark=7)
    made = plan([service(key)], [], [MarkRule(7, AF_INET, ifindex=4)])
    assert taken(made, replace(REQUEST, ifindex=4)) == "mark"
    assert taken(made, replace(REQUEST, ifindex=5)) == ""


def test_deleted_server_lingers_while_another_service_is_there() -> None:
    other = service(replace(WEB, port=443))
    gone = [(WEB, server(RIP, 8080))]
    made = plan([other], [], lingering=gone)
    assert taken(made, REQUEST) == "service"
    assert taken(made, REPLY) == "reply"
    assert taken(plan([], [], lingering=gone), REQUEST) == ""


def test_ipv6_takes_every_error_type() -> None:
    made = plan([service(WEB6)], [(WEB6, server(RIP6, 80))])
    error = Facts(AF_INET6, 58, CLIENT6, VIP6, icmp_type=127, daddr_local=True)
    assert taken(made, error) == "icmp"
    assert taken(made, replace(error, icmp_type=128)) == ""


def test_tunnel_of_the_other_family_has_no_replies() -> None:
    made = plan([service(WEB)], [(WEB, server(RIP6, 80, Method.TUNNEL))])
    assert made.ip6 == SteeringPlan().ip6
    assert not made.ip4.source_addrs


@pytest.mark.parametrize(
    ("addr", "prefix", "length", "matches"),
    [
        (b"\x0a\x01\x02\x03", b"", 0, True),
        (b"\x0a\x01\x02\x03", b"\x0a\x01\x02\x00", 24, True),
        (b"\x0a\x01\x02\x03", b"\x0a\x01\x02\x02", 31, True),
        (b"\x0a\x01\x02\x03", b"\x0a\x01\x02\x00", 31, False),
        (b"\x0a\x01\x02\x03", b"\x0a\x01\x02\x02", 32, False),
    ],
)
def test_prefix_matches(addr: bytes, prefix: bytes, length: int, matches: bool) -> None:
    assert prefix_matches(addr, prefix, length) == matches


def test_local_server_keys_are_those_of_local_addresses() -> None:
    made = plan([service(WEB)], [(WEB, server(RIP, 8080)), (WEB, server(CLIENT, 80))])
    keys = map_keys(made, [RIP])
    assert keys == {
        RIP + bytes(12) + b"\x1f\x90\x06\x04",  # port 8080, TCP
        RIP + bytes(12) + b"\x00\x00\x00\x04",  # its fragments and ICMP errors
    }


def test_tap_filter_jumps_stay_inside() -> None:
    program = tap_filter()
    for at, (_, jt, jf, _) in enumerate(program):
        assert at + 1 + max(jt, jf) <= len(program)
