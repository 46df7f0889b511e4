"""Schedulers in Python: what they are given, what they may answer, what becomes of failures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbfast.control.tables import Engine, Tables
from lbfast.lab import Flow, Scheduler, Server, Trial
from lbfast.model import AF_INET, ServiceKey, VirtualService
from netns.wait import wait_for

A, B, C = "10.2.0.1", "10.2.0.2", "10.2.0.3"
CLIENT = "10.1.0.1"
SERVICE = ServiceKey(AF_INET, 6, bytes((10, 9, 0, 1)), 80)


def raw(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


class Recorder(Scheduler):
    """Picks what `answers` says, the first server without it; notes every call."""

    name = "recorder"
    answers: list[object]
    calls: list[tuple[object, ...]]

    def pick(self, flow: Flow, servers: Sequence[Server]) -> Server | None:
        type(self).calls.append(("pick", flow, servers))
        if not type(self).answers:
            return servers[0]
        answer = type(self).answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, str):
            return next(s for s in servers if s.addr == raw(answer))
        return answer  # type: ignore[return-value]


class Follower(Recorder):
    name = "follower"

    def opened(self, flow: Flow, server: Server) -> None:
        type(self).calls.append(("opened", flow.cport, str(server)))

    def closed(self, flow: Flow, server: Server) -> None:
        type(self).calls.append(("closed", flow.cport, str(server)))

    def changed(self, servers: Sequence[Server]) -> None:
        type(self).calls.append(("changed", [(str(s), s.weight) for s in servers]))


@pytest.fixture(autouse=True)
def forget() -> None:
    Recorder.answers, Recorder.calls = [], []
    Follower.answers, Follower.calls = Recorder.answers, Recorder.calls


def counts(trial: Trial, name: str) -> dict[str, int]:
    """Return the counters that are not 0."""
    return {k: n for k, n in trial.engine.schedulers()[name.encode()][1].items() if n}


def texts(trial: Trial, name: str) -> dict[str, str]:
    return trial.engine.schedulers()[name.encode()][2]


# ---------------------------------------------------------------- what it is given


def test_pick_is_given_the_flow_and_the_servers_newest_first() -> None:
    trial = Trial(Recorder, {A: 1, B: 3})
    trial.wait(1)
    assert trial.connect(CLIENT, 1234) == B
    ((_, flow, servers),) = Recorder.calls
    assert flow == Flow(6, raw(CLIENT), 1234, raw("10.255.0.1"), 80, 0, trial.now_ns)
    assert servers == (Server(raw(B), 80, 3), Server(raw(A), 80, 1))


def test_pick_is_asked_once_a_connection_and_not_for_its_packets() -> None:
    trial = Trial(Recorder, {A: 1})
    trial.connect(CLIENT, 1)
    trial.close(CLIENT, 1)
    trial.connect(CLIENT, 2)
    assert len(Recorder.calls) == 2


def test_servers_have_their_present_connections() -> None:
    trial = Trial(Recorder, {A: 1, B: 1})
    Recorder.answers[:] = [A, A, B, A]
    for port in (1, 2, 3):
        trial.connect(CLIENT, port)
    trial.close(CLIENT, 2)
    trial.connect(CLIENT, 4)
    seen = Recorder.calls[-1][2]
    assert seen == (Server(raw(B), 80, 1, 1, 0), Server(raw(A), 80, 1, 1, 1))


def test_servers_of_ipv6_and_ports_of_their_own_are_shown() -> None:
    assert str(Server(bytes(15) + b"\1", 8080)) == "[::1]:8080"
    assert Server(raw(A), 80, 0).usable is False
    assert Server(raw(A), 80, 1, overloaded=True).usable is False
    assert Server(raw(A), 80, 1, 2, 3).overhead == 2 * 257 + 3


def test_each_service_has_a_scheduler_of_its_own() -> None:
    made = []

    class Counted(Recorder):
        name = "counted"

        def __init__(self) -> None:
            made.append(self)

    trial = Trial(Counted, {A: 1})
    trial.connect(CLIENT, 1)
    trial.tables.add_service(VirtualService(SERVICE, "counted"))
    assert len(made) == 1  # the other one has had no connection yet
    trial.connect(CLIENT, 2)
    assert len(made) == 1


def test_changed_comes_before_the_next_pick_with_the_new_list() -> None:
    trial = Trial(Follower, {A: 1, B: 1})
    trial.connect(CLIENT, 1)
    trial.weigh(A, 5)
    trial.connect(CLIENT, 2)
    trial.remove(B)
    trial.connect(CLIENT, 3)
    lists = [call[1] for call in Recorder.calls if call[0] == "changed"]
    a, b = f"{A}:80", f"{B}:80"
    assert lists == [[(b, 1), (a, 1)], [(b, 1), (a, 5)], [(a, 5)]]


def test_opened_and_closed_tell_of_every_connection() -> None:
    trial = Trial(Follower, {A: 1, B: 1})
    Recorder.answers[:] = [A, B]
    trial.connect(CLIENT, 1)
    trial.connect(CLIENT, 2)
    trial.close(CLIENT, 1)
    told = [("opened", 1, f"{A}:80"), ("opened", 2, f"{B}:80")]
    assert [call for call in Recorder.calls if call[0] == "opened"] == told
    for seconds, port, server in ((61, 2, B), (60, 1, A)):
        trial.wait(seconds)
        assert Recorder.calls[-1] == ("closed", port, f"{server}:80")


# ---------------------------------------------------------------- what it may answer


def test_none_refuses_the_connection() -> None:
    trial = Trial(Recorder, {A: 1})
    Recorder.answers[:] = [None, A]
    assert trial.connect(CLIENT, 1) is None
    assert trial.connect(CLIENT, 1) == A
    assert counts(trial, "recorder") == {"picked": 2}


def test_a_server_kept_from_an_earlier_call_will_do() -> None:
    trial = Trial(Recorder, {A: 1, B: 1})
    Recorder.answers[:] = [A, Server(raw(B), 80, 77)]
    assert [trial.connect(CLIENT, port) for port in (1, 2)] == [A, B]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(7, "pick returned 7, expected one of the servers or None", id="a number"),
        pytest.param((raw(A), 80), "expected one of the servers or None", id="a bare tuple"),
        pytest.param(Server(raw("10.2.0.9"), 80), "10.2.0.9:80, which is not among", id="unknown"),
        pytest.param(Server(raw(A), 81), "10.2.0.1:81, which is not among", id="another port"),
        pytest.param(Server(raw(C), 80), "which is quiesced or overloaded", id="quiesced"),
    ],
)
def test_a_wrong_answer_is_counted_and_wlc_decides(answer: object, sentence: str) -> None:
    trial = Trial(Recorder, {C: 0, A: 1, B: 2})
    Recorder.answers[:] = [A, answer, answer]
    assert [trial.connect(CLIENT, port) for port in (1, 2, 3)] == [A, B, B]
    assert counts(trial, "recorder") == {"picked": 1, "stood-in": 2, "wrong": 2}
    assert sentence in texts(trial, "recorder")["wrong"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no\nsuch luck"),
        SystemExit(3),
        RecursionError("deep"),
        type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_exception_is_counted_and_wlc_decides(error: BaseException) -> None:
    trial = Trial(Recorder, {A: 1, B: 2})
    Recorder.answers[:] = [error]
    assert trial.connect(CLIENT, 1) == B
    assert trial.connect(CLIENT, 2) == B
    assert counts(trial, "recorder") == {"picked": 1, "stood-in": 1, "raised": 1}
    text = texts(trial, "recorder")["raised"]
    assert type(error).__name__ in text
    assert f"({__file__}:" in text


def test_a_hook_that_raises_does_not_take_the_choice_away() -> None:
    class Angry(Recorder):
        name = "angry"

        def opened(self, flow: Flow, server: Server) -> None:
            raise ValueError("opened")

    trial = Trial(Angry, {A: 1, B: 2})
    Recorder.answers[:] = [A, A]
    assert [trial.connect(CLIENT, port) for port in (1, 2)] == [A, A]
    assert counts(trial, "angry") == {"picked": 2, "raised": 2}


def test_one_that_cannot_be_made_is_tried_once_and_wlc_decides() -> None:
    class Unmade(Recorder):
        name = "unmade"

        def __init__(self) -> None:
            raise OSError("no file")

    trial = Trial(Unmade, {A: 1, B: 2})
    assert [trial.connect(CLIENT, port) for port in (1, 2)] == [B, A]
    assert counts(trial, "unmade") == {"stood-in": 2, "raised": 1}


def test_no_servers_and_no_question() -> None:
    trial = Trial(Recorder, {})
    assert trial.connect(CLIENT, 1) is None
    assert not Recorder.calls


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["connect", "close", "weigh", "wait"]), st.integers(0, 7)),
        max_size=40,
    )
)
def test_what_is_shown_is_what_the_tables_say(steps: list[tuple[str, int]]) -> None:
    """Only changes are handed over, so the shown counts could drift from the true ones."""
    Recorder.calls.clear()
    addresses = [f"10.2.0.{n}" for n in range(1, 5)]
    trial = Trial(Recorder, dict.fromkeys(addresses, 1))
    for port, (word, value) in enumerate(steps, 1024):
        if word == "connect":
            Recorder.answers[:] = [addresses[value % 4]]
            expected = trial.load()
            trial.connect(CLIENT, port)
            shown = Recorder.calls[-1][2]
            assert {str(s).split(":")[0]: s[3:5] for s in shown} == expected  # type: ignore
        elif word == "close":
            trial.close(CLIENT, 1024 + value)
        elif word == "weigh":
            trial.weigh(addresses[value % 4], 1 + value)
        else:
            trial.wait(value * 20)


def test_counters_tell_an_operator_what_it_did() -> None:
    trial = Trial(Recorder, {A: 1, B: 1})
    Recorder.answers[:] = [A, 7]
    for port in (1, 2):
        trial.connect(CLIENT, port)
    shown = {row.name: row.value for row in trial.tables.counters() if row.group == "scheduler"}
    names = ("picked", "stood-in", "raised", "wrong", "late", "lost")
    assert shown == dict(zip((f"recorder {n}" for n in names), (1, 1, 0, 1, 0, 0), strict=True))


# ---------------------------------------------------------------- one that does not answer


class Slow(Recorder):
    """Does not come back from pick while `gate` is closed, and late in any case."""

    name = "slow"
    gate = threading.Event()

    def pick(self, flow: Flow, servers: Sequence[Server]) -> Server | None:
        self.gate.wait(30)
        end = time.monotonic() + 0.025
        while time.monotonic() < end:
            pass
        return super().pick(flow, servers)


def test_no_answer_in_time_lets_wlc_decide_until_it_has_rested() -> None:
    """The thread that serves cannot answer while process() holds the GIL, as if pick hung."""
    trial = Trial(Slow, {A: 1, B: 2})
    Slow.gate.clear()
    Recorder.answers[:] = [A, A]
    thread = threading.Thread(target=trial.engine.serve_schedulers)
    thread.start()
    try:
        wait_for(lambda: trial.engine.serving, timeout_s=10)
        assert [trial.connect(CLIENT, port) for port in (1, 2)] == [B, A]
        assert counts(trial, "slow")["late"] == 1  # not asked again while the first is out
        before = counts(trial, "slow")["stood-in"]
        Slow.gate.set()
        wait_for(lambda: "late" in texts(trial, "slow"), timeout_s=10)
    finally:
        Slow.gate.set()
        trial.engine.serve_stop()
        thread.join(10)
    assert texts(trial, "slow")["late"].startswith("pick took ")
    assert trial.connect(CLIENT, 3) == B
    assert counts(trial, "slow")["stood-in"] == before + 1  # it rests
    trial.wait(1.1)
    Recorder.answers[:] = [A]
    assert trial.connect(CLIENT, 4) == A  # wlc would pick B
    assert counts(trial, "slow")["picked"] == 1


# ---------------------------------------------------------------- registration


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wlc", "scheduler 'wlc' is there already"),
        ("none", "scheduler name b'none': expected"),
        ("", "scheduler name b'': expected 1 to 15 printable characters"),
        ("sixteen-letters!", "expected 1 to 15 printable characters"),
        ("two words", "without a space"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, sentence: str) -> None:
    tables = Tables(Engine(seed=1))
    with pytest.raises(ValueError, match=sentence):
        tables.add_scheduler(name, Recorder)
    assert tables.engine.schedulers() == {}


def test_a_name_twice_and_a_class_without_pick_are_refused() -> None:
    tables = Tables(Engine(seed=1))
    tables.add_scheduler("recorder", Recorder)
    with pytest.raises(ValueError, match="'recorder' is there already"):
        tables.add_scheduler("recorder", Recorder)
    with pytest.raises(TypeError, match="expected a class with a method pick"):
        tables.add_scheduler("dict", dict)


@pytest.mark.covers("C-004")
def test_an_unknown_name_is_refused_as_the_kernel_does() -> None:
    tables = Tables(Engine(seed=1))
    with pytest.raises(OSError, match="No such file") as refused:
        tables.add_service(VirtualService(SERVICE, "recorder"))
    assert refused.value.errno == 2
    tables.add_scheduler("recorder", Recorder)
    tables.add_service(VirtualService(SERVICE, "recorder"))
    assert tables.service(SERVICE).service.scheduler == "recorder"


def arena(path: Path, seed: int = 0) -> Engine:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        return Engine(conns=1024, dests=64, services=4, fd=fd, seed=seed)
    finally:
        os.close(fd)


def test_a_service_taken_over_without_its_scheduler_has_wlc_until_it_comes(tmp_path: Path) -> None:
    first = arena(tmp_path / "arena", seed=1)
    tables = Tables(first)
    tables.add_scheduler("recorder", Recorder)
    tables.add_service(VirtualService(SERVICE, "recorder"))
    second = arena(tmp_path / "arena")
    assert second.found == {"services": 1, "dests": 0, "conns": 0, "broken": 0}
    assert second.schedulers_missing() == [b"recorder"]
    tables = Tables(second)
    assert tables.service(SERVICE).service.scheduler == "recorder"  # what -S saves
    tables.edit_service(VirtualService(SERVICE, "recorder", timeout_s=5))
    tables.add_scheduler("recorder", Recorder)
    assert second.schedulers_missing() == []
    tables.edit_service(VirtualService(SERVICE, "rr"))
    tables.edit_service(VirtualService(SERVICE, "recorder"))


def test_another_scheduler_takes_over_and_gives_back_while_connections_are_there() -> None:
    trial = Trial(Follower, {A: 1, B: 1})
    key = trial.tables.services()[0].service.key
    trial.connect(CLIENT, 1)
    for name in ("rr", "follower", "lblcr", "follower"):
        trial.tables.edit_service(VirtualService(key, name))
        assert trial.connect(CLIENT, 2) in (A, B)
    trial.tables.delete_service(key)
    trial.wait(1000)
    assert not trial.tables.services()
