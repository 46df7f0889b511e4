"""Where keepalived 2.2 reads a file otherwise than we do: its status, and our own reading.

Every status was measured with `keepalived -t` of 2.2.7 on the same text.
"""

from __future__ import annotations

import pytest

from lbfast.config.findings import Severity
from lbfast.config.load import Loaded
from lbfast.config.preprocess import OURS
from tests.unit.config_host import MAIN, MemoryHost, read

SERVICE = """
virtual_server 10.1.1.1 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    %s
    real_server 10.2.2.2 80 {
    }
}
"""
INSTANCE = """
vrrp_instance V {
    interface eth0
    virtual_router_id 3
    virtual_ipaddress {
        10.0.0.1/24
    }
    %s
}
"""
DIRECTORY = MAIN.rpartition("/")[0]


def status(text: str, host: MemoryHost | None = None) -> int:
    return read(text, host).findings.exit_status()


def notes(loaded: Loaded) -> list[str]:
    return [str(finding) for finding in loaded.findings if finding.severity is Severity.NOTE]


@pytest.mark.covers("CFG-02")
def test_unknown_block_is_skipped_but_judged_as_keepalived_reads_it() -> None:
    loaded = read(INSTANCE % "foo {\n priority\n }\n priority 7")
    assert loaded.configuration.vrrp.instances[0].priority == 7
    assert loaded.findings.exit_status() == 2  # it misses the argument of an inner `priority`
    assert not loaded.findings.is_refused
    assert notes(loaded) == [
        f"{MAIN}:8: it reads on in a block that it does not expect, "
        "so the status of keepalived's check is 2"
    ]


def test_each_of_keepalived_s_processes_reads_its_own_blocks() -> None:
    # with global_defs left open, only the parent sees what is behind it
    open_globals = "global_defs {\n enable_script_security\n"
    assert status(open_globals + INSTANCE % "" + SERVICE % "hysteresis") == 5
    # the checkers' process passes over the instance, whatever it lacks
    assert status(INSTANCE % "foo {" + SERVICE % "quorum") == 5
    assert status(SERVICE % "quorum") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("local_address_group G {\n10.0.0.1\n}\n", 5, id="our block"),
        pytest.param("mark 1 -p tcp --dport 80\n", 5, id="our word"),
        pytest.param("@lbfast mark 1 -p tcp --dport 80\n", 0, id="our word, passed over"),
        pytest.param("global_defs {\n json_version 2\n}\n", 5, id="a newer word"),
        pytest.param(INSTANCE % "auth_hmac {\n}", 5, id="a newer block"),
        pytest.param("global_defs {\n vrrp_version 2\n}\n", 0, id="a word that it knows"),
        pytest.param(SERVICE % "@lbfast lb_kind FNAT\n@lbfast local_address 10.0.0.9", 0,
                     id="our value, passed over"),
        pytest.param(SERVICE % "lb_kind FNAT\n@lbfast local_address 10.0.0.9", 5,
                     id="our value"),
    ],
)  # fmt: skip
def test_word_that_keepalived_does_not_know_works_and_costs_its_status(
    text: str, expected: int
) -> None:
    loaded = read(text)
    assert loaded.findings.exit_status() == expected
    assert loaded.findings.worst is Severity.NOTE or expected == 0


@pytest.mark.covers("LEX-01")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("virtualhost x", 0, id="nothing to say"),
        pytest.param(r"virtualhost \#x", 5, id="a backslash before a comment"),
        pytest.param("virtualhost ${_HASH}x", 5, id="the hash by its name"),
        pytest.param("virtualhost ${_ENV HOME}", 5, id="a variable of the environment"),
        pytest.param("virtualhost x " + "x" * 1024, 5, id="a line longer than its buffer"),
        pytest.param("retry 1" + " " * 2000, 0, id="a long line of blanks"),
        pytest.param("retry 1\0x", 0, id="a NUL ends the line"),
        pytest.param("retry 1 \\", 5, id="a last backslash is of the word before it"),
        pytest.param("\u00a0retry 1", 5, id="only ASCII has blanks"),
        pytest.param("connect_timeout +1", 0, id="a sign"),
        pytest.param("$_A=2\nretry ${_A}", 0, id="a name with an underscore"),
        pytest.param("retry $_RANDOM", 0, id="a random number without braces"),
        pytest.param("$A=\\\n retry 1 \\\n quorum 1\n$A", 0, id="several lines"),
        pytest.param("$A=\\\n retry 1 \\\n quorum 1\n$A x", 5, id="with words behind them"),
        pytest.param("$A=foo\\\nbar\nretry 1", 0, id="a definition that begins at once"),
        pytest.param("~LST(i) retry 1", 5, id="a list without values"),
        pytest.param("~LST({i,j},{1},{3,4}) retry $i", 0, id="a short tuple"),
        pytest.param("~LST(i,1 2) retry 1", 5, id="a blank inside a value"),
        pytest.param("~LST({i,j},{1,2) retry 1", 5, id="a brace that is not closed"),
        pytest.param("~SEQ(,2) retry 1", 5, id="a sequence without a name"),
    ],
)
def test_line_has_keepalived_s_status(line: str, expected: int) -> None:
    assert status(SERVICE % line) == expected


def test_line_of_any_length_is_read_whole() -> None:
    loaded = read(SERVICE % ("virtualhost " + "x" * 3000))
    assert loaded.configuration.check.services[0].virtualhost == "x" * 3000


@pytest.mark.covers("LEX-14", "LEX-15")
@pytest.mark.parametrize(
    ("line", "router_id"),
    [
        pytest.param("include more.conf", "A", id="a name"),
        pytest.param("$D=more\ninclude ${D}.conf", "A", id="a parameter in it"),
        pytest.param("include ${_PWD}/more.conf", "A", id="the file's own directory"),
        pytest.param("$I=include more.conf\n$I", "A", id="a parameter that is one"),
        pytest.param("@^x include more.conf", "A", id="a condition before it"),
        pytest.param("@x include more.conf", "", id="a condition that does not hold"),
        pytest.param('include "more.conf"', "", id="quotes are of the name"),
        pytest.param("include more.conf x", "", id="all of the line is the name"),
    ],
)
def test_include_is_seen_after_conditions_and_parameters(line: str, router_id: str) -> None:
    host = MemoryHost({f"{DIRECTORY}/more.conf": "global_defs {\n router_id A\n}\n"})
    assert read(line + "\n", host).configuration.vrrp.settings.router_id == router_id


def test_mail_server_without_an_address_is_reported() -> None:
    text = "global_defs {\n smtp_server mail.example\n}\n"
    host = MemoryHost(unknown_hosts=frozenset(("mail.example",)))
    assert status(text) == 0
    assert status(text, host) == 5
    assert read(text, host).configuration.check.settings.mail.server == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("net_namespace n\n" + INSTANCE % "foo", 0, id="nobody looks at the rest"),
        pytest.param("net_namespace n\nglobal_defs {\n vrrp_version\n}\n", 2, id="but for this"),
        pytest.param("net_namespace n\nincludea /x\n", 6, id="and this"),
    ],
)
def test_namespace_that_is_absent_is_refused_though_keepalived_s_check_is_silent(
    text: str, expected: int
) -> None:
    loaded = read(text)
    assert loaded.findings.exit_status() == expected
    assert loaded.findings.is_refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("track_file F {\n file /x\n}\n" * 2, 0, id="a file tracked twice"),
        pytest.param("vrrp_track_process P {\n process a\n}\n" * 2, 0, id="a process"),
        pytest.param("SSL {\n}\n" * 2, 5, id="two SSL blocks"),
        pytest.param("garp_group {\n interface eth0\n garp_interval 1\n}\n" * 2, 5,
                     id="an interface of two groups"),
        pytest.param("garp_group {\n garp_interval 1\n}\n", 0, id="a group of no interface"),
        pytest.param(SERVICE.replace("10.1.1.1 80", "group G") % "", 0, id="an unknown group"),
        pytest.param("vrrp_script S {\n interval 1\n}\n", 5, id="a script that nobody uses"),
        pytest.param("global_defs\n", 0, id="a block that the end of the file lacks"),
        pytest.param("virtual_server_group G\n10.0.0.1 80\n}\n", 2, id="a group without brace"),
    ],
)  # fmt: skip
def test_blocks_together_have_keepalived_s_status(text: str, expected: int) -> None:
    assert status(text) == expected


@pytest.mark.covers("CFG-23")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("table -1", 0, id="a table as C reads it"),
        pytest.param("table 010", 0, id="octal"),
        pytest.param("metric 0x10", 5, id="a metric is decimal"),
        pytest.param("metric 010", 0, id="with zeros before it"),
        pytest.param("realms 70000", 5, id="realms of 16 bits"),
        pytest.param("protocol static", 5, id="a protocol that cannot be tracked"),
        pytest.param("protocol static no_track", 0, id="and need not be"),
        pytest.param("expires 0x10", 5, id="expires is of IPv6"),
    ],
)
def test_route_has_keepalived_s_status(words: str, expected: int) -> None:
    text = f"virtual_routes {{\n 10.3.0.0/16 via 10.0.0.254 dev eth0 {words}\n }}"
    assert status(INSTANCE % text) == expected


@pytest.mark.parametrize(("word", "expected"), [("", 5), ("no_track", 0)])
def test_route_of_several_hops_cannot_be_tracked(word: str, expected: int) -> None:
    line = f"10.3.0.0/16 nexthop via 10.0.0.254 dev eth0 nexthop via 10.0.0.253 dev eth0 {word}"
    assert status(INSTANCE % f"virtual_routes {{\n {line}\n }}") == expected


def test_word_of_a_route_without_effect_is_said() -> None:
    text = "virtual_routes {\n 10.3.0.0/16 dev eth0 congctl reno pref high\n }"
    loaded = read(INSTANCE % text)
    assert notes(loaded) == [
        f"{MAIN}:9: {word} of a route has no effect here, the route is set without it"
        for word in ("congctl", "pref")
    ]
    assert loaded.findings.exit_status() == 0


def test_own_condition_is_true_for_us_alone() -> None:
    text = f"global_defs {{\n @{OURS} router_id A\n @^{OURS} router_id B\n}}\n"
    assert read(text).configuration.vrrp.settings.router_id == "A"


@pytest.mark.parametrize("word", ["interval", "timeout"])
@pytest.mark.parametrize(
    ("value", "seconds", "expected"),
    [
        pytest.param("1", 1.0, 0, id="one"),
        pytest.param("+1", 1.0, 0, id="a sign"),
        pytest.param("4294", 4294.0, 0, id="the most"),
        pytest.param("0.5", 0.5, 5, id="a half"),
        pytest.param("1.5", 1.5, 5, id="one and a half"),
        pytest.param("5.0", 5.0, 5, id="a whole number with decimals"),
        pytest.param("0", 1.0, 5, id="none"),
        pytest.param("-1", None, 5, id="less than none"),
        pytest.param("4295", None, 5, id="too much"),
        pytest.param("1000001", None, 5, id="far too much"),
    ],
)
def test_period_of_a_script_may_have_decimals_at_the_cost_of_the_status(
    word: str, value: str, seconds: float | None, expected: int
) -> None:
    security = "global_defs {\n enable_script_security\n script_user root\n}\n"
    script = f"vrrp_script S {{\n script /bin/true\n {word} {value}\n}}\n"
    loaded = read(security + script + INSTANCE % "track_script {\n S\n }")
    assert loaded.findings.exit_status() == expected
    assert bool(notes(loaded)) == ("." in value)
    if seconds is not None:
        assert getattr(loaded.configuration.vrrp.scripts[0], f"{word}_us") == seconds * 1_000_000
