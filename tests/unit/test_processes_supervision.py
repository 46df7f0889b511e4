"""When a child is started again, when it counts as hung, and what the kernel says of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import launch
from lbfast.processes.supervision import (
    HELLO_S,
    KERNEL_PATIENCE_S,
    PATIENCE_S,
    Pace,
    Watch,
    pace,
)
from lbfast.vrrp.missed import unnoticed_s
from netns.wait import wait_for


def test_child_is_started_again_at_once_then_after_1_2_4_seconds_up_to_a_minute() -> None:
    watch = Watch()
    delays = []
    for now_s in range(10):
        watch.start(float(now_s))
        delays.append(watch.ended(float(now_s) + 0.1))
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_long_life_is_no_failure() -> None:
    watch = Watch()
    for now_s in (0.0, 1.0, 2.0):
        watch.start(now_s)
        watch.ended(now_s)
    watch.start(10.0)
    assert watch.ended(70.0) == 0.0


def test_child_that_does_not_answer_counts_as_hung() -> None:
    watch = Watch()
    watch.start(100.0)
    assert not watch.is_hello_due(100.0)
    assert watch.is_hello_due(100.0 + HELLO_S)
    watch.asked(105.0)
    assert not watch.is_hello_due(120.0), "one question at a time"
    assert watch.silent_s(108.0) == 3.0
    watch.answered()
    assert watch.silent_s(200.0) == 0.0


@pytest.mark.parametrize(
    ("state", "has_run", "patience_s"),
    [
        pytest.param("T", False, 0.4, id="one that was stopped is replaced before others lead"),
        pytest.param("T", True, 0.4, id="whatever it has done before"),
        pytest.param("S", False, 2.0, id="one asleep is lost only when others lead"),
        pytest.param("S", True, PATIENCE_S, id="one that pauses at its work is at work"),
        pytest.param("R", False, PATIENCE_S, id="one that gets no CPU is at work"),
        pytest.param("D", False, KERNEL_PATIENCE_S, id="one within the kernel cannot answer"),
    ],
)
def test_patience_is_by_what_a_child_does(state: str, has_run: bool, patience_s: float) -> None:
    watch = Watch(pace=Pace(0.1, 0.4, 2.0))
    assert watch.patience_s(state, has_run=has_run) == patience_s


def test_time_in_which_the_parent_was_late_is_no_silence() -> None:
    watch = Watch()
    watch.asked(100.0)
    watch.excuse(7.0)
    assert watch.silent_s(108.0) == 1.0
    watch.answered()
    watch.asked(110.0)
    assert watch.silent_s(111.0) == 1.0, "it counts for one question"


def test_child_that_answers_while_it_starts_is_not_slow() -> None:
    watch = Watch()
    watch.start(10.0)
    watch.asked(50.0)
    watch.still_starts()
    assert not watch.is_slow(100.0)
    assert watch.is_slow(110.0)
    assert watch.alive_s == 10.0, "it has not done its work yet"


def test_answer_proves_life_when_the_question_was_asked() -> None:
    watch = Watch()
    watch.start(100.0)
    watch.asked(105.0)
    watch.given_up()
    assert watch.alive_s == 100.0
    watch.asked(110.0)
    watch.answered()
    watch.answered()
    assert watch.alive_s == 110.0


def test_vrrp_is_asked_as_often_as_its_silence_would_be_noticed() -> None:
    def config(*intervals_s: float) -> VrrpConfig:
        made = (
            VrrpInstance(name, 1, "eth0", advert_us=int(interval_s * 1e6))
            for name, interval_s in zip("AB", intervals_s, strict=False)
        )
        return VrrpConfig(tuple(made))

    assert unnoticed_s(config(1), "A") == 2.0
    assert pace(config(10, 1)) == (0.1, 0.4, 2.0)
    assert pace(config(0.01)) == (0.05, 0.2, 0.2)
    assert pace(config(255)) == (HELLO_S, PATIENCE_S, PATIENCE_S)
    assert pace(config()) == (HELLO_S, PATIENCE_S, PATIENCE_S)


def test_process_that_is_stopped_is_known_from_one_that_sleeps() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        pid = process.pid
        wait_for(lambda: launch.state_of(pid) == "S", what="a process that sleeps")
        assert not launch.is_stopped(pid)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert launch.is_stopped(pid)
        assert launch.in_words(launch.state_of(pid)) == "stopped (T)"
        process.kill()
        os.waitpid(pid, 0)
        assert launch.in_words(launch.state_of(pid)) == "ended (X)"


def test_process_that_waits_within_the_kernel_is_known() -> None:
    """A parent waits so for the child of its vfork, as others do for the lock of routing."""
    text = "import ctypes, signal; ctypes.PyDLL(None).vfork() or signal.pause()"
    with subprocess.Popen([sys.executable, "-c", text], process_group=0) as process:
        wait_for(lambda: launch.state_of(process.pid) == "D", what="a process that waits")
        os.killpg(process.pid, signal.SIGKILL)


def test_register_knows_children_that_are_alive(tmp_path: Path) -> None:
    register = launch.Register(tmp_path / "children")
    assert register.living() == {}
    register.write({"vrrp": os.getpid(), "checker": 2**22 + 1})
    assert register.living() == {"vrrp": os.getpid()}
    text = (tmp_path / "children").read_text()
    (tmp_path / "children").write_text(text.replace('"]', '1"]'))
    assert register.living() == {}, "the pid is another process's by now"
    for bad in ("", "[]", '{"vrrp": 3}', "\xff"):
        (tmp_path / "children").write_text(bad)
        assert register.living() == {}


def test_child_that_is_not_ready_after_a_minute_is_slow() -> None:
    watch = Watch()
    watch.start(10.0)
    assert not watch.is_slow(69.0)
    assert watch.is_slow(70.0)
