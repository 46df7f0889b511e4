"""`lbfast mark`: its words, what it prints, and what it refuses."""

from __future__ import annotations

import io
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.cli.mark import UsageError, main, parse_lines, parse_rule, rule_line
from lbfast.control.client import Client
from lbfast.control.marking import NO_INTERFACE, engine_row, interface_index, model_rule
from lbfast.errors import KernelError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.marks import MAX_MARK_RULES, FwmarkRule
from lbfast.words import USAGE_STATUS
from tests.control_lab import ControlLab
from tests.fake_balancer import FakeBalancer

NET = socket.inet_aton("10.0.0.0")
NET6 = socket.inet_pton(AF_INET6, "2001:db8::")


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("1", FwmarkRule(1)),
        ("0x10 -6", FwmarkRule(16, AF_INET6)),
        ("1 -p tcp --dport 80", FwmarkRule(1, protocol=6, dport=(80, 80))),
        ("1 -p TCP --dport http", FwmarkRule(1, protocol=6, dport=(80, 80))),
        ("1 --protocol=17 --source-port 53", FwmarkRule(1, protocol=17, sport=(53, 53))),
        ("1 -p sctp --dport :1023", FwmarkRule(1, protocol=132, dport=(0, 1023))),
        ("1 --sport 1024:", FwmarkRule(1, sport=(1024, 65535))),
        ("1 --dport 80:443", FwmarkRule(1, dport=(80, 443))),
        ("0 -d 10.1.2.3/8", FwmarkRule(0, dst=NET, dst_len=8)),
        ("0 -d 10.0.0.0/255.0.0.0", FwmarkRule(0, dst=NET, dst_len=8)),
        ("1 -s 2001:db8::1/32", FwmarkRule(1, AF_INET6, src=NET6, src_len=32)),
        ("1 -d ::/0 -i eth0", FwmarkRule(1, AF_INET6, interface="eth0")),
    ],
)
def test_words_make_a_rule(words: str, rule: FwmarkRule) -> None:
    assert parse_rule(words.split()) == rule


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "no mark given, expected a number"),
        ("x", "mark 'x': expected a number from 0 to 4294967295"),
        ("4294967296", "mark '4294967296': expected a number from 0 to 4294967295"),
        ("1 -p icmp", "-p 'icmp': expected tcp, udp or sctp"),
        ("1 --dport 90:80", "--dport '90:80': expected PORT or FIRST:LAST, 0 to 65535"),
        ("1 --dport 65536", "--dport '65536': expected PORT or FIRST:LAST, 0 to 65535"),
        ("1 --dport 80,443", "--dport '80,443': expected PORT or FIRST:LAST, 0 to 65535"),
        ("1 -d 10.0.0.0/33", "-d '10.0.0.0/33': expected an address, ADDR or ADDR/LEN"),
        ("1 -d host", "-d 'host': expected an address, ADDR or ADDR/LEN"),
        ("1 -d 10.0.0.1 -s ::1", "-d 10.0.0.1: the rule is of the other address family already"),
        ("1 -6 -s 10.0.0.1", "-s 10.0.0.1: the rule is of the other address family already"),
        ("1 -p", "-p: expected a value behind it"),
        ("1 -p tcp -p udp", "-p given twice"),
        ("1 -i a-name-too-long-for-it", "-i 'a-name-too-long-for-it': expected an interface's"),
        ("1 ! -d 10.0.0.1", "!: a match cannot be turned round; except packets by a later rule"),
        ("1 -d ! 10.0.0.1", "!: a match cannot be turned round; except packets by a later rule"),
        ("1 -j MARK --set-mark 1", "-j: the mark is the first word"),
        ("1 frob", "frob: expected one of -4, -6, --dport, --sport, -d, -i, -p, -s"),
    ],
)
def test_words_that_make_no_sense_are_named(words: str, sentence: str) -> None:
    with pytest.raises(UsageError) as wrong:
        parse_rule(words.split())
    assert str(wrong.value).startswith(sentence)


def _net(af: int, raw: bytes, length: int) -> tuple[bytes, int]:
    bits = 32 if af == AF_INET else 128
    length = min(length, bits)
    value = int.from_bytes(raw[: bits // 8], "big") >> (bits - length) << (bits - length)
    return (value.to_bytes(bits // 8, "big") if length else b""), length


@st.composite
def rules(draw: Any) -> FwmarkRule:
    af = draw(st.sampled_from((AF_INET, AF_INET6)))
    nets = [
        _net(af, draw(st.binary(min_size=16, max_size=16)), draw(st.integers(0, 128)))
        for _ in range(2)
    ]
    port = st.integers(0, 65535)
    low, high, low2, high2 = (draw(port) for _ in range(4))
    return FwmarkRule(
        draw(st.integers(0, 0xFFFFFFFF)),
        af,
        draw(st.sampled_from((0, 6, 17, 132))),
        draw(st.sampled_from(("", "eth0", "br-lan.7"))),
        *nets[0],
        *nets[1],
        (min(low, high), max(low, high)),
        (min(low2, high2), max(low2, high2)),
    )


@given(st.lists(rules(), unique=True, max_size=5))
def test_printed_rules_are_taken_back_as_they_were(wanted: list[FwmarkRule]) -> None:
    assert parse_lines([rule_line(rule) + "\n" for rule in wanted]) == wanted


@given(rules())
def test_rule_is_the_same_after_the_data_paths_form(rule: FwmarkRule) -> None:
    row = engine_row(rule, lambda name: 7)
    assert row[3] == (7 if rule.interface else 0)
    assert model_rule(row) == rule


def test_absent_interface_has_an_index_that_nothing_comes_in_at() -> None:
    assert interface_index("no-such-if") == NO_INTERFACE
    assert interface_index("lo") == socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("add 1\n\n# two\nfrob 2\n", "line 4: 'frob': expected 'add'"),
        ("add 1\nadd 1 -4\n", "line 2: this rule is there already"),
        ("add 1 -p gre\n", "line 1: -p 'gre': expected tcp, udp or sctp"),
    ],
)
def test_wrong_line_is_named_and_nothing_changes(
    text: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    balancer = FakeBalancer()
    balancer.rules = [FwmarkRule(9)]
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["restore"], lambda: balancer) == USAGE_STATUS
    assert capsys.readouterr().err == f"lbfast mark: {sentence}\n"
    assert balancer.rules == [FwmarkRule(9)]


def test_commands_over_the_control_socket(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ControlLab(tmp_path / "control.sock", FakeBalancer()) as lab:
        opened: list[Client] = []

        def client() -> Client:
            opened.append(lab.client())
            return opened[-1]

        def said(*words: str) -> str:
            assert main(words, client) == 0
            return capsys.readouterr().out

        assert said("add", "1", "-p", "tcp", "--dport", "80") == ""
        said("add", "0", "-d", "10.0.0.0/8")
        saved = said("list")
        assert saved == "add 1 -4 -p tcp --dport 80\nadd 0 -4 -d 10.0.0.0/8\n"
        said("del", "1", "-p", "tcp", "--dport", "80")
        assert said("show") == "add 0 -4 -d 10.0.0.0/8\n"
        said("flush")
        assert said() == ""
        monkeypatch.setattr("sys.stdin", io.StringIO(saved))
        said("restore")
        assert said("save") == saved
        for words, sentence in (
            (("del", "7"), "there is no such rule"),
            (("add", "0", "-d", "10.0.0.0/8"), "this rule is there already"),
        ):
            assert main(words, client) == 1
            assert capsys.readouterr().err == f"lbfast mark: {sentence}\n"
        for each in opened:
            each.close()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["frob"], "lbfast mark: 'frob' unknown, expected add, del, list, restore or flush"),
        (["list", "all"], "lbfast mark: list: nothing expected behind it, found 'all'"),
        (["add"], "lbfast mark: no mark given, expected a number"),
    ],
)
def test_wrong_command_is_told(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words, FakeBalancer) == USAGE_STATUS
    assert capsys.readouterr().err == sentence + "\n"


@pytest.mark.parametrize(
    "rule",
    [
        FwmarkRule(-1),
        FwmarkRule(1 << 32),
        FwmarkRule(1, 99),
        FwmarkRule(1, protocol=1),
        FwmarkRule(1, interface="x" * 16),
        FwmarkRule(1, interface="a\0b"),
        FwmarkRule(1, dst=NET),
        FwmarkRule(1, dst=NET, dst_len=33),
        FwmarkRule(1, dst=NET6, dst_len=32),
        FwmarkRule(1, dst=socket.inet_aton("10.0.0.1"), dst_len=8),
        FwmarkRule(1, sport=(5, 4)),
        FwmarkRule(1, dport=(0, 65536)),
    ],
    ids=repr,
)
def test_daemon_refuses_a_rule_that_cannot_be(tmp_path: Any, rule: FwmarkRule) -> None:
    balancer = FakeBalancer()
    with ControlLab(tmp_path / "control.sock", balancer) as lab:
        client = lab.client()
        for ask in (client.add_mark, client.delete_mark, lambda r: client.set_marks([r])):
            with pytest.raises(KernelError):
                ask(rule)
        with pytest.raises(KernelError):
            client.set_marks([FwmarkRule(n) for n in range(MAX_MARK_RULES + 1)])
        client.close()
    assert balancer.rules == []
