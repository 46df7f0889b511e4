"""What happens on errors: reading goes on wherever keepalived's does (spec 1.10)."""

from __future__ import annotations

import pytest

from tests.unit.config_host import MAIN, MemoryHost, complaints, read

INSTANCE = (
    "vrrp_instance V {\n interface eth0\n virtual_router_id 3\n"
    " virtual_ipaddress {\n 10.0.0.1\n }\n%s\n}\n"
)


@pytest.mark.covers("CFG-01")
def test_unknown_keyword_is_named_with_file_and_line_and_reading_goes_on() -> None:
    loaded = read(INSTANCE % " foo bar\n priority 7")
    assert complaints(loaded) == [f"{MAIN}:7: unknown keyword 'foo', ignored"]
    assert loaded.configuration.vrrp.instances[0].priority == 7


@pytest.mark.covers("CFG-02")
def test_unknown_block_is_skipped_as_a_whole() -> None:
    loaded = read(INSTANCE % " foo {\n priority 1\n bar {\n x\n }\n }\n priority 7")
    assert len(complaints(loaded)) == 1
    assert loaded.configuration.vrrp.instances[0].priority == 7


@pytest.mark.covers("CFG-05")
def test_missing_closing_brace_is_counted_and_everything_is_used() -> None:
    loaded = read((INSTANCE % "").rstrip()[:-1])
    assert any("1 '}' missing" in line for line in complaints(loaded))
    assert len(loaded.configuration.vrrp.instances) == 1
    assert loaded.findings.exit_status() == 5


def test_surplus_closing_brace_is_reported_and_ignored() -> None:
    loaded = read("}\n" + INSTANCE % "")
    assert any("too many" in line for line in complaints(loaded))
    assert len(loaded.configuration.vrrp.instances) == 1


@pytest.mark.covers("CFG-06")
def test_missing_argument_ends_the_reading() -> None:
    loaded = read(INSTANCE % "advert_int")
    assert loaded.findings.exit_status() == 2
    assert loaded.findings.is_refused
    assert not loaded.configuration.vrrp.instances


def test_missing_file_is_refused() -> None:
    from lbfast.config.load import load

    loaded = load("/nowhere", MemoryHost())
    assert loaded.findings.is_refused
    assert loaded.findings.exit_status() == 5


def test_words_without_effect_are_noted_once_and_change_no_status() -> None:
    loaded = read("global_defs {\n enable_traps\n enable_traps\n snmp_socket x\n}\n")
    notes = [str(finding) for finding in loaded.findings]
    assert len(notes) == 2
    assert "enable_traps has no effect here, there is no SNMP agent" in notes[0]
    assert loaded.findings.exit_status() == 0


@pytest.mark.covers("CFG-13")
def test_configuration_of_the_package_starts() -> None:
    text = (
        "global_defs {\n vrrp_skip_check_adv_addr\n vrrp_strict\n vrrp_garp_interval 0\n"
        " vrrp_gna_interval 0\n}\n"
    )
    auth = "state MASTER\n priority 100\n authentication {\n auth_type PASS\n auth_pass 1111\n }"
    loaded = read(text + INSTANCE % auth)
    assert loaded.findings.exit_status() == 5
    assert not loaded.findings.is_refused
    settings = loaded.configuration.vrrp.settings
    assert (settings.garp_interval_us, settings.gna_interval_us) == (0, 0)


def test_security_status_goes_before_errors_but_not_before_an_absent_interface() -> None:
    script = "notify /bin/true"
    assert read(INSTANCE % script).findings.exit_status() == 6
    assert read(INSTANCE % f"{script}\n foo").findings.exit_status() == 6
    absent = (INSTANCE % script).replace("eth0", "eth9")
    assert read(absent).findings.exit_status() == 5
