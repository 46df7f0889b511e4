"""What the values of options are read as."""

from __future__ import annotations

import socket

import pytest

from lbfast.cli.numbers import leading_number, number
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServiceFlags,
    ServiceKey,
    SyncRole,
    VirtualService,
)
from tests.ipvsadm_face import Face

VIP = socket.inet_aton("10.9.0.1")


@pytest.mark.covers("C-357")
@pytest.mark.parametrize(
    ("text", "mark"),
    [("1", 1), ("4294967295", 0xFFFFFFFF), ("+5", 5), (" 5", 5), ("010", 10)],
)
def test_fwmark_within_range(text: str, mark: int) -> None:
    face = Face()
    assert face(["-A", "-f", text]).status == 0
    assert list(face.balancer.table) == [ServiceKey(AF_INET, fwmark=mark)]


@pytest.mark.covers("C-357")
@pytest.mark.parametrize("text", ["0", "-1", "4294967296", "x", "5x", "0x10", "", "9" * 40])
def test_fwmark_outside_is_invalid(text: str) -> None:
    result = Face()(["-A", "-f", text])
    assert (result.status, result.error) == (2, f"invalid fwmark value `{text}' specified\n")


@pytest.mark.covers("C-358")
def test_ipv6_follows_the_mark() -> None:
    face = Face()
    face.all("-A -f 3 -6")
    assert list(face.balancer.table) == [ServiceKey(AF_INET6, fwmark=3)]
    result = face("-A -6 -f 3")
    assert (result.status, result.error) == (2, "-6 used before -f\n\n")


@pytest.mark.covers("C-359")
@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (["-p"], 360),
        (["-p", "-s", "rr"], 360),
        (["-p", "1"], 1),
        (["-p2678400"], 2678400),
        (["--persistent=600"], 600),
        (["--persistent", "600"], 600),
    ],
)
def test_persistence_time(words: list[str], seconds: int) -> None:
    service = only_service(words)
    assert (service.timeout_s, service.flags) == (seconds, ServiceFlags.PERSISTENT)


@pytest.mark.covers("C-359")
@pytest.mark.parametrize("text", ["0", "2678401", "x", "1e3"])
def test_persistence_time_outside_is_invalid(text: str) -> None:
    result = Face()(["-A", "-t", "10.9.0.1:80", "-p", text])
    assert (result.status, result.error) == (2, f"invalid timeout value `{text}' specified\n")


@pytest.mark.covers("C-360")
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("--set 1 2", "--set option requires 3 timeout values"),
        ("--set", "--set option requires 3 timeout values"),
        ("--set 1 2 x", "invalid timeout value `x' specified"),
        ("--set 1 2678401 3", "invalid timeout value `2678401' specified"),
    ],
)
def test_set_needs_three_times(line: str, error: str) -> None:
    result = Face()(line)
    assert (result.status, result.error) == (2, error + "\n")


@pytest.mark.covers("C-360")
def test_set_takes_nothing_to_a_month() -> None:
    face = Face()
    face.all("--set 1 2 2678400\n--set 0 0 0")
    assert face("-L --timeout").output == "Timeout (tcp tcpfin udp): 1 2 2678400\n"


@pytest.mark.covers("C-361")
@pytest.mark.parametrize(
    ("words", "mask"),
    [
        (["-t", "10.9.0.1:80"], 0xFFFFFFFF),
        (["-t", "10.9.0.1:80", "-M", "255.255.0.0"], 0xFFFF0000),
        (["-t", "10.9.0.1:80", "-M", "24"], 24),
        (["-t", "10.9.0.1:80", "-M", "vip.example.org"], 0x0A090032),
        (["-M", "255.255.0.0", "-t", "10.9.0.1:80"], 0xFFFF0000),
        (["-t", "[fd00:9::1]:80"], 128),
        (["-t", "[fd00:9::1]:80", "-M", "64"], 64),
        (["-t", "[fd00:9::1]:80", "-M", "128"], 128),
        (["-M", "255.255.0.0", "-t", "[fd00:9::1]:80"], 128),
        (["-f", "3", "-6", "-M", "1"], 1),
        (["-f", "3", "-M", "255.0.0.0", "-6"], 128),
        (["-f", "3", "-M", "255.0.0.0"], 0xFF000000),
    ],
)
def test_netmask_forms(words: list[str], mask: int) -> None:
    face = Face()
    assert face(["-A", *words, "-p"]).status == 0
    (service,) = face.balancer.table.values()
    assert service.netmask == mask


@pytest.mark.covers("C-361")
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("-t 10.9.0.1:80 -M x", "illegal virtual server persistent mask specified"),
        ("-M 300.0.0.0 -t 10.9.0.1:80", "illegal virtual server persistent mask specified"),
        ("-t [fd00:9::1]:80 -M 0", "illegal ipv6 netmask specified"),
        ("-t [fd00:9::1]:80 -M 129", "illegal ipv6 netmask specified"),
        ("-t [fd00:9::1]:80 -M x", "illegal ipv6 netmask specified"),
    ],
)
def test_netmask_illegal(words: str, error: str) -> None:
    result = Face()(f"-A {words}")
    assert (result.status, result.error) == (2, error + "\n")


@pytest.mark.covers("C-362", "C-363", "C-364", "C-365")
@pytest.mark.parametrize(
    ("option", "lowest", "highest", "error"),
    [
        ("-w", 0, 2147483647, "illegal weight specified"),
        ("-x", 0, 2147483647, "illegal u_threshold specified"),
        ("-y", 0, 2147483647, "illegal l_threshold specified"),
        ("--tun-port", 1, 65535, "illegal tunnel port specified"),
    ],
)
def test_server_number_ranges(option: str, lowest: int, highest: int, error: str) -> None:
    words = ["-a", "-t", "10.9.0.1:80", "-r", "10.2.0.1", "-i", option]
    for value in (lowest, highest):
        assert Face()([*words, str(value)]).error != f"{error}\n"
    for text in (str(lowest - 1), str(highest + 1), "x", "5x", ""):
        result = Face()([*words, text])
        assert (result.status, result.error) == (2, f"{error}\n")


@pytest.mark.covers("C-364")
@pytest.mark.parametrize(
    ("option", "lowest", "highest", "error"),
    [
        ("--syncid", 0, 255, "illegal syncid specified"),
        ("--mcast-port", 1, 65535, "illegal mcast-port specified"),
        ("--mcast-ttl", 1, 255, "illegal mcast-ttl specified"),
        ("--sync-maxlen", 1, 65507, "illegal sync-maxlen specified"),
    ],
)
def test_daemon_number_ranges(option: str, lowest: int, highest: int, error: str) -> None:
    words = ["--start-daemon", "master", "--mcast-interface", "d0", option]
    for value in (lowest, highest):
        assert Face()([*words, str(value)]).status == 0
    for value in (lowest - 1, highest + 1):
        result = Face()([*words, str(value)])
        assert (result.status, result.error) == (2, f"{error}\n")


@pytest.mark.covers("C-364")
def test_daemon_defaults_and_roles() -> None:
    face = Face()
    face.balancer.interfaces.add("eth0")
    face.all("--start-daemon=backup")
    daemon = face.balancer.running[SyncRole.BACKUP]
    assert (daemon.interface, daemon.sync_id) == ("eth0", 0)
    assert face("--start-daemon both").error == "illegal start-daemon parameter specified\n"
    assert face("--stop-daemon both").error == "illegal start_daemon specified\n"


@pytest.mark.covers("C-365")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("224.0.0.1", ""),
        ("239.255.255.255", ""),
        ("ff02::1", ""),
        ("10.0.0.1", "invalid IPv4 mcast-group `10.0.0.1'"),
        ("223.255.255.255", "invalid IPv4 mcast-group `223.255.255.255'"),
        ("240.0.0.1", "invalid IPv4 mcast-group `240.0.0.1'"),
        ("224.1", "invalid IPv4 mcast-group `224.1'"),
        ("x", "invalid IPv4 mcast-group `x'"),
        ("", "invalid IPv4 mcast-group `'"),
        ("fd00::1", "invalid IPv6 mcast-group `fd00::1'"),
        ("x:y", "invalid IPv6 mcast-group `x:y'"),
    ],
)
def test_multicast_group(text: str, error: str) -> None:
    result = Face()(["--start-daemon", "master", "--mcast-interface", "d0", "--mcast-group", text])
    assert (result.status, result.error) == ((2, f"{error}\n") if error else (0, ""))


@pytest.mark.covers("C-366")
@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("-s sh -b sh-fallback,sh-port", 0x18),
        ("-b mh-port -s mh", 0x10),
        ("-s rr -b flag-1,flag-3", 0x28),
        ("-s sh -b flag-3,sh-port", 0x30),
        ("-b flag-1,flag-1,", 0x08),
        ("-b ''", 0),
    ],
)
def test_scheduler_flags(words: str, flags: int) -> None:
    face = Face()
    face.all(f"-A -t 10.9.0.1:80 {words}")
    (service,) = face.balancer.table.values()
    assert service.flags == flags


@pytest.mark.covers("C-366")
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("-b nosuch", "invalid scheduler flag `nosuch'"),
        ("-b FLAG-1", "invalid scheduler flag `FLAG-1'"),
        ("-b sh-port", "incompatible scheduler flag `sh-port'"),
        ("-s sh -b mh-port", "incompatible scheduler flag `mh-port'"),
        ("-s shx -b sh-port", "incompatible scheduler flag `sh-port'"),
    ],
)
def test_scheduler_flags_that_do_not_fit(words: str, error: str) -> None:
    result = Face()(f"-A -t 10.9.0.1:80 {words}")
    assert (result.status, result.error) == (2, error + "\n")


@pytest.mark.covers("C-369", "C-370")
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("-t 10.9.0.1", "Zero port specified for non-persistent service"),
        ("-t 10.9.0.1:0 -o", "Zero port specified for non-persistent service"),
        ("-u 10.9.0.1", "Zero port specified for non-persistent service"),
        ("--sctp-service 10.9.0.1", "Zero port specified for non-persistent service"),
        ("-t 10.9.0.1 -p", ""),
        ("-f 3", ""),
        ("-t 10.9.0.1:80 -o", "One-Packet Scheduling is only for UDP virtual services"),
        (
            "--sctp-service 10.9.0.1:80 -o",
            "One-Packet Scheduling is only for UDP virtual services",
        ),
        ("-u 10.9.0.1:80 -o", ""),
        ("-f 3 -o", ""),
    ],
)
def test_service_makes_sense(words: str, error: str) -> None:
    result = Face()(f"-A {words}")
    assert (result.status, result.error) == ((2, f"{error}\n") if error else (0, ""))


@pytest.mark.covers("C-371")
@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("-t 10.9.0.1:80 -r 10.2.0.1:8080", 80),
        ("-t 10.9.0.1:80 -r 10.2.0.1:8080 -g", 80),
        ("-t 10.9.0.1:80 -r 10.2.0.1:8080 -i", 80),
        ("-t 10.9.0.1:80 -r 10.2.0.1:8080 -m", 8080),
        ("-t 10.9.0.1:80 -r 10.2.0.1:8080 --fullnat", 8080),
        ("-r 10.2.0.1:8080 -t 10.9.0.1:80", 80),
        ("-f 3 -r 10.2.0.1:8080 -g", 8080),
    ],
)
def test_only_translation_changes_the_port(line: str, port: int) -> None:
    assert only_server(line).key.port == port


@pytest.mark.covers("C-371", "C-375")
def test_delete_takes_the_port_as_given() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80\n-a -t 10.9.0.1:80 -r 10.2.0.1:8080 -g")
    assert face("-d -t 10.9.0.1:80 -r 10.2.0.1:8080").error == "No such destination\n"
    assert face("-d -t 10.9.0.1:80 -r 10.2.0.1").status == 0


@pytest.mark.covers("C-372")
def test_edit_resets_what_it_does_not_say() -> None:
    face = Face()
    face.all(
        "-A -u 10.9.0.1:80 -s sh -p 50 -o -b sh-port --pe sip -M 255.0.0.0\n"
        "-a -u 10.9.0.1:80 -r 10.2.0.1:80 -m -w 5 -x 9 -y 3\n"
        "-E -u 10.9.0.1:80\n"
        "-e -u 10.9.0.1:80 -r 10.2.0.1:80"
    )
    (state,) = face.balancer.services()
    assert state.service == VirtualService(ServiceKey(AF_INET, 17, VIP, 80))
    server = state.servers[0].server
    assert server == RealServer(server.key, Method.DROUTE, weight=1)


def test_families_may_differ_only_in_a_tunnel() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80\n-A -f 3 -6")
    error = "Different address family is allowed only for tunneling servers\n"
    assert face("-a -t 10.9.0.1:80 -r [fd00::1]:80 -m --tun-csum").error == error
    assert face("-a -f 3 -6 -r 10.2.0.1 -g").error == error
    assert face("-a -t 10.9.0.1:80 -r [fd00::1]:80 -i").status == 0
    assert face("-a -f 3 -6 -r 10.2.0.1 -i").status == 0


def test_names_are_cut_to_fifteen_characters() -> None:
    face = Face()
    assert face("-A -t 10.9.0.1:80 -s 0123456789abcdefgh").status == 255
    face.balancer.interfaces.add("0123456789abcde")
    face.all("--start-daemon master --mcast-interface 0123456789abcdefgh")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("+5", 5),
        ("-5", -5),
        (" \t\n\v\f\r5", 5),
        ("005", 5),
        ("5 ", None),
        ("", None),
        ("+", None),
        ("\N{ARABIC-INDIC DIGIT THREE}", None),
        ("1_0", None),
        ("9" * 5000, None),
    ],
)
def test_number_as_strtol_reads_it(text: str, value: int | None) -> None:
    assert number(text, -10, 10) == value


@pytest.mark.parametrize(("text", "value"), [("64x", 64), ("x", 0), ("", 0), ("9" * 30, 0)])
def test_leading_number_as_atoi_reads_it(text: str, value: int) -> None:
    assert leading_number(text) == value


def only_server(line: str) -> RealServer:
    """Adds one server to a balancer with the services that tests use; returns it."""
    face = Face()
    face.all(f"-A -t 10.9.0.1:80\n-A -f 3\n-a {line}")
    (server,) = (row.server for state in face.balancer.services() for row in state.servers)
    return server


def only_service(words: list[str]) -> VirtualService:
    face = Face()
    assert face(["-A", "-t", "10.9.0.1:80", *words]).status == 0
    (service,) = face.balancer.table.values()
    return service
