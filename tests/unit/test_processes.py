"""What the parent decides and tells: whose address is whose, differences, pid files, options."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lbfast.cli import keepalived
from lbfast.config.diff import AddLocal, DeleteLocal, SetMarks, local_edits, mark_edits
from lbfast.errors import ControlError
from lbfast.model import AF_INET, ServiceKey, VirtualService
from lbfast.model.check import CheckConfiguration, CheckedService
from lbfast.model.configuration import Configuration, LocalAddresses, ProcessSettings
from lbfast.model.marks import FwmarkRule
from lbfast.model.netlines import Address
from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import reloadtime, systemd
from lbfast.processes.director import keep_fixed
from lbfast.processes.ownership import standby
from lbfast.processes.pidfiles import PARENT, PidFiles, default_paths, read

VIP = bytes((10, 0, 0, 1))
OTHER = bytes((10, 0, 0, 2))
KEY = ServiceKey(AF_INET, 6, VIP, 80)


# ---- whose address


def instance(name: str, *addresses: bytes) -> VrrpInstance:
    return VrrpInstance(name, 1, "eth0", addresses=tuple(Address(a, 32) for a in addresses))


def test_addresses_are_left_to_others_until_their_instance_is_master() -> None:
    config = VrrpConfig((instance("A", VIP), instance("B", OTHER)))
    assert standby(config, {}) == {VIP, OTHER}
    assert standby(config, {"A": "MASTER", "B": "BACKUP"}) == {OTHER}
    assert standby(config, {"A": "FAULT", "B": "MASTER"}) == {VIP}
    assert standby(VrrpConfig(), {}) == frozenset()


def test_address_of_two_instances_is_ours_if_one_is_master() -> None:
    config = VrrpConfig((instance("A", VIP), instance("B", VIP)))
    assert standby(config, {"A": "BACKUP", "B": "MASTER"}) == frozenset()


def test_excluded_addresses_count_too() -> None:
    one = replace(instance("A", VIP), excluded=(Address(OTHER, 32),))
    assert standby(VrrpConfig((one,)), {}) == {VIP, OTHER}


# ---- differences


def with_locals(*addrs: bytes, services: bool = True) -> Configuration:
    check = CheckConfiguration((CheckedService((VirtualService(KEY),)),) if services else ())
    return Configuration(check=check, local_addresses=(LocalAddresses(KEY, addrs),))


def test_local_addresses_that_come_are_before_those_that_go() -> None:
    old, new = with_locals(VIP), with_locals(OTHER)
    assert local_edits(old, new) == [AddLocal(KEY, OTHER), DeleteLocal(KEY, VIP)]
    assert local_edits(new, new) == []


def test_local_addresses_of_a_service_that_is_gone_go_with_it() -> None:
    new = Configuration()
    assert local_edits(with_locals(VIP), new) == []


def test_marks_are_set_only_when_they_differ() -> None:
    rule = FwmarkRule(7)
    some = Configuration(marks=(rule,))
    assert mark_edits(Configuration(), some) == [SetMarks((rule,))]
    assert mark_edits(some, Configuration()) == [SetMarks(())]
    assert mark_edits(some, some) == []


def test_reload_keeps_what_cannot_change_while_running() -> None:
    old = Configuration(process=ProcessSettings(instance="a", umask=0o22))
    new = Configuration(process=ProcessSettings(instance="b", umask=0o77))
    kept = keep_fixed(old, new).process
    assert (kept.instance, kept.umask) == ("a", 0o77)


# ---- pid files


@pytest.mark.covers("SIG-10")
def test_second_start_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "keepalived.pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(ControlError, match="already running: pid"):
        PidFiles({PARENT: path}).claim()


def test_pid_file_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keepalived.pid"
    pids = PidFiles({PARENT: path, "vrrp": tmp_path / "vrrp.pid"})
    path.parent.mkdir()
    path.write_text("999999999\n")
    pids.claim()
    assert read(path) == os.getpid()
    pids.note("vrrp", 77)
    pids.note("checker", 78)  # not wanted
    assert read(tmp_path / "vrrp.pid") == 77
    pids.remove()
    assert [p for p in tmp_path.rglob("*.pid")] == []


@pytest.mark.covers("SIG-14")
def test_instance_has_pid_files_of_its_own() -> None:
    plain, named = default_paths("", False), default_paths("x", False)
    assert str(plain[PARENT]) == "/run/keepalived.pid"
    assert str(named["vrrp"]) == "/run/keepalived/vrrp_x.pid"
    assert str(default_paths("", True)["checker"]) == "/run/keepalived/checkers.pid"


# ---- keepalived's options


@pytest.mark.parametrize(
    ("argv", "with_vrrp", "with_check"),
    [([], None, None), (["-P"], True, False), (["--check"], False, True), (["--all"], True, True)],
)
def test_options_choose_the_processes(
    argv: list[str], with_vrrp: bool | None, with_check: bool | None
) -> None:
    words = keepalived.parse(argv)
    request = keepalived.request("/f", words)
    assert (request.with_vrrp, request.with_check) == (with_vrrp, with_check)


def test_options_reach_the_request() -> None:
    argv = [
        "-n",
        "-D",
        "-l",
        "-V",
        "-I",
        "-R",
        "-i",
        "node",
        "-s",
        "ns",
        "-p",
        "/a",
        "-r",
        "/b",
        "-c",
        "/c",
        "--use-file=/f",
    ]
    words = keepalived.parse(argv)
    request = keepalived.request(words.get("f"), words)
    assert (request.file, request.config_id, request.namespace) == ("/f", "node", "ns")
    assert (request.background, request.detail, request.facility) == (False, True, "daemon")
    assert request.console
    assert (request.keep_addresses, request.keep_table, request.respawn) == (True, True, False)
    assert {kind: str(path) for kind, path in request.pid_files.items()} == {
        "parent": "/a", "vrrp": "/b", "checker": "/c",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "facility"),
    [
        ([], "daemon"),
        (["-S", "3"], "local3"),
        (["--log-facility=local5"], "local5"),
        (["-S", "user"], "user"),
        (["-S", "9"], "daemon"),
        (["-G"], ""),
    ],
)
def test_facility_is_by_number_or_name(words: list[str], facility: str) -> None:
    assert keepalived.request("", keepalived.parse(words)).facility == facility


def test_unknown_facility_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    keepalived.request("", keepalived.parse(["-S", "mail"]))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("keepalived: log facility 'mail': expected user, daemon, local0")


@pytest.mark.parametrize(
    ("name", "number"), [("RELOAD", "1"), ("STOP", "15"), ("DATA", "10"), ("JSON", "36")]
)
def test_signal_numbers_are_keepalived_s(
    name: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keepalived.main([f"--signum={name}"]) == 0
    assert capsys.readouterr().out.strip() == number


def test_unknown_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert keepalived.main(["--nonsense"]) == 1
    assert "option --nonsense not recognized" in capsys.readouterr().err


@pytest.mark.covers("CFG-11")
def test_test_option_judges_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "k.conf"
    path.write_text("foo\n")
    assert keepalived.main(["-t", "-f", str(path)]) == 5
    assert f"{path}:1: error: unknown keyword 'foo'" in capsys.readouterr().err
    assert keepalived.main([f"-t{tmp_path / 'found'}", "-f", str(path)]) == 5
    assert "unknown keyword 'foo'" in (tmp_path / "found").read_text()
    path.write_text("global_defs {\n}\n")
    assert keepalived.main(["--config-test", "-f", str(path)]) == 0


# ---- logs and the service manager


def test_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        systemd.ready()
        assert manager.recv(200).decode().split("\n")[0] == "READY=1"


def test_service_manager_that_does_not_read_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        for _ in range(600):  # more than a socket holds (net.unix.max_dgram_qlen)
            systemd.alive()
        for word in (systemd.reloading, systemd.ready, systemd.stopping):
            teller = threading.Thread(target=word, daemon=True)
            teller.start()
            teller.join(20)
            assert not teller.is_alive()


# ---- reload at a time

NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("12:00:05Z\n", 5),
        ("11:59:59Z", 86400 - 1),
        ("2023-11-15 12:01:00Z", 60),
        ("23-11-16 12:00:00Z", 86400),
        ("noon", None),
        ("25:00:00Z", None),
    ],
)
def test_time_of_a_reload_is_read(text: str, after_s: int | None) -> None:
    found = reloadtime.parse(text, NOON)
    assert (None if found is None else found - NOON) == after_s


def test_reload_is_due_once_and_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "at"
    plan = reloadtime.Plan()
    assert not plan.is_due(path, NOON)
    path.write_text("12:00:05Z")
    assert not plan.is_due(path, NOON)
    assert plan.is_due(path, NOON + 5)
    assert not plan.is_due(path, NOON + 6)
    path.write_text("12:00:08Z")
    assert not plan.is_due(path, NOON + 7)
    assert plan.is_due(path, NOON + 8)
