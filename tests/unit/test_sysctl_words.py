"""`lbfast sysctl` and the names net.ipv4.vs.* behind it."""

from __future__ import annotations

import pytest

from lbfast.cli.sysctl import main
from lbfast.control.settings import NAMES, cpu_list
from lbfast.control.tables import Engine, Tables
from lbfast.errors import KernelError
from lbfast.words import USAGE_STATUS

# of a kernel, without what it computes from its memory and processors
DEFAULTS = {
    "am_droprate": "10", "amemthresh": "1024", "backup_only": "0", "cache_bypass": "0",
    "conn_reuse_mode": "1", "conntrack": "0", "drop_entry": "0", "drop_packet": "0",
    "est_nice": "0", "expire_nodest_conn": "0", "expire_quiescent_template": "0",
    "ignore_tunneled": "0", "lblc_expiration": "86400", "lblcr_expiration": "86400",
    "nat_icmp_send": "0", "pmtu_disc": "1", "run_estimation": "1", "schedule_icmp": "0",
    "secure_tcp": "0", "sloppy_sctp": "0", "sloppy_tcp": "0", "snat_reroute": "1",
    "sync_persist_mode": "0", "sync_ports": "1", "sync_refresh_period": "0",
    "sync_retries": "0", "sync_sock_size": "0", "sync_threshold": "3\t50",
    "sync_version": "1",
}  # fmt: skip


def tables() -> Tables:
    return Tables(Engine(conns=64, dests=4, services=4))


@pytest.mark.covers("C-100")
@pytest.mark.parametrize("name", DEFAULTS)
def test_name_has_the_kernels_default(name: str) -> None:
    assert tables().sysctl(name) == DEFAULTS[name]


@pytest.mark.covers("C-100")
def test_every_name_can_be_read() -> None:
    asked = tables()
    assert {*DEFAULTS, "sync_qlen_max", "est_cpulist", "ftp_helper", "toa"} == set(NAMES)
    assert all(asked.sysctl(name) for name in NAMES)


@pytest.mark.covers("C-101", "C-102", "C-103")
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "sync_threshold",
            ("0 1", "7 0", "0 0"),
            ("3", "3 3", "4 3", "-1 5", "1 -5", "1 2 3", ""),
        ),
        ("sync_ports", ("1", "2", "64", "128"), ("0", "3", "-2", "x")),
        ("sync_version", ("0", "1"), ("2", "-1")),
        ("sync_retries", ("0", "3"), ("4", "-1")),
        ("sync_refresh_period", ("0", "60"), ("-1",)),
        ("sync_qlen_max", ("0", "10"), ("-1",)),
        ("sync_persist_mode", ("0", "1"), ("2",)),
        ("sync_sock_size", ("65536",), ("big",)),
    ],
)
def test_values_are_judged(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    asked = tables()
    for value in good:
        asked.set_sysctl(name, value)
        assert asked.sysctl(name).split() == value.split()
    before = asked.sysctl(name)
    for value in bad:
        with pytest.raises(KernelError):
            asked.set_sysctl(name, value)
    assert asked.sysctl(name) == before


def test_estimators_cpus_are_written_as_the_kernel_does() -> None:
    assert cpu_list([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_words_show_and_set(capsys: pytest.CaptureFixture[str]) -> None:
    asked = tables()

    def said(*words: str, status: int = 0) -> str:
        assert main(words, lambda: asked) == status
        return capsys.readouterr().out

    assert said("net.ipv4.vs.sync_ports") == "net.ipv4.vs.sync_ports = 1\n"
    assert said("-w", "net/ipv4/vs/sync_ports=4") == "net.ipv4.vs.sync_ports = 4\n"
    assert said("-n", "sync_ports") == "4\n"
    assert said("sync_threshold = 5 100") == "net.ipv4.vs.sync_threshold = 5\t100\n"
    listed = said("-a").splitlines()
    assert [line.split(" = ")[0] for line in listed] == [f"net.ipv4.vs.{n}" for n in NAMES]
    assert "net.ipv4.vs.cache_bypass = 0" in listed


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["frob"], 1, "VS.frob: there is no such setting, `lbfast sysctl -a` shows all"),
        (["drop_entry=4"], 1, "VS.drop_entry: '4', expected a number from 0 to 3"),
        (["sync_ports=3"], 1, "VS.sync_ports: '3', expected a power of two"),
        (
            ["sync_threshold=3"],
            1,
            "VS.sync_threshold: '3', expected two numbers from 0 up, "
            "the second 0 or above the first",
        ),
        (["est_nice=4"], 1, "VS.est_nice: cannot be changed"),
        ([], USAGE_STATUS, "no words, expected -a or names"),
        (["-a", "toa"], USAGE_STATUS, "-a and names, expected -a or names"),
        (["-p"], USAGE_STATUS, "'-p' unknown, expected -a, -n or -w"),
        (["-w", "drop_entry"], USAGE_STATUS, "-w: 'drop_entry', expected NAME=VALUE"),
    ],
)
def test_words_that_are_refused(
    words: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tables()
    assert main(words, lambda: asked) == status
    sentence = sentence.replace("VS.", "net.ipv4.vs.")
    assert capsys.readouterr().err == f"lbfast sysctl: {sentence}\n"
