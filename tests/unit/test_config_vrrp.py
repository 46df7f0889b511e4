"""VRRP's blocks of keepalived.conf: what is in force, and what is complained about."""

from __future__ import annotations

import socket

import pytest

from lbfast.model.netlines import Address, Prefix
from lbfast.model.vrrp import AuthType, VrrpInstance
from tests.unit.config_host import MemoryHost, complaints, read


def text(*lines: str, name: str = "V", vrid: int = 3, addresses: str = "10.0.0.1") -> str:
    inner = "\n".join(lines)
    return (
        f"vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n"
        f" virtual_ipaddress {{\n {addresses}\n }}\n{inner}\n}}\n"
    )


def instance(*lines: str, before: str = "", addresses: str = "10.0.0.1") -> VrrpInstance:
    loaded = read(before + text(*lines, addresses=addresses))
    return loaded.configuration.vrrp.instances[0]


def address(line: str) -> Address:
    return instance(addresses=line).addresses[0]


def packed(word: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in word else socket.AF_INET, word)


@pytest.mark.covers("CFG-07")
@pytest.mark.parametrize("word", ["300", "0", "10x", "-1"])
def test_priority_out_of_range_is_the_default_with_a_message(word: str) -> None:
    loaded = read(text(f"priority {word}"))
    assert loaded.configuration.vrrp.instances[0].priority == 100
    assert complaints(loaded)
    assert loaded.findings.exit_status() == 5
    assert not loaded.findings.is_refused


@pytest.mark.covers("CFG-08")
@pytest.mark.parametrize(
    "missing", ["interface eth0", "virtual_router_id 3"], ids=["interface", "vrid"]
)
def test_instance_without_identity_is_refused(missing: str) -> None:
    loaded = read(text().replace(missing, ""))
    assert loaded.findings.is_refused
    assert loaded.findings.exit_status() == 5


def test_absent_interface_is_refused_unless_interfaces_may_come_and_go() -> None:
    given = text().replace("eth0", "eth9")
    assert read(given).findings.is_refused
    assert not read("global_defs {\n dynamic_interfaces\n}\n" + given).findings.is_refused


@pytest.mark.covers("CFG-09")
def test_same_vrid_on_an_interface_is_refused_but_not_on_another() -> None:
    second = text(name="W", addresses="10.0.0.2")
    assert read(text() + second).findings.is_refused
    assert not read(text() + second.replace("eth0", "eth1")).findings.is_refused


@pytest.mark.covers("CFG-10")
def test_second_instance_of_a_name_is_left_out() -> None:
    loaded = read(text("priority 7") + text(vrid=4, addresses="10.0.0.2"))
    (only,) = loaded.configuration.vrrp.instances
    assert (only.vrid, only.priority) == (3, 7)
    assert any("again" in line for line in complaints(loaded))


@pytest.mark.covers("CFG-14")
def test_state_master_without_priority_owns_the_address() -> None:
    assert instance("state MASTER").priority == 255
    assert instance("priority 255").wants_master
    assert not instance("priority 254").wants_master


@pytest.mark.covers("CFG-15", "CFG-16")
@pytest.mark.parametrize(
    ("lines", "nopreempt", "delay_us"),
    [
        pytest.param(["nopreempt"], True, 0, id="kept with BACKUP"),
        pytest.param(["state MASTER", "priority 9", "nopreempt"], False, 0, id="not with MASTER"),
        pytest.param(["priority 255", "nopreempt"], False, 0, id="not for the owner"),
        pytest.param(["preempt_delay 2.5"], False, 2_500_000, id="a delay"),
        pytest.param(["nopreempt", "preempt_delay 2"], True, 0, id="no delay beside it"),
        pytest.param(["state MASTER", "priority 9", "preempt_delay 2"], False, 0, id="nor MASTER"),
    ],
)
def test_preemption_is_made_consistent(lines: list[str], nopreempt: bool, delay_us: int) -> None:
    found = instance(*lines)
    assert (found.nopreempt, found.preempt_delay_us) == (nopreempt, delay_us)


@pytest.mark.covers("CFG-17")
@pytest.mark.parametrize(
    ("version", "word", "expected_us"),
    [(2, "1.5", 2_000_000), (2, "0.2", 1_000_000), (2, "3", 3_000_000), (3, "1.5", 1_500_000),
     (3, "0.015", 20_000), (3, "50", 40_950_000)],
)  # fmt: skip
def test_interval_is_whole_seconds_in_version_2_only(
    version: int, word: str, expected_us: int
) -> None:
    assert instance(f"version {version}", f"advert_int {word}").advert_us == expected_us


@pytest.mark.covers("CFG-18")
def test_password_is_cut_to_eight_characters() -> None:
    lines = "authentication {\n auth_type PASS\n auth_pass 0123456789\n }"
    loaded = read(text(lines))
    found = loaded.configuration.vrrp.instances[0]
    assert (found.auth_type, found.auth_pass) == (AuthType.PASS, b"01234567")
    assert complaints(loaded)


def test_authentication_is_left_out_of_version_3() -> None:
    lines = "version 3\n authentication {\n auth_type PASS\n auth_pass x\n }"
    assert instance(lines).auth_type is AuthType.NONE


@pytest.mark.covers("CFG-19")
def test_address_of_the_other_family_is_left_out_but_may_be_excluded() -> None:
    extra = "virtual_ipaddress_excluded {\n fe80::9\n }"
    loaded = read(text(extra, addresses="10.0.0.1\n fe80::1"))
    (found,) = loaded.configuration.vrrp.instances
    assert [a.addr for a in found.addresses] == [packed("10.0.0.1")]
    assert [a.addr for a in found.excluded] == [packed("fe80::9")]
    assert any("two families" in line for line in complaints(loaded))


@pytest.mark.covers("CFG-20", "CFG-22")
@pytest.mark.parametrize(
    ("line", "length"), [("10.0.0.1", 32), ("10.0.0.1/24", 24), ("fe80::1", 128)]
)
def test_address_without_mask_is_a_host(line: str, length: int) -> None:
    found = address(line)
    assert found.prefixlen == length
    assert found.nodad
    assert found.preferred_lft_s is None


@pytest.mark.covers("CFG-21")
def test_address_words_reach_the_model() -> None:
    found = address("10.0.0.1/24 brd + dev eth1 scope link label eth1:x no_track")
    assert found.broadcast == packed("10.0.0.255")
    assert (found.device, found.scope, found.label, found.track) == ("eth1", 253, "eth1:x", False)
    assert address("10.0.0.1/24 brd -").broadcast == packed("10.0.0.0")
    assert address("10.0.0.1 peer 10.0.9.9/30").peer == Prefix(packed("10.0.9.9"), 30)


@pytest.mark.covers("CFG-23")
def test_route_words_reach_the_model() -> None:
    lines = (
        "virtual_routes {\n"
        " 10.1.0.0/16 via 10.0.0.9 dev eth0 src 10.0.0.1 table 7 metric 5\n"
        " blackhole 10.2.0.0/16 no_track\n"
        " default nexthop via 10.0.0.8 dev eth0 weight 2 nexthop via 10.0.0.7 dev eth1 no_track\n}"
    )
    loaded = read(text(lines))
    assert not complaints(loaded)
    plain, hole, several = loaded.configuration.vrrp.instances[0].routes
    assert (plain.dst, plain.via) == (Prefix(packed("10.1.0.0"), 16), packed("10.0.0.9"))
    assert (plain.src, plain.table, plain.metric) == (packed("10.0.0.1"), 7, 5)
    assert (hole.type, hole.track) == ("blackhole", False)
    assert [(hop.via[3], hop.weight) for hop in several.nexthops] == [(8, 2), (7, 1)]


@pytest.mark.covers("CFG-24")
def test_rules_without_preference_count_down() -> None:
    lines = (
        "virtual_rules {\n from 10.1.0.0/16 table 7 preference 99\n from 10.2.0.0/16 table 7\n"
        " to 10.3.0.0/16 lookup 8 iif eth1\n}"
    )
    found = instance(lines).rules
    assert [rule.priority for rule in found] == [99, 16384, 16383]
    assert found[2].to == Prefix(packed("10.3.0.0"), 16)
    assert (found[2].table, found[2].iif) == (8, "eth1")


def test_static_address_without_device_is_the_default_interfaces() -> None:
    loaded = read("static_ipaddress {\n 10.0.0.1/24\n 10.0.1.1/24 dev eth1\n}\n")
    found = loaded.configuration.vrrp.static_addresses
    assert [a.device for a in found] == ["eth0", "eth1"]


@pytest.mark.covers("CFG-42")
@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param("/bin/true", 6, id="runs as root"),
        pytest.param("/nowhere/x", 5, id="is not there"),
        pytest.param("nothing", 5, id="is not in the path"),
    ],
)
def test_missing_script_is_disabled_and_the_rest_runs(script: str, status: int) -> None:
    block = f"vrrp_script chk {{\n script {script}\n}}\n"
    loaded = read(block + text("track_script {\n chk\n }"))
    assert loaded.findings.exit_status() == status
    assert not loaded.findings.is_refused
    assert len(loaded.configuration.vrrp.scripts) == (status == 6)
    assert len(loaded.configuration.vrrp.instances[0].tracking.scripts) == (status == 6)


@pytest.mark.covers("CFG-43")
def test_insecure_script_is_disabled_only_with_script_security() -> None:
    host = MemoryHost(insecure=frozenset(("/bin/true",)))
    block = "vrrp_script chk {\n script /bin/true\n user root\n}\n"
    assert len(read(block + text(), host).configuration.vrrp.scripts) == 1
    secure = "global_defs {\n enable_script_security\n}\n"
    assert len(read(secure + block + text(), host).configuration.vrrp.scripts) == 0
    assert len(read(secure + block + text()).configuration.vrrp.scripts) == 1


def test_weight_of_a_track_line_goes_before_that_of_the_script() -> None:
    block = "vrrp_script chk {\n script /bin/true\n weight -5\n}\n"
    plain = instance("track_script {\n chk\n }", before=block)
    given = instance("track_script {\n chk weight 7 reverse\n }", before=block)
    assert [(t.weight, t.reverse) for t in plain.tracking.scripts] == [(-5, False)]
    assert [(t.weight, t.reverse) for t in given.tracking.scripts] == [(7, True)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [("", (-5, True)), ("weight 7", (7, True)), ("weight 7 noreverse", (7, False))],
)
def test_reverse_of_a_script_holds_unless_the_line_says_otherwise(
    line: str, expected: tuple[int, bool]
) -> None:
    block = "vrrp_script chk {\n script /bin/true\n weight -5 reverse\n}\n"
    (track,) = instance(f"track_script {{\n chk {line}\n }}", before=block).tracking.scripts
    assert (track.weight, track.reverse) == expected


def test_members_of_a_sync_group_have_no_weights() -> None:
    lines = "track_interface {\n eth1 weight 9\n }"
    group = "vrrp_sync_group G {\n group {\n V\n W\n nobody\n }\n%s\n}\n"
    both = text(lines) + text(name="W", vrid=4, addresses="10.0.0.2")
    loaded = read(group % "" + both)
    assert loaded.configuration.vrrp.sync_groups[0].members == ("V", "W")
    assert loaded.configuration.vrrp.instances[0].tracking.interfaces[0].weight == 0
    weighted = read(group % "sync_group_tracking_weight" + both)
    assert weighted.configuration.vrrp.instances[0].tracking.interfaces[0].weight == 9


def test_instance_takes_the_defaults_of_global_defs() -> None:
    before = (
        "global_defs {\n vrrp_version 3\n vrrp_garp_master_repeat 2\n vrrp_garp_master_delay 9\n"
        " vrrp_down_timer_adverts 5\n vrrp_mcast_group4 224.0.0.99\n}\n"
    )
    found = instance(before=before)
    assert found.version == 3
    assert (found.garp.master_repeat, found.garp.lower_prio_repeat) == (2, 2)
    assert found.garp.master_delay_us == 9_000_000
    assert found.down_timer_adverts == 5
    assert found.group == packed("224.0.0.99")
    own = instance("garp_master_repeat 4", before=before).garp
    assert (own.master_repeat, own.lower_prio_repeat) == (4, 2)


@pytest.mark.covers("VRP-42")
@pytest.mark.parametrize(
    ("line", "field", "expected"),
    [
        ("preempt_delay 3", "preempt_delay_us", 0),
        ("down_timer_adverts 5", "down_timer_adverts", 3),
        ("higher_prio_send_advert", "higher_prio_send_advert", False),
        ("lower_prio_no_advert off", "lower_prio_no_advert", True),
        ("accept", "accept", False),
        ("state MASTER\n priority 9", "wants_master", False),
        ("priority 255\n state BACKUP", "wants_master", True),
        ("authentication {\n auth_type PASS\n auth_pass x\n }", "auth_type", AuthType.NONE),
    ],
)
def test_strict_mode_resets_a_word_with_a_message(line: str, field: str, expected: object) -> None:
    loaded = read("global_defs {\n vrrp_strict\n}\n" + text(line))
    assert getattr(loaded.configuration.vrrp.instances[0], field) == expected
    assert len(complaints(loaded)) == 1
    assert loaded.findings.exit_status() == 5


@pytest.mark.covers("VRP-42")
def test_strict_mode_takes_virtual_macs_as_they_come_and_no_second_garps() -> None:
    before = "global_defs {\n vrrp_strict\n}\n"
    found = instance("use_vmac v3 00:01:02:03:04\n vmac_xmit_base", before=before)
    assert (found.vmac.name, found.vmac.mac, found.vmac.xmit_base) == ("v3", b"", False)
    garp = instance("garp_lower_prio_repeat 3", before=before).garp
    assert (garp.lower_prio_repeat, garp.lower_prio_delay_us) == (0, 0)


@pytest.mark.covers("VRP-42")
def test_strict_mode_wants_an_address_and_a_link_local_one_first() -> None:
    before = "global_defs {\n vrrp_strict\n}\n"
    assert read(before + text(addresses="")).findings.is_refused
    assert not read(text(addresses="")).findings.is_refused
    loaded = read(before + text(addresses="2001:db8::1"))
    assert any("not link-local" in line for line in complaints(loaded))
    assert not complaints(read(before + text(addresses="fe80::1\n 2001:db8::1")))


def test_strict_mode_resets_what_the_rfc_forbids() -> None:
    before = "global_defs {\n vrrp_strict\n}\n"
    found = instance("state MASTER", "priority 9", "down_timer_adverts 5", before=before)
    assert (found.wants_master, found.down_timer_adverts, found.accept) == (False, 3, False)
    assert found.lower_prio_no_advert
