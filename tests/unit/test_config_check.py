"""Virtual servers and health checks of keepalived.conf: what the model gets."""

from __future__ import annotations

import socket

import pytest

from lbfast.model import AF_INET, AF_INET6, Method, ServiceFlags, ServiceKey, TunnelType
from lbfast.model.check import (
    CheckedService,
    FileCheck,
    HttpCheck,
    MiscCheck,
    SmtpCheck,
    UdpCheck,
)
from tests.unit.config_host import complaints, read

HEAD = "virtual_server 10.1.1.1 80 {\n"
PLAIN = "lb_algo rr\n lb_kind NAT\n protocol TCP\n"
SERVER = "real_server 10.2.2.2 8080 {\n %s\n }\n"


def packed(word: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in word else socket.AF_INET, word)


def service(
    lines: str = "", head: str = HEAD, server: str = SERVER % "", before: str = ""
) -> CheckedService:
    loaded = read(f"{before}{head} {PLAIN} {lines}\n {server} }}\n")
    return loaded.configuration.check.services[0]


@pytest.mark.covers("CFG-26", "CFG-27")
def test_service_that_says_nothing_is_wlc_by_nat_over_udp() -> None:
    loaded = read(HEAD + SERVER % "" + "}\n")
    (found,) = loaded.configuration.check.services
    (one,) = found.services
    assert (one.scheduler, one.key.protocol) == ("wlc", 17)
    assert found.servers[0].server.method is Method.MASQ
    assert len(complaints(loaded)) == 3


def test_unknown_scheduler_is_wlc_with_a_message() -> None:
    text = HEAD + PLAIN.replace("rr", "foo") + SERVER % "" + "}\n"
    loaded = read(text)
    assert loaded.configuration.check.services[0].services[0].scheduler == "wlc"
    assert any("'foo' unknown, using wlc; known: rr, wrr" in line for line in complaints(loaded))


@pytest.mark.covers("CFG-28", "CFG-29", "CFG-30")
@pytest.mark.parametrize(
    ("lines", "head", "seconds"),
    [
        pytest.param("", HEAD, 0, id="not asked for"),
        pytest.param("persistence_timeout", HEAD, 360, id="without a number"),
        pytest.param("persistence_timeout 5", HEAD, 5, id="with one"),
        pytest.param("persistence_timeout 0", HEAD, 0, id="with 0"),
        pytest.param("persistence_granularity 255.255.255.0", HEAD, 360, id="by its mask"),
        pytest.param("", HEAD.replace(" 80", " 0"), 360, id="port 0"),
        pytest.param("", HEAD.replace(" 80", ""), 360, id="no port"),
    ],
)
def test_persistence_has_its_time(lines: str, head: str, seconds: int) -> None:
    found = service(lines, head).services[0]
    assert found.timeout_s == seconds
    assert bool(found.flags & ServiceFlags.PERSISTENT) == bool(seconds)


def test_granularity_is_a_mask_or_a_prefix_length() -> None:
    assert service("persistence_granularity 255.255.0.0").services[0].netmask == 0xFFFF0000
    six = "virtual_server fd00::1 80 {\n"
    server = "real_server fd00::2 80 {\n }\n"
    found = service("persistence_granularity 64", six, server).services[0]
    assert (found.key.af, found.netmask) == (AF_INET6, 64)


@pytest.mark.covers("CFG-31")
def test_server_port_is_the_services_where_it_has_to_be() -> None:
    without = "real_server 10.2.2.2 {\n }\n"
    assert service(server=without).servers[0].server.key.port == 80
    assert service().servers[0].server.key.port == 8080
    assert service("lb_kind DR").servers[0].server.key.port == 80


@pytest.mark.covers("CFG-32")
def test_mark_has_no_protocol_and_no_ports_but_under_nat() -> None:
    head = "virtual_server fwmark 9 {\n"
    found = service(head=head)
    assert found.services[0].key == ServiceKey(AF_INET, fwmark=9)
    assert found.servers[0].server.key.port == 8080
    assert service("lb_kind TUN", head).servers[0].server.key.port == 0


@pytest.mark.covers("CFG-33")
@pytest.mark.parametrize(
    ("line", "last_octets"),
    [
        ("10.1.0.9 80", [9]),
        ("10.1.0.7-9 80", [7, 8, 9]),
        ("10.1.0.254-10.1.1.1 80", [254, 255, 0, 1]),
        ("10.1.0.4/30 80", [4, 5, 6, 7]),
    ],
)
def test_group_line_is_as_many_services(line: str, last_octets: list[int]) -> None:
    before = f"virtual_server_group G {{\n {line}\n fwmark 4\n}}\n"
    found = service(head="virtual_server group G {\n", before=before)
    assert found.key == "G"
    assert [one.key.addr[3] for one in found.services if one.key.addr] == last_octets
    assert [one.key.fwmark for one in found.services][-1] == 4


def test_group_range_of_ipv6_counts_in_hexadecimal() -> None:
    before = "virtual_server_group G {\n fd00::e-11 80\n}\n"
    server = "real_server fd00:1::2 80 {\n }\n"
    found = service(head="virtual_server group G {\n", server=server, before=before)
    assert [one.key.addr[15] for one in found.services] == [14, 15, 16, 17]


@pytest.mark.covers("CFG-34")
def test_duplicate_server_and_other_family_are_left_out() -> None:
    servers = SERVER % "weight 3" + SERVER % "weight 4" + "real_server fd00::1 80 {\n }\n"
    found = service(server=servers)
    assert [one.server.weight for one in found.servers] == [3]


@pytest.mark.covers("CFG-35")
def test_one_packet_scheduling_is_for_udp() -> None:
    assert not service("ops").services[0].flags & ServiceFlags.ONEPACKET
    assert service("protocol UDP\n ops").services[0].flags & ServiceFlags.ONEPACKET


@pytest.mark.covers("CFG-36")
@pytest.mark.parametrize(
    ("lines", "flags"),
    [
        ("lb_algo sh\n sh-port\n sh-fallback", ServiceFlags.SCHED1 | ServiceFlags.SCHED2),
        ("lb_algo mh\n mh-fallback", ServiceFlags.SCHED1),
        ("sh-port\n lb_algo sh", ServiceFlags.SCHED2),
        ("sh-port", ServiceFlags.NONE),
        ("flag-1\n flag-3", ServiceFlags.SCHED1 | ServiceFlags.SCHED3),
    ],
)
def test_scheduler_flags_reach_the_service(lines: str, flags: ServiceFlags) -> None:
    assert service(lines).services[0].flags == flags


@pytest.mark.covers("CFG-37")
def test_tunnel_type_and_port_are_kept() -> None:
    server = service("lb_kind TUN type gue port 6080 csum").servers[0].server
    assert (server.method, server.tun_type) == (Method.TUNNEL, TunnelType.GUE)
    assert (server.tun_port, int(server.tun_flags)) == (6080, 1)


@pytest.mark.covers("CFG-38")
@pytest.mark.parametrize(("line", "port"), [("10.9.9.9", 80), ("10.9.9.9 81", 81)])
def test_sorry_server_has_the_services_port_unless_it_names_one(line: str, port: int) -> None:
    found = service(f"sorry_server {line}\n sorry_server_inhibit").sorry
    assert found is not None
    assert (found.server.key.port, found.inhibit) == (port, True)


@pytest.mark.covers("CFG-39")
def test_quorum_is_at_most_the_sum_of_weights() -> None:
    found = service("quorum 5\n hysteresis 4", server=SERVER % "weight 3")
    assert (found.quorum, found.hysteresis) == (3, 2)
    none = service(server=SERVER % "weight 0")
    assert (none.quorum, none.hysteresis) == (1, 0)


@pytest.mark.covers("CFG-40")
def test_sync_daemon_is_read_in_both_spellings() -> None:
    text = (
        "vrrp_instance V {\n interface eth0\n virtual_router_id 3\n%s\n"
        " virtual_ipaddress {\n 10.0.0.1\n }\n}\n"
    )
    new = (
        "global_defs {\n lvs_sync_daemon eth1 V id 7 maxlen 900 port 9 ttl 2 group 224.0.0.9\n}\n"
    )
    found = read(new + text % "").configuration.sync
    assert found is not None
    assert (found.interface, found.instance, found.sync_id, found.port) == ("eth1", "V", 7, 9)
    assert (found.maxlen, found.ttl, found.group) == (900, 2, packed("224.0.0.9"))
    old = read(text % "lvs_sync_daemon_interface eth1").configuration.sync
    assert old is not None
    assert (old.interface, old.instance, old.sync_id) == ("eth1", "V", None)


@pytest.mark.covers("CFG-41")
@pytest.mark.parametrize(
    ("checker", "urls"),
    [
        ("HTTP_GET {\n url {\n path /\n }\n url {\n digest 00\n }\n }", 1),
        ("HTTP_GET {\n url {\n }\n }", 0),
        ("HTTP_GET {\n }", 0),
    ],
)
def test_url_without_path_and_checker_without_url_are_dropped(checker: str, urls: int) -> None:
    found = service(server=SERVER % checker).servers[0].checkers
    assert sum(len(one.urls) for one in found if isinstance(one, HttpCheck)) == urls
    assert len(found) == bool(urls)


@pytest.mark.covers("CFG-03", "CFG-04")
@pytest.mark.parametrize(("checker", "retry"), [("HTTP_GET", 4), ("TCP_CHECK", None)])
def test_old_name_of_retry_works_in_http_get_only(checker: str, retry: int | None) -> None:
    url = "url {\n path /\n }\n" if checker == "HTTP_GET" else ""
    loaded = read(
        HEAD + PLAIN + "nat_mask 255.255.255.0\n"
        + SERVER % f"{checker} {{\n {url} nb_get_retry 4\n }}" + "}\n"
    )  # fmt: skip
    found = loaded.configuration.check.services[0].servers[0].checkers[0]
    assert found.timing.retry == retry
    assert loaded.findings.exit_status() == 5
    assert not loaded.findings.is_refused
    assert any("unknown keyword 'nat_mask'" in line for line in complaints(loaded))


def test_http_words_reach_the_model() -> None:
    url = (
        "url {\n path /x\n digest d41d8cd98f00b204e9800998ecf8427e\n status_code 200-299 404\n"
        " virtualhost a.b\n }"
    )
    checker = f"SSL_GET {{\n {url}\n connect_port 81\n enable_sni\n http_protocol 1.1\n }}"
    (found,) = service(server=SERVER % checker).servers[0].checkers
    assert isinstance(found, HttpCheck)
    assert found.is_ssl
    assert found.enable_sni
    assert found.endpoint.connect_port == 81
    assert found.urls[0].status_codes == ((200, 299), (404, 404))
    assert found.urls[0].digest.hex() == "d41d8cd98f00b204e9800998ecf8427e"


def test_udp_reply_has_a_mask_for_its_wildcards() -> None:
    checker = "UDP_CHECK {\n payload 01 02ff\n require_reply 1x ffx0\n max_reply_length 9\n }"
    (found,) = service(server=SERVER % checker).servers[0].checkers
    assert isinstance(found, UdpCheck)
    assert found.payload == b"\x01\x02\xff"
    assert found.reply is not None
    assert (found.reply.value, found.reply.mask) == (b"\x10\xff\x00", b"\xf0\xff\x0f")
    assert found.reply.max_length == 9


def test_misc_check_keeps_its_words_and_its_user() -> None:
    checker = "MISC_CHECK {\n misc_path \"/bin/true a 'b c'\"\n misc_dynamic\n user daemon\n }"
    (found,) = service(server=SERVER % checker).servers[0].checkers
    assert isinstance(found, MiscCheck)
    assert found.script.argv == ("/bin/true", "a", "b c")
    assert (found.script.user, found.is_dynamic, found.timeout_s) == ("daemon", True, None)


HOSTS = "host {\n connect_ip 10.9.9.9\n connect_timeout 3\n }\n host {\n connect_port 26\n }\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", [("", 0)]),
        (HOSTS, [("10.9.9.9", 0), ("", 26)]),
        ("retry 4\n helo_name x\n " + HOSTS, [("10.9.9.9", 0), ("", 26)]),
        ("connect_timeout 6\n " + HOSTS, [("", 0), ("10.9.9.9", 0), ("", 26)]),
        ("connect_ip 10.8.8.8\n " + HOSTS, [("10.8.8.8", 0), ("10.9.9.9", 0), ("", 26)]),
    ],
)
def test_mail_check_has_one_for_each_host_and_its_own_place(
    lines: str, expected: list[tuple[str, int]]
) -> None:
    text = f"SMTP_CHECK {{\n {lines} }}"
    found = [
        check
        for check in service(server=SERVER % text).servers[0].checkers
        if isinstance(check, SmtpCheck)
    ]
    places = [(check.endpoint.connect_ip, check.endpoint.connect_port) for check in found]
    assert places == [(packed(addr) if addr else b"", port) for addr, port in expected]


def test_host_of_a_mail_check_has_the_time_of_the_block_unless_it_says_one() -> None:
    text = "SMTP_CHECK {\n connect_timeout 6\n retry 4\n " + HOSTS + "}"
    found = service(server=SERVER % text).servers[0].checkers
    assert [check.timing.connect_timeout_s for check in found] == [6, 3, 6]
    assert {check.timing.retry for check in found} == {4}


def test_file_check_of_an_unknown_file_is_dropped() -> None:
    before = "track_file F {\n file /tmp/f\n}\n"
    checkers = "FILE_CHECK {\n track_file F\n weight 2\n }\n FILE_CHECK {\n track_file G\n }"
    found = service(server=SERVER % checkers, before=before).servers[0].checkers
    assert found == (FileCheck(track_file="F", weight=2),)


def test_second_virtual_server_of_a_key_is_left_out() -> None:
    one = HEAD + PLAIN + SERVER % "" + "}\n"
    loaded = read(one + one.replace("rr", "wrr"))
    (found,) = loaded.configuration.check.services
    assert found.services[0].scheduler == "rr"


def test_fullnat_and_marks_are_lines_that_keepalived_passes_over() -> None:
    lines = "@lbfast lb_kind FNAT\n @lbfast local_address 10.9.0.1-2\n @lbfast laddr_group_name G"
    text = (
        "@lbfast mark 7 -p tcp --dport 80:90\n"
        "@lbfast local_address_group G {\n@lbfast 10.9.1.1\n@lbfast }\n"
        + HEAD + PLAIN + lines + "\n" + SERVER % "" + "}\n"
    )  # fmt: skip
    loaded = read(text)
    assert not complaints(loaded)
    configuration = loaded.configuration
    assert configuration.check.services[0].servers[0].server.method is Method.FULLNAT
    (local,) = configuration.local_addresses
    assert [addr[2:] for addr in local.addresses] == [b"\x00\x01", b"\x00\x02", b"\x01\x01"]
    assert (configuration.marks[0].mark, configuration.marks[0].dport) == (7, (80, 90))
    other = read(text.replace("@lbfast", "@keepalived")).configuration
    assert other.check.services[0].servers[0].server.method is Method.MASQ
    assert not other.marks


def test_fullnat_without_local_address_is_reported() -> None:
    text = HEAD + PLAIN + "lb_kind FNAT\n" + SERVER % "" + "}\n"
    assert any("without local_address" in line for line in complaints(read(text)))
