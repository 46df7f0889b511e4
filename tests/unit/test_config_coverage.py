"""Nothing that is accepted is lost: every field that keywords fill is read by somebody."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import lbfast
from lbfast.config.blocks import Append, Flag, Lines, Table, Value
from lbfast.config.foreign import Foreign
from lbfast.config.keywords.checkers import CHECKERS, URL
from lbfast.config.keywords.globals import GLOBAL_DEFS
from lbfast.config.keywords.top import GARP_GROUP, TOP, TRACK_GROUP
from lbfast.config.keywords.trackers import BFD, TRACK_FILE, TRACK_PROCESS, VRRP_SCRIPT
from lbfast.config.keywords.virtual import REAL_SERVER, VIRTUAL_SERVER
from lbfast.config.keywords.vrrp import SYNC_GROUP, VRRP_INSTANCE
from lbfast.model import check, configuration, mail, netlines, script, vrrp

PACKAGE = Path(lbfast.__file__).parent
TABLES: dict[str, Table] = {
    "top": TOP, "global_defs": GLOBAL_DEFS, "vrrp_instance": VRRP_INSTANCE,
    "vrrp_sync_group": SYNC_GROUP, "virtual_server": VIRTUAL_SERVER, "real_server": REAL_SERVER,
    "vrrp_script": VRRP_SCRIPT, "track_file": TRACK_FILE, "vrrp_track_process": TRACK_PROCESS,
    "bfd_instance": BFD, "garp_group": GARP_GROUP, "track_group": TRACK_GROUP, "url": URL,
    **CHECKERS,
}  # fmt: skip
FIFOS = {
    f"{kind}notify_fifo{tail}" for kind in ("", "vrrp_", "lvs_") for tail in ("", "_script")
}  # their names are put together
MODELS = (check, configuration, mail, netlines, script, vrrp)


def words_of(paths: Iterator[Path]) -> set[str]:
    """Returns attributes, names of arguments, and strings that some files mention."""
    found: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize("name", TABLES)
def test_field_of_every_keyword_is_read_by_the_meaning(name: str) -> None:
    known = words_of((PACKAGE / "config/meaning").glob("*.py")) | FIFOS
    known |= words_of(iter([PACKAGE / "config/load.py"]))
    known |= {field.name for model in (check.Timing, check.Endpoint)
              for field in dataclasses.fields(model)}  # fmt: skip
    lost = []
    for keyword, row in TABLES[name].items():
        inner = row.row if isinstance(row, Foreign) else row
        if isinstance(inner, Value | Flag | Append | Lines) and inner.field not in known:
            lost.append(keyword)
    assert not lost


@pytest.mark.parametrize("module", MODELS, ids=lambda module: str(module.__name__))
def test_field_of_every_model_is_read_outside_of_the_configuration(module: object) -> None:
    readers = (
        path for path in PACKAGE.rglob("*.py")
        if "config" not in path.relative_to(PACKAGE).parts[:-1]
    )  # fmt: skip
    known = words_of(readers)
    lost = [
        f"{name}.{field.name}"
        for name, model in inspect.getmembers(module, dataclasses.is_dataclass)
        for field in dataclasses.fields(model)
        if field.name not in known
    ]
    assert not lost
