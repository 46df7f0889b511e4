"""The load of others beside a bench: whose CPU time it is, and what becomes of such turns."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bench import others
from bench.cpu import Spent, with_children
from bench.flood import Load, Range, Turn, others_beside
from bench.others import AGAIN, BOUND_CORES, SLACK_S, Census, Quiet, Task, Watch, census, used_s
from bench.plan import Plan
from bench.rows import Head, Rounds, Row, marked
from bench.turns import by_turns
from bench.works import latency
from netns.wait import wait_for

MINE, ZERO = 100, 50.0
STAT = "{pid} (a) b (c) S {parent} 1 1 0 -1 {flags} 9 9 9 9 {used} 20 0 1 0 {began} 8 8\n"
BURN = "import time\nwhile time.process_time() < 0.2: pass\nprint('burnt', flush=True)\ninput()"


def people(**changed: Task | None) -> Census:
    """Return a shell with a job, a kernel thread and a bench with a daemon; None for one less."""
    there = {
        "shell": Task(1, False, 5.0, 10.0),
        "job": Task(10, False, 30.0, 0.0),
        "ksoftirqd": Task(2, True, 7.0, 0.0),
        "bench": Task(10, False, 1.0, 0.0),
        "daemon": Task(MINE, False, 2.0, 0.0),
    }
    pids = {"shell": 10, "job": 11, "ksoftirqd": 12, "bench": MINE, "daemon": 101, "gcc": 13}
    return {(pids[n], 1): task for n, task in (there | changed).items() if task is not None}


@pytest.mark.parametrize(
    ("after", "used"),
    [
        pytest.param(people(), 0.0, id="nothing"),
        pytest.param(people(job=Task(10, False, 30.5, 0.0)), 0.5, id="a job works"),
        pytest.param(people(gcc=Task(11, False, 0.25, 0.0)), 0.25, id="a job begins another"),
        pytest.param(people(shell=Task(1, False, 5.0, 10.5)), 0.5, id="one came and went"),
        pytest.param(
            people(job=None, shell=Task(1, False, 5.0, 40.5)), 0.5, id="the shell collects the job"
        ),
        pytest.param(people(job=None), 0.0, id="nobody collects the job"),
        pytest.param(people(ksoftirqd=Task(2, True, 9.0, 0.0)), 0.0, id="the kernel works"),
        pytest.param(people(bench=Task(10, False, 3.0, 1.0)), 0.0, id="the bench works"),
        pytest.param(people(daemon=Task(MINE, False, 3.0, 0.0)), 0.0, id="what it started works"),
        pytest.param(people(daemon=Task(1, False, 9.0, 0.0)), 0.0, id="what lost its parent does"),
        pytest.param(people(gcc=Task(101, False, 4.0, 0.0)), 0.0, id="a child of a child begins"),
    ],
)
def test_cpu_time_is_of_others_unless_the_bench_or_the_kernel_used_it(
    after: Census, used: float
) -> None:
    assert used_s(people(), after, MINE) == pytest.approx(used)


def test_stat_of_a_process_is_read_past_brackets_in_its_name() -> None:
    text = STAT.format(pid=5, parent=3, flags=0x00200040, used="100 50 20 10", began=77)
    began, task = others.parse(text)
    ticks = os.sysconf("SC_CLK_TCK")
    assert (began, task.parent, task.is_kernel) == (77, 3, True)
    assert task.own_s == pytest.approx(150 / ticks)
    assert task.collected_s == pytest.approx(30 / ticks)
    assert not others.parse(text.replace(str(0x00200040), str(0x00400040)))[1].is_kernel


def test_busy_process_is_seen_by_who_did_not_start_it() -> None:
    words = [sys.executable, "-c", BURN]
    with (
        subprocess.Popen(["sleep", "60"]) as bystander,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy,
    ):
        before = census()
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"burnt\n"
        after = census()
        wanted = set(with_children(busy.pid)) | {bystander.pid}
        first, last = ({k: t for k, t in c.items() if k[0] in wanted} for c in (before, after))
        seen = used_s(first, last, bystander.pid)
        bystander.kill()
        busy.kill()
    assert 0.05 < seen < 0.5
    assert used_s(first, last, busy.pid) < 0.02


def test_kernel_threads_are_known_by_their_flag() -> None:
    kernel = {pid for (pid, _), task in census().items() if task.is_kernel}
    assert os.getpid() not in kernel
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text() == "kthreadd\n":
        assert 2 in kernel


def test_clock_of_a_process_is_finer_than_ticks() -> None:
    before = time.process_time()
    found = others.clock_s(os.getpid(), -1.0)
    assert before <= found <= time.process_time()


def test_process_that_ended_has_no_clock() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert others.clock_s(process.pid, 1.5) == 1.5


@pytest.mark.parametrize(
    ("used", "lasted_s", "cores"),
    [
        pytest.param(BOUND_CORES * 1.9, 2.0, 0.0, id="as much as may be"),
        pytest.param(BOUND_CORES * 2.2, 2.0, BOUND_CORES * 1.1, id="more"),
        pytest.param(SLACK_S * 0.9, 0.1, 0.0, id="a moment in a short turn"),
        pytest.param(SLACK_S * 2, 0.1, SLACK_S * 20, id="a short turn"),
        pytest.param(3.0, 2.0, 1.5, id="one and a half cores"),
    ],
)
def test_turn_is_loud_beyond_the_bound(
    monkeypatch: pytest.MonkeyPatch, used: float, lasted_s: float, cores: float
) -> None:
    readings = iter([people(), people(job=Task(10, False, 30.0 + used, 0.0))])
    monkeypatch.setattr(others, "census", lambda: next(readings))
    monkeypatch.setattr(os, "getpid", lambda: MINE)
    clock = iter([ZERO, ZERO + lasted_s])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert Watch().loud() == pytest.approx(cores)


class Said(Watch):
    """A watch that says what it was told to."""

    def __init__(self, cores: float) -> None:
        self._said = cores

    def loud(self) -> float:
        return self._said


def quiet_of(cores: Iterable[float], **more: Any) -> Quiet:
    """Return one beside whose turns others use so many cores, one after another."""
    left = iter(cores)
    return Quiet(watch=lambda: Said(next(left)), **more)


@pytest.fixture
def counter() -> Callable[[], int]:
    numbers = iter(range(1, 1000))
    return lambda: next(numbers)


@pytest.mark.parametrize(
    ("cores", "found"),
    [
        pytest.param([0.0], (1, 0.0), id="quiet"),
        pytest.param([1.5, 0.0], (2, 0.0), id="quiet the second time"),
        pytest.param([1.5] * (1 + AGAIN), (1 + AGAIN, 1.5), id="never quiet"),
    ],
)
def test_turn_beside_others_is_taken_again(
    counter: Callable[[], int], cores: list[float], found: tuple[int, float]
) -> None:
    assert quiet_of(cores).take("x", counter) == found


def test_turn_is_taken_once_while_taking_it_again_was_in_vain(counter: Callable[[], int]) -> None:
    loud = [1.0] * (1 + AGAIN)
    quiet = quiet_of([*loud, 1.0, 0.0, *loud])
    turns = [quiet.take("x", counter)[0] for _ in range(4)]
    assert turns == [1 + AGAIN, 2 + AGAIN, 3 + AGAIN, 4 + 2 * AGAIN]  # a quiet one gives hope


def test_turn_is_not_taken_again_when_the_time_is_up(
    counter: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert quiet_of([1.25, 0.0], until=time.monotonic()).take("x", counter) == (1, 1.25)
    assert capsys.readouterr().err == (
        "  x: void unless no turn is better: others used 1.25 cores beside it\n"
    )


def rounds(*pairs: tuple[dict[str, float | None], dict[str, float]]) -> Rounds:
    made = Rounds()
    for figures, loud in pairs:
        made.add(figures, loud)
    return made


HEAD = Head("frames", "60 bytes", "cpu", "us/frame", 4)


def test_loud_turns_are_void_where_everybody_has_quiet_ones() -> None:
    made = rounds(({"a": 9, "b": 1}, {"a": 1.5}), ({"a": 2, "b": 1}, {}), ({"a": 3, "b": 1}, {}))
    first, second = made.rows(HEAD)
    assert (first.median, first.rounds, first.others) == (2.5, 2, 0.0)
    assert first.remark == "1 of 3 turns beside others' load, not counted"
    assert first.ratios["b"].median == 2.5
    assert second.remark == "ratio to a from 2 of 3 rounds"


def test_rows_are_marked_where_somebody_has_no_quiet_turn() -> None:
    made = rounds(({"a": 9, "b": 1}, {"a": 1.5}), ({"a": 3, "b": 1}, {"a": 1.25, "b": 0.5}))
    first, second = made.rows(HEAD)
    assert (first.median, first.rounds) == (6, 2)
    assert (second.median, second.rounds) == (1, 2)
    for row in (first, second):
        assert row.others == 1.5
        assert row.remark == "not quiet: others used up to 1.50 cores meanwhile"


def test_lost_frames_are_no_loud_turn() -> None:
    made = rounds(({"a": None, "b": 1}, {"a": 1.5}), ({"a": None, "b": 1}, {}))
    (row,) = made.rows(HEAD)
    assert (row.subject, row.rounds, row.others) == ("b", 2, 0.0)


def test_difference_is_loud_where_either_is() -> None:
    made = rounds(({"none": 1, "a": 9}, {"none": 1.0}), ({"none": 1, "a": 3}, {}))
    assert made.less("none").values("a") == [2]
    made.rounds.pop()
    made.others.pop()
    assert [(r.median, r.others) for r in made.less("none").rows(HEAD)] == [(8, 1.0)]


def test_row_measured_at_once_is_marked() -> None:
    row = Row(
        work="lookup", case="x", subject="lbfast", metric="lookup", unit="ns",
        median=1.0, low=1.0, high=1.0, rounds=1, remark="first",
    )  # fmt: skip
    assert marked(row, 0.0) == row
    found = marked(row, 1.234)
    assert found.others == 1.23
    assert found.remark == "first; not quiet: others used up to 1.23 cores meanwhile"


def test_turns_of_peers_are_taken_quietly() -> None:
    made = Plan(True, Path(), 60)
    made.quiet = quiet_of([1.0, 0.0, *[1.0] * (1 + AGAIN)])
    calls: list[str] = []

    def turn(name: str) -> dict[str, float]:
        calls.append(name)
        return {"rate": float(len(calls))}

    found = by_turns(made, ("none", "haproxy"), turn, 1)["rate"]
    assert len(calls) == 3 + AGAIN
    assert found.rounds == [{calls[0]: 2.0, calls[-1]: 3.0 + AGAIN}]
    assert found.others == [{calls[-1]: 1.0}]


def test_turns_of_frames_are_taken_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def turn(_: Range, name: str, load: Load) -> Turn:
        calls.append(name)
        return Turn(len(calls), len(calls), Spent(0.0, 0.0))

    monkeypatch.setattr(Range, "turn", turn)
    made = Range(None, None, {})  # type: ignore[arg-type]
    quiet = quiet_of([1.0, 0.0, *[1.0] * (1 + AGAIN)])
    turns = made.round(("none", "lbfast-dr"), Load(), random.Random(1), quiet)
    assert turns[calls[0]] == Turn(2, 2, Spent(0.0, 0.0))
    assert turns[calls[-1]].sent == 3 + AGAIN
    assert others_beside(turns) == {calls[0]: 0.0, calls[-1]: 1.0}


def test_turns_of_requests_under_load_are_taken_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Plan(True, Path(), 60)
    made.quiet = quiet_of([1.0] * 100)
    monkeypatch.setattr(latency, "settle", lambda *_: None)
    monkeypatch.setattr(latency, "turn", lambda *_: (1.0, 2.0))
    found = latency.compare(None, made, 0, 1.0)  # type: ignore[arg-type]
    assert [r.others for r in found["p50"].rows(HEAD)] == [1.0, 1.0]


def test_watch_sees_a_process_of_somebody_else() -> None:
    """The busy one's parent ends at once, so that it is below process 1, or a subreaper."""
    watch = Watch()
    burn = "import time; t = time.time() + 30\nwhile time.time() < t: pass"
    script = f'setsid {sys.executable} -c "{burn}" >&- 2>&- & echo $!'
    done = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    busy = int(done.stdout)
    try:
        assert wait_for(lambda: watch.used()[0] > 0.1, 20, "CPU time of the busy process")
    finally:
        os.kill(busy, 9)
