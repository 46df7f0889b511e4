"""Findings say what is wrong and what was expected, with keepalived's status.

Every status was measured with `keepalived -t` of 2.2.7 on the same text.
"""

from __future__ import annotations

import pytest

from lbfast.config.findings import Finding, Place, Severity
from lbfast.config.load import Loaded
from lbfast.model.check import DnsCheck
from tests.unit.config_host import MAIN, MemoryHost, complaints, read

DIRECTORY = MAIN.rpartition("/")[0]
INSTANCE = (
    "vrrp_instance V {\n interface eth0\n virtual_router_id 3\n"
    " virtual_ipaddress {\n 10.0.0.1\n }\n%s\n}\n"
)
DNS = (
    "virtual_server 10.1.1.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n"
    " real_server 10.2.2.2 80 {\n DNS_CHECK {\n name %s\n }\n }\n}\n"
)


def sentences(loaded: Loaded) -> list[str]:
    return [str(finding) for finding in loaded.findings]


# ---- files that include themselves


@pytest.mark.covers("LEX-14")
@pytest.mark.parametrize(("keyword", "expected"), [("include", 0), ("includer", 6)])
def test_file_that_includes_itself_is_named_with_its_line(keyword: str, expected: int) -> None:
    host = MemoryHost({f"{DIRECTORY}/loop.inc": f"\n{keyword} loop.inc\n"})
    loaded = read("include loop.inc\n" + INSTANCE % "", host)
    assert loaded.findings.exit_status() == expected
    (found,) = sentences(loaded)
    assert "loop.inc:2: " in found
    assert "the file includes itself, expected an end to it" in found
    assert len(loaded.configuration.vrrp.instances) == 1


def test_files_that_include_each_other_twice_come_to_an_end() -> None:
    host = MemoryHost({
        f"{DIRECTORY}/a.inc": "include b.inc\n" * 2,
        f"{DIRECTORY}/b.inc": "include a.inc\n" * 2,
    })  # fmt: skip
    loaded = read("include a.inc\n" + INSTANCE % "", host)
    assert loaded.findings.exit_status() == 0
    assert len(loaded.configuration.vrrp.instances) == 1


def test_main_file_that_includes_itself_has_everything_twice() -> None:
    loaded = read(INSTANCE % "" + "include keepalived.conf\n")
    assert loaded.findings.exit_status() == 5
    assert f"{MAIN}:1: vrrp_instance V again, the first one holds" in complaints(loaded)


def test_includes_that_are_too_deep_are_named_with_their_line() -> None:
    files = {f"{DIRECTORY}/{n}.inc": f"\ninclude {n + 1}.inc\n" for n in range(70)}
    loaded = read("include 0.inc\n", MemoryHost(files))
    assert complaints(loaded) == [
        f"{DIRECTORY}/62.inc:2: {DIRECTORY}/63.inc: included too deep, at most 64 levels; not read"
    ]


# ---- bytes


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        (b"\xef\xbb\xbf", "a byte order mark"),
        (b"\xff\xfe", "a byte order mark of UTF-16"),
        (b"\xfe\xff", "a byte order mark of UTF-16"),
    ],
)
def test_byte_order_mark_is_called_so(mark: bytes, name: str) -> None:
    text = mark.decode("utf-8", "surrogateescape")
    loaded = read(text + INSTANCE % "")
    assert complaints(loaded) == [
        f"{MAIN}:1: {name} before 'vrrp_instance', "
        "expected a file in UTF-8 without one; ignored with its block"
    ]
    assert loaded.findings.exit_status() == 5
    alone = read(text + "# a comment\n" + INSTANCE % "")
    assert complaints(alone) == [
        f"{MAIN}:1: {name} before the line, expected a file in UTF-8 without one; ignored"
    ]
    assert len(alone.configuration.vrrp.instances) == 1


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("keyword '\\udcb7'", r"keyword '\xb7'"),
        ("keyword \udcb7", r"keyword \xb7"),
        ("keyword ö", "keyword ö"),
        (r"keyword '\\udcb7'", r"keyword '\\udcb7'"),
    ],
)
def test_byte_that_is_no_utf8_is_written_as_a_byte(found: str, shown: str) -> None:
    finding = Finding(Severity.ERROR, Place("f", 1), found, "ignored")
    assert str(finding) == f"f:1: {shown}, ignored"


# ---- names of DNS_CHECK

LONG = ".".join(["a" * 63] * 3)


@pytest.mark.parametrize(
    ("name", "expected", "used", "said"),
    [
        pytest.param("www.example.com.", 0, "www.example.com.", "", id="a name"),
        pytest.param(".", 0, ".", "", id="the root"),
        pytest.param("a" * 63 + ".b", 0, "a" * 63 + ".b", "", id="the longest label"),
        pytest.param(LONG + "." + "b" * 61, 0, LONG + "." + "b" * 61, "", id="the longest name"),
        pytest.param("a" * 300, 0, None,
                     "a label of 300 bytes, expected at most 63, no query can carry it; . is used",
                     id="too long a label"),
        pytest.param(LONG + "." + "b" * 62, 0, None,
                     "254 bytes, expected at most 253, no query can carry it; . is used",
                     id="too long a name"),
        pytest.param("ab..cd", 5, None, "expected a domain name", id="an empty label"),
        pytest.param("a.bc", 5, "a.bc", "one character", id="what keepalived takes for one"),
    ],
)  # fmt: skip
def test_name_to_ask_for_has_keepalived_s_status(
    name: str, expected: int, used: str | None, said: str
) -> None:
    loaded = read(DNS % name)
    assert loaded.findings.exit_status() == expected
    (check,) = loaded.configuration.check.services[0].servers[0].checkers
    assert isinstance(check, DnsCheck)
    assert check.name == (used or ".")
    found = sentences(loaded)
    assert len(found) == bool(said)
    assert all(said in one for one in found)


# ---- an argument that is missing


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("priority", "expected a number from 1 to 255"),
        ("advert_int", "expected a number from 0.01 to 255"),
        ("interface", "expected it"),
    ],
)
def test_missing_argument_is_described_where_the_grammar_knows_it(
    line: str, expected: str
) -> None:
    loaded = read(INSTANCE % f" {line}")
    assert complaints(loaded) == [
        f"{MAIN}:7: {line!r} lacks word 2, {expected}; reading ends here"
    ]
    assert loaded.findings.exit_status() == 2
