"""Details of the language that a mistake would change without a word."""

from __future__ import annotations

import pytest

from lbfast.config.words import split, split_script
from lbfast.model import TunnelType
from lbfast.model.check import FileCheck
from tests.unit.config_host import complaints, read
from tests.unit.test_config_status import INSTANCE, SERVICE


@pytest.mark.covers("LEX-03")
def test_what_follows_an_open_quote_is_no_word() -> None:
    assert split('a b "c d') == ["a", "b"]


@pytest.mark.covers("LEX-12")
@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param(r"\351", "\xe9", id="octal above seven bits"),
        pytest.param(r"\xe9", "\xe9", id="hexadecimal"),
        pytest.param(r"\ca", "\x01", id="control with a small letter"),
        pytest.param(r"\cA", "\x01", id="control with a capital"),
    ],
)
def test_escape_of_a_script_is_one_character(text: str, word: str) -> None:
    assert split_script(text) == [word]


@pytest.mark.covers("LEX-21")
def test_sequence_to_a_negative_end_begins_at_minus_one() -> None:
    found = complaints(read(SERVICE % "~SEQ(i,-3) foo${i}"))
    assert [one.split("'")[1] for one in found] == ["foo-1", "foo-2", "foo-3"]


@pytest.mark.covers("LEX-24")
def test_timer_rounds_its_seventh_decimal() -> None:
    text = SERVICE % "connect_timeout 0.0000016"
    assert read(text).configuration.check.services[0].timing.connect_timeout_s == 0.000002


@pytest.mark.covers("CFG-09")
def test_same_router_id_in_the_other_family_is_another_router() -> None:
    other = INSTANCE.replace(" V ", " W ").replace("10.0.0.1/24", "fe80::1/64")
    loaded = read(INSTANCE % "" + other % "")
    assert not loaded.findings.is_refused
    assert len(loaded.configuration.vrrp.instances) == 2


@pytest.mark.covers("CFG-09")
def test_same_router_id_with_other_peers_is_another_router() -> None:
    peers = "unicast_src_ip 10.0.0.9\n unicast_peer {\n 10.0.0.%d\n }"
    first, other = INSTANCE % (peers % 2), INSTANCE.replace(" V ", " W ")
    assert not read(first + other % (peers % 3)).findings.is_refused
    assert read(first + other % (peers % 2)).findings.is_refused


@pytest.mark.covers("CFG-38")
def test_sorry_server_keeps_the_tunnel_of_its_service() -> None:
    text = SERVICE.replace("NAT", "TUN type gue port 6080") % "sorry_server 10.3.3.3 80"
    sorry = read(text).configuration.check.services[0].sorry
    assert sorry is not None
    assert (sorry.server.tun_type, sorry.server.tun_port) == (TunnelType.GUE, 6080)


@pytest.mark.covers("CHK-07")
@pytest.mark.parametrize(
    ("keyword", "field"),
    [
        ("retry", "retry"),
        ("delay_before_retry", "delay_before_retry_s"),
        ("warmup", "warmup_s"),
        ("delay_loop", "delay_loop_s"),
        ("connect_timeout", "connect_timeout_s"),
    ],
)
def test_time_of_each_block_is_its_own(keyword: str, field: str) -> None:
    text = SERVICE.replace(
        "10.2.2.2 80 {", f"10.2.2.2 80 {{\n {keyword} 3\n TCP_CHECK {{\n {keyword} 4\n }}"
    ) % (f"{keyword} 2")
    loaded = read(text)
    assert complaints(loaded) == []
    service = loaded.configuration.check.services[0]
    server = service.servers[0]
    timings = (service.timing, server.timing, server.checkers[0].timing)
    assert [getattr(timing, field) for timing in timings] == [2, 3, 4]
    assert [sum(v is not None for v in map(timing.__getattribute__, timing.__slots__))
            for timing in timings] == [1, 1, 1]  # fmt: skip


@pytest.mark.covers("CFG-23")
def test_next_hop_weighs_up_to_256_and_routes_may_be_onlink() -> None:
    line = "10.3.0.0/16 onlink nexthop via 10.0.0.2 dev eth0 weight 256 onlink no_track"
    loaded = read(INSTANCE % f"virtual_routes {{\n {line}\n }}")
    assert complaints(loaded) == []
    (route,) = loaded.configuration.vrrp.instances[0].routes
    assert (route.onlink, route.nexthops[0].weight, route.nexthops[0].onlink) == (True, 256, True)


@pytest.mark.covers("CHK-30")
def test_weight_of_a_file_check_may_be_reversed() -> None:
    check = "FILE_CHECK {\n track_file F\n weight 3 reverse\n }"
    service = SERVICE.replace("10.2.2.2 80 {", f"10.2.2.2 80 {{\n {check}")
    text = "track_file F {\n file /x\n}\n" + service
    (found,) = read(text % "").configuration.check.services[0].servers[0].checkers
    assert isinstance(found, FileCheck)
    assert (found.weight, found.reverse) == (3, True)


@pytest.mark.covers("VRP-22")
def test_least_of_gratuitous_arps_is_one_without_a_second_burst() -> None:
    loaded = read("global_defs {\n vrrp_min_garp\n}\n" + INSTANCE % "")
    garp = loaded.configuration.vrrp.instances[0].garp
    assert (garp.master_delay_us, garp.master_repeat) == (0, 1)


@pytest.mark.covers("CFG-25")
def test_static_address_without_device_is_the_default_interface_s() -> None:
    text = "global_defs {\n default_interface eth1\n}\nstatic_ipaddress {\n 10.8.0.1/24\n}\n"
    (address,) = read(text).configuration.vrrp.static_addresses
    assert address.device == "eth1"


@pytest.mark.covers("CFG-28")
def test_persistence_of_no_time_is_none_and_reported() -> None:
    loaded = read(SERVICE % "persistence_timeout 0")
    assert loaded.findings.exit_status() == 5
    assert loaded.configuration.check.services[0].services[0].timeout_s == 0


@pytest.mark.covers("VRP-43")
def test_limits_of_a_peer_s_ttl_ask_for_its_address_too() -> None:
    peers = "unicast_src_ip 10.0.0.9\n unicast_peer {\n 10.0.0.2%s\n }"
    for limit, expected in (("", False), (" min_ttl 254", True), (" max_ttl 255", True)):
        (made,) = read(INSTANCE % (peers % limit)).configuration.vrrp.instances
        assert made.check_unicast_src is expected


@pytest.mark.covers("VRP-42", "VRP-45")
def test_strict_instance_waits_for_three_adverts_whatever_global_defs_say() -> None:
    loaded = read("global_defs {\n vrrp_strict\n vrrp_down_timer_adverts 5\n}\n" + INSTANCE % "")
    assert loaded.configuration.vrrp.instances[0].down_timer_adverts == 3


@pytest.mark.covers("VRP-47")
def test_addresses_above_255_are_set_but_not_advertised() -> None:
    lines = "".join(f" 10.4.{n >> 8}.{n & 255}\n" for n in range(300))
    (made,) = read(
        f"vrrp_instance V {{\n interface eth0\n virtual_router_id 3\n"
        f" virtual_ipaddress {{\n{lines} }}\n}}\n"
    ).configuration.vrrp.instances
    assert (len(made.addresses), len(made.excluded)) == (255, 45)


@pytest.mark.covers("VRP-52")
def test_delay_up_is_the_one_down_unless_said() -> None:
    text = "interface_up_down_delays {\n eth0 2 3\n eth1 4\n}\n"
    first, second = read(text).configuration.vrrp.up_down_delays
    assert (first.down_us, first.up_us) == (2_000_000, 3_000_000)
    assert (second.down_us, second.up_us) == (4_000_000, 4_000_000)


@pytest.mark.covers("VRP-39")
def test_five_octets_of_a_mac_get_the_router_id_as_the_sixth() -> None:
    (made,) = read(INSTANCE % "use_vmac vr3 02:00:5e:00:01").configuration.vrrp.instances
    assert made.vmac is not None
    assert made.vmac.mac == bytes((2, 0, 0x5E, 0, 1, 3))


@pytest.mark.covers("VRP-30")
def test_process_quorum_above_its_maximum_is_no_tracker() -> None:
    text = "vrrp_track_process P {\n process a\n quorum 3\n quorum_max %d\n}\n"
    assert read(text % 2).configuration.vrrp.processes == ()
    assert len(read(text % 3).configuration.vrrp.processes) == 1
