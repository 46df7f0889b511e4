"""The lbfast command: its words, its names, and how it fails."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lbfast import __version__
from lbfast.cli import main as cli
from lbfast.cli import tool
from lbfast.control.rundir import NAME_VARIABLE, RUN_VARIABLE
from lbfast.errors import ConfigError, KernelError
from tests.fake_balancer import FakeBalancer


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    monkeypatch.setenv(NAME_VARIABLE, "")  # so that what the command sets is undone


def test_help_lists_only_words_whose_module_exists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {
        "ipvsadm": cli.WORDS["ipvsadm"],
        "absent": cli.Word("lbfast.no_such_module", "be absent"),
    }
    monkeypatch.setattr(cli, "WORDS", words)
    assert cli.main(["lbfast", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  ipvsadm  " in text
    assert "absent" not in text
    assert cli.main(["lbfast", "absent"]) == 2
    assert capsys.readouterr().err == "lbfast: unknown word 'absent', known: ipvsadm\n"


def test_no_word_prints_the_usage_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lbfast"]) == 2
    assert capsys.readouterr().err.startswith("usage: lbfast")


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["/usr/bin/lbfast", "--version"]) == 0
    assert capsys.readouterr().out == f"lbfast {__version__}\n"


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (ConfigError("keepalived.conf:3: lb_algo 'foo' unknown"), None),
        (KernelError(errno.ENOENT), "no such file or directory"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), None),
        (
            PermissionError(errno.EPERM, "Operation not permitted"),
            "operation not permitted (it takes root, or CAP_NET_ADMIN and CAP_NET_RAW)",
        ),
        (
            PermissionError(errno.EPERM, "Rings need the capability CAP_NET_RAW"),
            "rings need the capability CAP_NET_RAW",
        ),
        (OSError("timed out"), "timed out"),
    ],
)
def test_failure_is_one_lower_case_sentence(
    failure: Exception,
    sentence: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(words: list[str]) -> int:
        raise failure

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(main=fail))
    assert cli.main(["lbfast", "ipvsadm"]) == 1
    expected = sentence or str(cli.sentence(failure))
    assert capsys.readouterr() == ("", f"lbfast: {expected}\n")
    assert expected[0].islower() or expected[0] == "/"


@pytest.mark.parametrize("words", [["--name", "blue"], ["--name=blue"]])
def test_name_goes_before_the_word(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def see(words: list[str]) -> int:
        seen.extend((os.environ[NAME_VARIABLE], words))
        return 7

    monkeypatch.setenv(NAME_VARIABLE, "green")
    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(main=see))
    assert cli.main(["lbfast", *words, "ipvsadm", "-Ln"]) == 7
    assert seen == ["blue", ["-Ln"]]


@pytest.mark.parametrize("words", [["--name="], ["--name", ".."], ["--name=a/b"]])
def test_name_that_is_none_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lbfast", *words, "ipvsadm"]) == 1
    assert "expected 1 to 32 letters" in capsys.readouterr().err


@pytest.mark.covers("C-340", "C-416")
@pytest.mark.parametrize("prog", ["/usr/sbin/ipvsadm", "ipvsadm-save", "./ipvsadm-restore"])
def test_called_under_another_name_it_is_that_tool(
    prog: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []

    def run_as(name: str, argv: list[str]) -> int:
        called.append([name, *argv])
        return 3

    monkeypatch.setattr(tool, "run_as", run_as)
    assert cli.main([prog, "-n"]) == 3
    assert called == [[Path(prog).name, prog, "-n"]]


@pytest.mark.covers("C-378")
def test_word_ipvsadm_without_a_director(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lbfast", "--name", "blue", "ipvsadm", "-Ln"]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        "Can't initialize ipvs: no lbfast daemon runs for this network namespace"
    )


def test_word_ipvsadm_takes_the_words_behind_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    balancer = FakeBalancer()
    monkeypatch.setattr(tool, "connect", lambda: balancer)
    assert cli.main(["lbfast", "ipvsadm", "-A", "-t", "10.9.0.1:80"]) == 0
    assert cli.main(["lbfast", "ipvsadm", "-nS"]) == 255
    assert cli.main(["lbfast", "ipvsadm", "-Sn"]) == 0
    assert capsys.readouterr() == (
        "-A -t 10.9.0.1:80 -s wlc\n",
        "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n",
    )


def lbfast(*words: str) -> list[str]:
    return [sys.executable, "-m", "lbfast", *words]


def test_reader_that_has_seen_enough_is_no_failure() -> None:
    process = subprocess.Popen(
        lbfast("--help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) in (0, 141)


def test_words_start_fast() -> None:
    def spent_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(5):
        start = spent_s()
        subprocess.run(lbfast("ipvsadm", "-Ln"), capture_output=True, check=False, timeout=30)
        times.append(spent_s() - start)
    assert min(times) < 0.4  # CPU time, as others may have the cores; 0.1 s on an idle machine


def test_words_load_neither_the_data_path_nor_the_event_loop() -> None:
    program = (
        "import sys; import lbfast.cli.main; import lbfast.cli.tool;"
        "print(*sorted({'asyncio', 'uvloop', 'pyroute2', 'lbfast._fastpath'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "\n"
