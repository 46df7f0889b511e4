"""What the reading makes of programs that are only opened, or that will not start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lbfast.config.load import Loaded
from lbfast.config.meaning.context import DEFAULT_ACCOUNT
from lbfast.config.system import System
from lbfast.model.check import MiscCheck
from lbfast.model.script import Script
from tests.unit.config_host import MemoryHost, read

SECURE = "global_defs {\n script_user root\n enable_script_security\n}\n"
TEXT = (
    'vrrp_script x {{\n script "{0}"\n}}\n'
    "vrrp_instance V {{\n interface eth0\n virtual_router_id 3\n virtual_ipaddress {{\n 10.0.0.1\n"
    ' }}\n track_script {{\n x\n }}\n notify_master "{0}"\n}}\n'
    "virtual_server 10.0.0.1 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n"
    ' real_server 10.0.0.2 80 {{\n MISC_CHECK {{\n misc_path "{0}"\n }}\n }}\n}}\n'
)


def load(command: str, host: MemoryHost | None = None, head: str = SECURE) -> Loaded:
    return read(head + TEXT.format(command), host)


def programs(loaded: Loaded) -> list[Script | None]:
    """The programs of the vrrp_script, the notification and the check."""
    configuration = loaded.configuration
    (script,), (instance,) = configuration.vrrp.scripts, configuration.vrrp.instances
    (check,) = configuration.check.services[0].servers[0].checkers
    assert isinstance(check, MiscCheck)
    return [script.script, instance.notify.master, check.script]


@pytest.mark.parametrize("sign", ["</path", "'< /path'"])
def test_file_to_open_may_be_missing_and_anybody_s(sign: str) -> None:
    host = MemoryHost(insecure=frozenset(("/path",)), not_executable=frozenset(("/path",)))
    for head in (SECURE, "global_defs {\n script_user root\n}\n"):
        loaded = load(sign, host, head)
        assert loaded.findings.exit_status() == 0
        assert list(loaded.findings) == []
        assert programs(loaded) == [Script(("/path",), "root", is_opened=True)] * 3


def test_words_behind_a_file_to_open_are_not_run() -> None:
    loaded = load("</path; touch /sign")
    assert loaded.findings.exit_status() == 0
    assert "'touch /sign' behind </path; is not run" in str(next(iter(loaded.findings)))
    assert programs(loaded) == [Script(("/path;",), "root", is_opened=True)] * 3


@pytest.mark.parametrize("command", ["<true", "< /bin/true", "<bin/true"])
def test_sign_without_a_whole_path_is_a_program_nobody_finds(command: str) -> None:
    loaded = load(command)
    assert loaded.findings.exit_status() == 5
    assert loaded.configuration.vrrp.scripts == ()


def test_program_that_will_not_start_is_told_of_and_kept() -> None:
    loaded = load("/bin/true", MemoryHost(flaws={"/bin/true": "has no #! line"}))
    assert loaded.findings.exit_status() == 0
    said = "/bin/true has no #! line, it will not start"
    assert [str(finding).endswith(said) for finding in loaded.findings] == [True] * 3
    assert programs(loaded) == [Script(("/bin/true",), "root")] * 3


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("#!/bin/sh\nexit\n", ""),
        ("#! \t/usr/bin/env sh\n", ""),
        ("#!/bin/sh\r\nexit\r\n", "names the interpreter '/bin/sh\\r', which does not exist"),
        ("#!/no/such\n", "names the interpreter '/no/such', which does not exist"),
        ("#!\n", "names no interpreter in its #! line"),
        ("exit\n", "has no #! line and is no ELF binary"),
        ("", "has no #! line and is no ELF binary"),
        ("\x7fELF", ""),
    ],
)
def test_first_line_of_a_program_is_looked_at(text: str, flaw: str, tmp_path: Path) -> None:
    (tmp_path / "program").write_text(text)
    assert System().flaw(str(tmp_path / "program")) == flaw


def test_what_is_no_file_has_no_first_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert [System().flaw(str(tmp_path / name)) for name in ("fifo", "absent", "")] == [""] * 3


NOBODY = "global_defs {\n enable_script_security\n}\n"


@pytest.mark.parametrize("command", ["/bin/true", "/no/such", "</path"])
def test_without_the_default_account_each_program_is_an_error(command: str) -> None:
    """Measured with `keepalived -t` of 2.2.7: 5 for each kind alone, the program's file unread."""
    loaded = load(command, head=NOBODY)
    assert loaded.findings.exit_status() == 5
    said = "no account keepalived_script, not run; see script_user"
    words = ["script", "notify_master", "misc_path"]
    assert [f"{word}: {said}" for word in words] == [
        str(one).partition(": ")[2] for one in loaded.findings if said in str(one)
    ]
    assert loaded.configuration.vrrp.instances[0].notify.master is None


def test_notification_alone_without_the_default_account_is_an_error() -> None:
    text = NOBODY + (
        "vrrp_instance V {\n interface eth0\n virtual_router_id 3\n virtual_ipaddress {\n"
        " 10.0.0.1\n }\n notify_master /bin/true\n}\n"
    )
    assert read(text).findings.exit_status() == 5
    host = MemoryHost(accounts=frozenset((DEFAULT_ACCOUNT,)))
    assert read(text, host).findings.exit_status() == 0


@pytest.mark.parametrize(
    ("account", "status", "kept"),
    [
        ("", 5, None),
        ("root", 0, Script(("/bin/true",), "root")),
        ("root daemon", 0, Script(("/bin/true",), "root", "daemon")),
        ("nosuch", 5, None),
        ("root nosuch", 5, None),
    ],
)
@pytest.mark.parametrize("keyword", ["startup_script", "shutdown_script"])
def test_script_of_the_director_runs_as_the_account_behind_it(
    keyword: str, account: str, status: int, kept: Script | None
) -> None:
    loaded = read(f"global_defs {{\n enable_script_security\n {keyword} /bin/true {account}\n}}\n")
    assert loaded.findings.exit_status() == status
    assert getattr(loaded.configuration.process, keyword) == kept
