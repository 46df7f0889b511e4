"""The language of keepalived.conf: comments, braces, words, includes, conditions, parameters."""

from __future__ import annotations

import pytest

from tests.unit.config_host import MAIN, MemoryHost, complaints, read

INSTANCE = """
vrrp_instance V {
    interface eth0
    virtual_router_id 3
    virtual_ipaddress {
        10.0.0.1
    }
    %s
}
"""


def password(line: str) -> bytes:
    """Returns the password that an instance gets from one line."""
    auth = f"authentication {{\n auth_type PASS\n {line}\n }}\n"
    return read(INSTANCE % auth).configuration.vrrp.instances[0].auth_pass


def router_id(text: str, host: MemoryHost | None = None, config_id: str = "") -> str:
    return read(text, host, config_id).configuration.vrrp.settings.router_id


@pytest.mark.covers("LEX-01", "LEX-02", "LEX-03")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("auth_pass ab#cd", b"ab", id="a comment begins inside a word"),
        pytest.param("auth_pass ab!cd", b"ab", id="so does an exclamation mark's"),
        pytest.param('auth_pass "ab#cd!"', b"ab#cd!", id="double quotes protect"),
        pytest.param("auth_pass 'ab#cd!'", b"'ab", id="single quotes do not"),
        pytest.param(r"auth_pass ab\#cd", b"ab#cd", id="a backslash does"),
        pytest.param("auth_pass 'a b'", b"'a", id="a single quote is a letter"),
        pytest.param("auth_pass a${_HASH}b", b"a#b", id="the hash by its name"),
        pytest.param("auth_pass a${_BANG}b", b"a!b", id="the bang by its name"),
    ],
)
def test_comment_ends_where_keepalived_ends_it(line: str, expected: bytes) -> None:
    assert password(line) == expected


@pytest.mark.covers("LEX-04", "LEX-05", "LEX-06", "LEX-10")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("global_defs {\n router_id A\n}\n", id="brace on the line"),
        pytest.param("global_defs\n{\n router_id A\n}\n", id="brace on the next line"),
        pytest.param("global_defs\n\n ! x\n\n{\n router_id A\n}\n", id="after blanks"),
        pytest.param("global_defs { router_id A }\n", id="everything on one line"),
        pytest.param("global_defs { notification_email { a } router_id A }\n", id="two closings"),
        pytest.param("global_defs {\r\n router_id A\r\n}\r\n", id="lines with CR"),
    ],
)
def test_braces_may_be_anywhere(text: str) -> None:
    loaded = read(text)
    assert loaded.configuration.vrrp.settings.router_id == "A"
    assert not complaints(loaded)


@pytest.mark.covers("LEX-07", "LEX-08")
def test_statement_ends_with_its_line_and_surplus_words_mean_nothing() -> None:
    loaded = read("vrrp_instance V { state BACKUP interface eth0 }\n")
    found = complaints(loaded)
    assert any("no interface" in line for line in found)
    assert loaded.findings.is_refused


@pytest.mark.covers("LEX-09")
def test_block_name_in_quotes_keeps_its_blank() -> None:
    loaded = read(INSTANCE.replace(" V ", ' "V 1" ') % "")
    assert loaded.configuration.vrrp.instances[0].name == "V 1"


@pytest.mark.covers("LEX-11")
def test_keywords_are_case_sensitive_but_the_protocol_is_not() -> None:
    assert any("unknown keyword 'Router_id'" in c for c in complaints(
        read("global_defs {\n Router_id A\n}\n")
    ))  # fmt: skip
    text = (
        "virtual_server 10.1.1.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol tcp\n"
        " real_server 10.2.2.2 80 {\n }\n}\n"
    )
    loaded = read(text)
    assert not complaints(loaded)
    assert loaded.configuration.check.services[0].services[0].key.protocol == 6


@pytest.mark.covers("LEX-12", "LEX-13")
def test_script_is_split_into_arguments_and_names_its_account() -> None:
    line = """notify_master "/bin/true a 'b c' \\x41" daemon root"""
    script = read(INSTANCE % line).configuration.vrrp.instances[0].notify.master
    assert script is not None
    assert script.argv == ("/bin/true", "a", "b c", "A")
    assert (script.user, script.group) == ("daemon", "root")


@pytest.mark.covers("LEX-14", "LEX-15")
def test_include_is_relative_to_its_file_and_knows_globs_and_braces() -> None:
    host = MemoryHost(
        {
            "/etc/keepalived/d/one.conf": "include deep/{x,y}.inc\n",
            "/etc/keepalived/d/deep/x.inc": "global_defs {\n",
            "/etc/keepalived/d/deep/y.inc": " router_id deep\n",
        }
    )
    assert router_id("include d/*.conf\n}\n", host) == "deep"


@pytest.mark.covers("LEX-15")
@pytest.mark.parametrize(
    ("name", "strict"),
    [
        ("nothing.conf", {"includem", "includew", "includea"}),
        ("no*.conf", {"includew", "includea"}),
        ("{no,nothing}.conf", {"includeb", "includea"}),
        ("{one,nothing}.conf", {"includeb", "includea"}),
        ("{one,two}.conf", set()),
        ("locked.conf", {"includer", "includem", "includew", "includeb", "includea"}),
    ],
)
def test_missing_include_ends_everything_for_the_strict_words(name: str, strict: set[str]) -> None:
    class Locked(MemoryHost):
        def is_plain_file(self, path: str) -> bool:
            return "locked" not in path

    files = dict.fromkeys((f"/etc/keepalived/{n}.conf" for n in ("one", "two", "locked")), "")
    for word in ("include", "includer", "includem", "includew", "includeb", "includea"):
        loaded = read(f"{word} {name}\nfoo\n", Locked(dict(files)))
        assert loaded.findings.exit_status() == (6 if word in strict else 5), word
        assert loaded.findings.is_refused == (word in strict)


@pytest.mark.covers("LEX-16")
def test_condition_compares_with_the_id_or_the_short_host_name() -> None:
    text = "global_defs {\n@node1 router_id one\n@^node1 router_id other\n}\n"
    assert router_id(text) == "one"
    assert router_id(text, config_id="main") == "other"


@pytest.mark.covers("LEX-17", "LEX-18", "LEX-20", "LEX-25")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$A=x\nglobal_defs {\n router_id $A\n}\n", "x", id="by its bare name"),
        pytest.param("$A=x\nglobal_defs {\n router_id a${A}b\n}\n", "axb", id="inside a word"),
        pytest.param("$A=${B}\n$B=y\nglobal_defs {\n router_id ${A}\n}\n", "y", id="recursive"),
        pytest.param("global_defs {\n router_id q$A-\n}\n", "q$A-", id="unknown stays"),
        pytest.param("@node1 $A=1\n@other $A=2\nglobal_defs {\n router_id r${A}\n}\n", "r1",
                     id="defined under a condition"),
        pytest.param("$A=1\n$A=2\nglobal_defs {\n router_id r${A}\n}\n", "r2", id="redefined"),
        pytest.param("global_defs {\n router_id ${_INSTANCE}\n}\n", "node1", id="instance"),
        pytest.param("global_defs {\n router_id ${_PWD}\n}\n", "/etc/keepalived", id="pwd"),
        pytest.param("global_defs {\n router_id ${_RANDOM 7 7}\n}\n", "7", id="random"),
    ],
)  # fmt: skip
def test_parameter_is_replaced_where_it_is_used(text: str, expected: str) -> None:
    assert router_id(text) == expected


@pytest.mark.covers("LEX-18")
def test_unknown_braced_parameter_stays_literal_in_quotes() -> None:
    assert router_id('global_defs {\n router_id "${NONE}"\n}\n') == "${NONE}"


@pytest.mark.covers("LEX-19")
def test_definition_of_several_lines_holds_a_block() -> None:
    text = (
        "$BLOCK= \\\nglobal_defs { \\\n router_id ${WHO} \\\n}\n"
        "$WHO=x\n$BLOCK\n"
    )  # fmt: skip
    assert router_id(text) == "x"


def test_parameter_of_itself_is_reported_and_ends() -> None:
    loaded = read("$A=${A}x\nglobal_defs {\n router_id $A\n}\n")
    assert any("refers to itself" in line for line in complaints(loaded))


@pytest.mark.covers("LEX-21", "LEX-22")
@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        pytest.param("~SEQ(n, 3) 10.0.0.$n", [1, 2, 3], id="to an end"),
        pytest.param("~SEQ(n, 4, 2) 10.0.0.${n}", [4, 3, 2], id="downward by itself"),
        pytest.param("~SEQ(n, 1, 3, 8) 10.0.0.${n}", [1, 4, 7], id="in steps"),
        pytest.param("~SEQ(n, 9, -4, 1) 10.0.0.${n}", [9, 5, 1], id="in steps downward"),
        pytest.param("~LST(n, 5, 7) 10.0.0.${n}", [5, 7], id="a list"),
        pytest.param("~LST({a,b}, {1,2}, {3,4}) 10.0.0.${a}${b}", [12, 34], id="tuples"),
        pytest.param("~LST(a, 1, 2) ~SEQ(b, 2) 10.0.0.${a}${b}", [11, 12, 21, 22], id="nested"),
    ],
)
def test_loop_repeats_its_line(loop: str, expected: list[int]) -> None:
    text = INSTANCE.replace("        10.0.0.1\n", f"        {loop}\n") % ""
    found = read(text).configuration.vrrp.instances[0].addresses
    assert [address.addr[3] for address in found] == expected


@pytest.mark.covers("LEX-21")
def test_hexadecimal_loop_counts_in_hexadecimal() -> None:
    text = INSTANCE.replace("        10.0.0.1\n", "        ~SEQx(n, 9, 11) fe80::${n}\n") % ""
    found = read(text).configuration.vrrp.instances[0].addresses
    assert [address.addr[15] for address in found] == [9, 10, 11]


@pytest.mark.covers("LEX-23")
@pytest.mark.parametrize("word", ["on", "yes", "true", "off", "no", "false"])
def test_truth_has_six_words(word: str) -> None:
    loaded = read(INSTANCE % f"lower_prio_no_advert {word}")
    assert loaded.configuration.vrrp.instances[0].lower_prio_no_advert is (
        word in ("on", "yes", "true")
    )
    assert complaints(read(INSTANCE % f"lower_prio_no_advert {word.title()}"))


@pytest.mark.covers("LEX-24")
def test_timer_takes_decimals_and_no_unit() -> None:
    loaded = read(INSTANCE % "version 3\n advert_int 0.25")
    assert loaded.configuration.vrrp.instances[0].advert_us == 250_000
    loaded = read(INSTANCE % "advert_int 1s")
    assert loaded.configuration.vrrp.instances[0].advert_us == 1_000_000
    assert complaints(loaded)


def test_unmatched_quote_is_reported_with_its_line() -> None:
    found = complaints(read('global_defs {\n router_id "abc\n}\n'))
    assert any(line.startswith(f"{MAIN}:2: unmatched quote") for line in found)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("$A=$A $A\nglobal_defs {\n router_id $A\n}\n", 5, id="long"),
        pytest.param("$A=\\\n$A \\\n$A\n$A\n", 2, id="many"),
        pytest.param("~SEQ(a, 1, 9) " * 12 + "foo\n", 2, id="loops"),
        pytest.param("include " + "{a,b}" * 30 + "\n", 5, id="alternatives"),
        pytest.param("a{" * 3000 + "}" * 3000 + "\n", 5, id="braces"),
    ],
)
def test_text_that_grows_without_end_is_reported(text: str, status: int) -> None:
    loaded = read(text)
    assert loaded.findings.exit_status() == status
    assert len(complaints(loaded)) <= 2
