"""One bench at a time: the second waits and says for whom."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import alone
from bench.others import Watch
from bench.program import ROOT
from netns.wait import wait_for
from tools import prove

HOLDER = """
import sys
from pathlib import Path
from bench.alone import alone
from bench.stopping import Stopped, stoppable
try:
    with stoppable(), alone(sys.argv[2], Path(sys.argv[1])):
        print("alone", flush=True)
        sys.stdin.read()
except Stopped as stopped:
    sys.exit(str(stopped))
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def bench(lock: Path, command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that wants to be alone, and is until its standard input ends."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", HOLDER, str(lock), command]
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str], is_error: bool = False) -> str:
    stream = process.stderr if is_error else process.stdout
    assert stream is not None
    return stream.readline()


def waits(process: subprocess.Popen[str]) -> bool:
    """Whether a process waits for a lock; the kernel draws an arrow before it."""
    found = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any("->" in words and str(process.pid) in words for words in found)


def test_second_waits_for_the_first_and_says_so(lock: Path) -> None:
    with bench(lock, "bench --quick") as first:
        assert line_of(first) == "alone\n"
        with bench(lock, "bench http") as second:
            wait_for(lambda: waits(second), 20, "the second to wait")
            assert line_of(second, is_error=True) == (
                f"bench: waiting for the bench at work, pid {first.pid} (bench --quick): two at a "
                "time would measure each other; Ctrl-C gives up, LBFAST_BENCH_LOCK names another "
                "lock\n"
            )
            assert first.stdin is not None
            first.stdin.close()
            assert line_of(second) == "alone\n"
            assert lock.read_text() == f"{second.pid} (bench http)"


def test_one_that_was_killed_holds_up_nobody(lock: Path) -> None:
    with bench(lock, "bench") as first:
        assert line_of(first) == "alone\n"
        first.kill()
        first.wait()
        with bench(lock, "prove") as second:
            assert line_of(second) == "alone\n"


def test_signal_ends_the_waiting(lock: Path) -> None:
    with bench(lock, "bench") as first:
        assert line_of(first) == "alone\n"
        with bench(lock, "prove x") as second:
            assert line_of(second, is_error=True).startswith(
                "prove: waiting for the bench at work"
            )
            wait_for(lambda: waits(second), 20, "the second to wait")
            second.send_signal(signal.SIGINT)
            assert line_of(second, is_error=True) == "stopped by SIGINT\n"
            assert second.wait(10) == 1
        assert lock.read_text() == f"{first.pid} (bench)"


def test_lock_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert alone.lock_path({alone.VARIABLE: "/x/y"}) == Path("/x/y")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert alone.lock_path({}) == Path("/run/lbfast-bench.lock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert alone.lock_path({}) == tmp_path / "lbfast-bench-1000.lock"


CLAIMS = """
def claim(name):
    yield {"claim": name, "value": 1, "unit": "x", "bound": "x", "peer": "x", "ok": True}
CLAIMS = {"timed": lambda: claim("timed"), "timeless": lambda: claim("timeless")}
TIMELESS = ("timeless",)
"""


@pytest.mark.parametrize(("name", "waits"), [("timed", True), ("timeless", False)])
def test_claims_about_time_take_the_lock(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, waits: bool
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/prove_it.py").write_text(CLAIMS)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setenv(alone.VARIABLE, str(lock))
    taken = []

    def measure(chosen: dict[str, prove.Claim]) -> int:
        with lock.open("a") if lock.exists() else open(os.devnull, "w") as again:
            try:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(list(chosen))
        return 0

    monkeypatch.setattr(prove, "measure_all", measure)
    assert prove.main([name]) == 0
    assert taken == ([[name]] if waits else [])


def test_every_timeless_claim_is_one() -> None:
    """A name that no claim has any more would say nothing."""
    claims = prove.load(ROOT / "bench")
    timeless = {name for name, claim in claims.items() if not claim.is_timed}
    assert {"nat-integrity", "fuzz-short", "memory-per-connection"} <= timeless
    assert not {"cpu-per-frame", "iperf-nat-ratio", "lookup-ten-million", "idle-cpu"} & timeless
    for path in (ROOT / "bench").glob("prove_*.py"):
        module = sys.modules[path.stem]
        assert set(getattr(module, "TIMELESS", ())) <= set(module.CLAIMS)


def test_claim_says_what_others_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Watch, "cores", lambda _: 1.234)
    monkeypatch.setattr(Watch, "loud", lambda _: 1.234)
    fields = dict.fromkeys(prove.FIELDS, 1)
    for is_timed in (True, False):
        claim = prove.Claim(lambda: iter([fields]), is_timed)
        assert prove.measure_all({"x": claim}) == 0
        said = capsys.readouterr()
        assert '"others": 1.23' in said.out
        sentence = "prove: x: others used 1.23 cores meanwhile; measure it again when nothing else"
        assert (sentence in said.err) == is_timed
