"""IPv4 or IPv6: what ip_family, addresses and servers of one virtual_server say together.

Every status was measured with `keepalived -t` of 2.2.7 on the same text.
"""

from __future__ import annotations

import pytest

from lbfast.config.findings import Severity
from lbfast.model import AF_INET, AF_INET6
from tests.unit.config_host import MAIN, complaints, read

WORDS = {
    "nat": "lb_kind NAT",
    "tun": "lb_kind TUN",
    "inet": "ip_family inet",
    "inet6": "ip_family inet6",
    "dr": "lb_kind DR",
    "port4": "real_server 10.2.2.2 80 {\n }",
    "rs4": "real_server 10.2.2.2 {\n }",
    "rs6": "real_server fd00::2 {\n }",
    "sorry4": "sorry_server 10.9.9.9",
    "sorry6": "sorry_server fd00::9",
}
FOUR = "10.1.1.1 80 {\n protocol TCP"
SIX = "fd00::1 80 {\n protocol TCP"
MARK = "fwmark 7 {"
GROUP = "group g {\n protocol TCP"
GROUPED = "virtual_server_group g {\n 10.1.1.1 80\n}\n"


def text(head: str, words: str) -> str:
    lines = "\n ".join(WORDS[word] for word in words.split())
    before = GROUPED if head == GROUP else ""
    return f"{before}virtual_server {head}\n lb_algo rr\n {lines}\n}}\n"


def grouped(group: str, words: str) -> str:
    """Return a block over a group whose lines `|` parts."""
    lines = "\n ".join(WORDS[word] for word in words.split())
    before = f"virtual_server_group g {{\n {group}\n}}\n".replace("|", "\n ")
    protocol = " protocol TCP\n" if " 80" in group else ""
    return f"{before}virtual_server group g {{\n{protocol} lb_algo rr\n {lines}\n}}\n"


@pytest.mark.parametrize(
    ("head", "words", "expected"),
    [
        (FOUR, "nat inet rs4", 0),
        (FOUR, "nat inet6 rs4", 5),
        (FOUR, "nat rs4 inet6", 5),
        (FOUR, "tun inet6 rs6", 5),
        (FOUR, "tun inet rs6", 0),
        (SIX, "nat inet6 rs6", 0),
        (SIX, "nat inet rs6", 5),
        (SIX, "tun inet rs4", 5),
        (MARK, "nat inet rs4", 0),
        (MARK, "nat inet6 rs6", 0),
        (MARK, "nat rs6 inet6", 0),
        (MARK, "nat inet inet rs4", 0),
        (MARK, "nat inet6 rs4", 5),
        (MARK, "nat rs4 inet6", 5),
        (MARK, "nat inet rs6", 5),
        (MARK, "nat rs6 inet", 5),
        (MARK, "nat inet inet6 rs4", 5),
        (MARK, "nat rs4 rs6", 5),
        (MARK, "nat sorry4 inet6 rs6", 5),
        (MARK, "nat rs4 sorry6", 5),
        (MARK, "tun inet6 rs4", 0),
        (MARK, "tun rs4 inet6", 0),
        (MARK, "tun rs4 rs6", 0),
        (GROUP, "nat inet6 rs4", 5),
        (GROUP, "nat inet rs4", 0),
        (GROUP, "tun inet6 rs6", 0),
    ],
)
def test_family_has_keepalived_s_status(head: str, words: str, expected: int) -> None:
    assert read(text(head, words)).findings.exit_status() == expected


@pytest.mark.parametrize(
    ("head", "words", "finding"),
    [
        (FOUR, "nat inet6 rs4", "5: ip_family: inet6, but the service is inet already, ignored"),
        (MARK, "nat rs6 inet", "6: ip_family: inet, but the service is inet6 already, ignored"),
    ],
)  # fmt: skip
def test_family_that_contradicts_is_named_and_ignored(head: str, words: str, finding: str) -> None:
    loaded = read(text(head, words))
    assert complaints(loaded) == [f"{MAIN}:{finding}"]
    assert len(loaded.configuration.check.services[0].servers) == 1


def test_servers_of_a_mark_are_of_one_family() -> None:
    loaded = read(text(MARK, "nat inet6 rs4 rs6 sorry4"))
    (service,) = loaded.configuration.check.services
    assert service.services[0].key.af == AF_INET6
    assert [one.server.key.af for one in service.servers] == [AF_INET6]
    assert service.sorry is None
    assert complaints(loaded) == [
        f"{MAIN}:5: virtual_server fwmark 7: real_server 10.2.2.2 is of another family, removed",
        f"{MAIN}:9: virtual_server fwmark 7: sorry_server of another family, removed",
    ]


def test_tunnel_of_a_mark_keeps_the_family_that_is_written() -> None:
    (service,) = read(text(MARK, "tun inet6 rs4")).configuration.check.services
    assert service.services[0].key.af == AF_INET6
    assert [one.server.key.af for one in service.servers] == [AF_INET]


FOUR_SIX = "10.1.1.1 80|fwmark 7 inet6"
MIXED_MARKS = "fwmark 7 inet|fwmark 8 inet6"


@pytest.mark.parametrize(
    ("lines", "words", "expected"),
    [
        (MIXED_MARKS, "nat rs4", 0),
        ("fwmark 7 inet6|fwmark 8", "nat rs4", 0),
        ("fwmark 7 inet6", "nat rs4", 0),
        ("fwmark 7 inet6", "dr port4", 0),  # the port is not looked at any more
        ("fwmark 7 inet6", "nat rs4 rs6", 5),
        ("fwmark 7 inet", "nat inet6 rs6", 0),
        ("fwmark 7 inet", "nat inet6 rs4", 5),
        ("fwmark 7 inet", "tun inet6 rs4", 0),
        (FOUR_SIX, "nat rs4", 0),
        (FOUR_SIX, "nat rs6", 0),
        ("fd00::1 80", "nat rs4", 0),
        ("10.1.1.1 80", "nat inet6 rs4", 5),
    ],
)
def test_block_of_another_family_than_its_group_is_ignored(
    lines: str, words: str, expected: int
) -> None:
    loaded = read(grouped(lines, words))
    assert loaded.findings.exit_status() == expected
    assert not loaded.configuration.check.services
    notes = [str(one) for one in loaded.findings if one.severity is Severity.NOTE]
    assert len(notes) == 1
    assert ", not all lines of the group are" in notes[0]


@pytest.mark.parametrize(
    ("lines", "words", "families"),
    [
        ("fwmark 7 inet6", "nat rs6", [AF_INET6]),
        ("fwmark 7", "nat rs6", [AF_INET6]),
        ("fwmark 7 inet6", "tun rs4", [AF_INET6]),
        ("fwmark 7 inet6|fwmark 8", "tun rs4", [AF_INET6, AF_INET6]),
        (MIXED_MARKS, "tun rs4", [AF_INET, AF_INET6]),
    ],
)
def test_group_that_fits_its_block_has_the_families_of_its_lines(
    lines: str, words: str, families: list[int]
) -> None:
    loaded = read(grouped(lines, words))
    (found,) = loaded.configuration.check.services
    assert [one.key.af for one in found.services] == families
    assert not complaints(loaded)
