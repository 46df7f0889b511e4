"""CPU accounting of the benches: a known busy loop, its children, and the arithmetic."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.cpu import Reading, Stand, parse_stat, process_s, reading, spent, stand, with_children

BUSY_S = 0.2
# burns CPU time by its own clock, says so, and waits: in a thread and, when told, in a child
BURN = """
import os, sys, threading, time
def burn():
    begun = time.thread_time()
    while time.thread_time() - begun < float(sys.argv[1]):
        pass
    print(time.thread_time() - begun, flush=True)
    sys.stdin.read()
print("up", flush=True)
sys.stdin.readline()
if len(sys.argv) > 2 and os.fork():
    sys.stdin.read()
else:
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
"""
STAT = "cpu  700 10 300 {idle} {iowait} 5 20 {steal} 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n"


@contextmanager
def burner(*more: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", BURN, str(BUSY_S), *more]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def burnt(process: subprocess.Popen[str]) -> float:
    """Let it burn; return the CPU seconds that it says it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


@pytest.mark.parametrize("more", [(), ("child",)], ids=["in a thread", "in a child's thread"])
def test_busy_loop_costs_what_it_burnt(more: tuple[str, ...]) -> None:
    with burner(*more) as process:
        before = reading([process.pid])
        said = burnt(process)
        found = spent(before, reading([process.pid]))
    assert said <= found.own_s <= said + 0.1  # beside the loop: a thread, perhaps a fork
    assert found.machine_s >= said - 0.03  # two readings, 10 ms each, and the clock between them


def test_children_of_children_belong_to_it() -> None:
    with burner("child") as process:
        assert with_children(process.pid) == [process.pid]
        burnt(process)
        assert len(with_children(process.pid)) == 2


def test_process_that_has_ended_costs_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert process_s(process.pid) == 0
    assert reading([process.pid]).own_s == 0


def test_machine_is_busy_when_neither_idle_nor_stolen() -> None:
    before = parse_stat(STAT.format(idle=1000, iowait=10, steal=7), 50.0, 100)
    after = parse_stat(STAT.format(idle=1120, iowait=20, steal=17), 51.0, 100)
    assert before == Stand(50.0, 10.1, 0.07, 2)
    assert after.busy_since(before) == pytest.approx(2.0 - 1.3 - 0.1)


def test_idle_machine_is_never_busier_than_its_cores() -> None:
    before = stand()
    subprocess.run(["sleep", "0.2"], check=True)
    after = stand()
    assert -0.03 <= after.busy_since(before) <= (after.wall_s - before.wall_s) * after.cores + 0.03


def test_spent_takes_the_first_reading_off() -> None:
    first, then = Stand(0, 0, 0, 2), Stand(1, 0.5, 0, 2)
    found = spent(Reading(1.0, first), Reading(1.25, then))
    assert (found.own_s, found.machine_s) == (0.25, 1.5)
