"""What is said of failing schedulers, and where schedulers are found."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from lbfast.control.scheduler_files import load
from lbfast.control.scheduling import AGAIN_S, Found, Schedulers, TroubleLog
from lbfast.control.tables import Engine, Tables
from lbfast.errors import ConfigError
from lbfast.lab import Scheduler, from_file, from_packages

GOOD = """
from lbfast.lab import Scheduler

class Base(Scheduler):
    pass

class One(Base):
    name = "one"

class Two(Scheduler):
    name = "two"
"""


def rows(**counts: int) -> dict[bytes, tuple[bool, dict[str, int], dict[str, str]]]:
    every = dict.fromkeys(("picked", "stood-in", "raised", "wrong", "late", "lost"), 0)
    return {b"mine": (False, every | {"stood-in": 9} | counts, {"raised": "ValueError: why"})}


def test_a_trouble_is_told_once_and_again_after_a_minute() -> None:
    log = TroubleLog()
    assert log.sentences(rows(), 1000.0) == []
    assert log.sentences(rows(raised=3), 1001.0) == [
        "scheduler 'mine': an exception: ValueError: why (3 so far; wlc decided on 9 connections "
        "instead)"
    ]
    assert log.sentences(rows(raised=5), 1001.0 + AGAIN_S - 1) == []
    assert "(5 so far" in log.sentences(rows(raised=5), 1001.0 + AGAIN_S)[0]
    assert log.sentences(rows(raised=5), 5000.0) == []  # nothing new


def test_kinds_of_trouble_are_told_apart() -> None:
    log = TroubleLog()
    log.sentences(rows(raised=1), 0.0)
    (said,) = log.sentences(rows(raised=2, late=1), 1.0)
    assert said.startswith("scheduler 'mine': no answer within 20 ms (1 so far")
    (said,) = log.sentences(rows(raised=2, late=1, wrong=4), 2.0)
    assert said.startswith("scheduler 'mine': a wrong answer (4 so far")


def test_a_scheduler_that_is_not_loaded_is_named_once_a_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedulers = Schedulers(Tables(Engine(seed=1)), [])

    class Missing:
        def schedulers(self) -> dict[bytes, Any]:
            return {}

        def schedulers_missing(self) -> list[bytes]:
            return [b"gone", b"lost", b"gone"]

    monkeypatch.setattr(schedulers, "_engine", Missing())
    schedulers.start()
    schedulers.stop()
    said = [record.getMessage() for record in caplog.records]
    assert [text.split(" is not")[0] for text in said] == [
        "scheduler 'gone' of 2 services",
        "scheduler 'lost' of 1 service",
    ]
    assert all("wlc decides instead; expected it in a --scheduler-file" in text for text in said)


def test_a_thread_serves_while_there_is_a_scheduler_in_python() -> None:
    class Mine(Scheduler):
        name = "mine"

    tables = Tables(Engine(seed=1))
    schedulers = Schedulers(tables, [Found("mine", Mine, "here")])
    for _ in range(2):
        schedulers.start()
        schedulers.stop()
        assert not tables.engine.serving


def test_a_name_that_is_taken_is_refused_with_its_origin() -> None:
    with pytest.raises(ConfigError, match=r"^/x\.py: scheduler 'wlc' is there already$"):
        Schedulers(Tables(Engine(seed=1)), [Found("wlc", Scheduler, "/x.py")])


def test_a_file_gives_its_own_named_classes(tmp_path: Path) -> None:
    path = tmp_path / "good.py"
    path.write_text(GOOD)
    found = from_file(str(path))
    assert [(one.name, one.origin) for one in found] == [("one", str(path)), ("two", str(path))]
    assert all(issubclass(one.scheduler, Scheduler) for one in found)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("empty.py", "", r"no scheduler, expected a class Scheduler with a name$"),
        ("unnamed.py", GOOD.replace("name =", "other ="), "no scheduler, expected"),
        ("broken.py", "def (", "SyntaxError: "),
        ("failing.py", "raise KeyError('x\\ny')", r"KeyError: 'x\\ny'$"),
        ("least.txt", GOOD, "no file of Python or of compiled Python"),
        ("not.so", "no ELF", "ImportError: "),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused_in_one_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as refused:
        from_file(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^/nowhere/x\.py: no file of Python"):
        from_file("/nowhere/x.py")


def test_packages_give_theirs_by_the_name_of_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sched_package.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    group = "lbfast.schedulers"
    entries = [
        EntryPoint("uno", "sched_package:One", group),
        EntryPoint("bad", "sched_package:Three", group),
    ]
    found, faults = from_packages(entries)
    assert [(one.name, one.origin) for one in found] == [("uno", "sched_package:One")]
    (fault,) = faults
    assert fault.startswith("scheduler 'bad' of sched_package:Three: AttributeError: ")


def test_a_package_that_fails_does_not_keep_the_director_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "x-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: x\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lbfast.schedulers]\nbad = nowhere_at_all:X\n")
    monkeypatch.syspath_prepend(tmp_path)
    good = tmp_path / "good.py"
    good.write_text(GOOD)
    with caplog.at_level(logging.WARNING, "lbfast"):
        found = load([str(good)])
    assert [one.name for one in found] == ["one", "two"]
    assert "scheduler 'bad' of nowhere_at_all:X: ModuleNotFoundError" in caplog.text
