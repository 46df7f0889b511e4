"""Arrows point one way: daemon -> control -> config, vrrp, check, sync -> notify -> model."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source.files import text, with_suffix

TABLES = Path("lbfast/control/tables.py")
MODULES = [path for path in with_suffix(".py") if path.parts[0] == "lbfast"]
TYPES_ONLY = frozenset({"model", "errors"})
COMMAND = TYPES_ONLY | {"words"}
KERNEL = frozenset({"rtnl", "nftlib", "bpf"})  # ways to the kernel
# what each part may import from lbfast besides itself
ALLOWED: dict[str, frozenset[str]] = {
    "__init__": frozenset(),
    "model": frozenset(),
    "errors": frozenset(),
    "words": frozenset(),
    "config": TYPES_ONLY | {"notify"},
    "notify": TYPES_ONLY,
    "rtnl": frozenset(),
    "bpf": frozenset(),
    "nftlib": TYPES_ONLY,
    "vrrp": TYPES_ONLY | KERNEL | {"notify"},
    "check": TYPES_ONLY | KERNEL | {"notify"},
    "sync": TYPES_ONLY,
    "control": TYPES_ONLY | KERNEL | {"config", "vrrp", "check", "sync", "__init__"},
    "lab": TYPES_ONLY | {"config", "control", "__init__"},
    "cli": COMMAND | {"config", "control", "lab", "daemon", "processes", "__init__"},
    "selfcall": frozenset(),
    "realservers": TYPES_ONLY | KERNEL | {"selfcall"},
    "realserver": COMMAND | {"control", "realservers"},
    "demos": TYPES_ONLY | {"selfcall"},
    "demo": COMMAND | {"demos"},
    "processes": TYPES_ONLY | {"config", "control", "vrrp", "check", "notify", "selfcall"},
    "daemon": COMMAND | {"processes"} | {"config", "control", "vrrp", "check", "sync", "__init__"},
    "replay": COMMAND | {"cli", "control"},
    "bench": COMMAND | {"control", "selfcall"},
    "__main__": TYPES_ONLY | {"cli", "daemon", "control", "__init__"},
}


def imported(source: str) -> Iterator[str]:
    """Yield the dotted names below lbfast that a module imports, at any depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("lbfast"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"line {node.lineno}: relative import, expected an absolute one"
            )
            if node.module == "lbfast":
                yield from (f"lbfast.{name.name}" for name in node.names)
            elif node.module and node.module.startswith("lbfast."):
                yield node.module
                yield from (f"{node.module}.{name.name}" for name in node.names)


def part(path: Path) -> str:
    """Return the part of lbfast a module belongs to: its folder, or its own name."""
    return path.parts[1] if len(path.parts) > 2 else path.stem


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_what_is_below_it(path: Path) -> None:
    mine = part(path)
    assert mine in ALLOWED, f"{path}: give this part its place in ALLOWED"
    wrong = set()
    for name in imported(text(path)):
        target = name.split(".")[1] if "." in name else "__init__"
        if target.startswith("__") and target != "__init__":
            target = "__init__"  # lbfast.__version__
        if target not in ALLOWED[mine] | {mine, "_fastpath"}:
            wrong.add(name)
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_single_writer_imports_the_data_path(path: Path) -> None:
    uses = any(name.startswith("lbfast._fastpath") for name in imported(text(path)))
    assert not uses or path == TABLES
