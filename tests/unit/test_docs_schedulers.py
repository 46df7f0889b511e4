"""docs/schedulers.md: its code is that of the example files, and runs."""

from __future__ import annotations

import re
from pathlib import Path

from bench.schedulers import BUILT_IN, load
from lbfast.control.tables import Engine, Tables
from lbfast.model import AF_INET, ServiceKey, VirtualService

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "schedulers.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_in_python_are_the_file_and_run() -> None:
    example, trial = blocks("python")
    assert example == (DOCS / "examples/least.py").read_text()
    names = {"__name__": "page"}
    exec(compile(example + trial, "docs/schedulers.md", "exec"), names)
    assert "picked" in names


def test_the_compiled_example_is_in_the_file() -> None:
    (core,) = blocks("cython")
    assert core in (DOCS / "examples/hrw/hrw.pyx").read_text()


def test_every_built_in_scheduler_has_its_line_and_its_figures() -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \|", PAGE, re.MULTILINE)
    listed = [name for row in rows[1:] for name in row.split(", ")]
    assert sorted(listed) == sorted(BUILT_IN)
    assert set(load()) == {*BUILT_IN, "least"}
    tables = Tables(Engine(seed=1))
    for port, name in enumerate(listed):
        tables.add_service(VirtualService(ServiceKey(AF_INET, 6, bytes(4), port + 1), name))
