"""Finding schedulers: in files, and in installed packages.

A file is Python (.py) or compiled (.so).  What counts in it: classes of its own that are a
`Scheduler` with a `name`, and capsules of the name "lbfast.scheduler".  A package names the same
in its entry-point group `lbfast.schedulers`; there the entry's name is the scheduler's.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from lbfast.control.scheduling import Found
from lbfast.errors import ConfigError
from lbfast.model.scheduling import Scheduler

logger = logging.getLogger("lbfast")

GROUP = "lbfast.schedulers"


def from_file(path: str) -> list[Found]:
    """Returns the schedulers of a file, at least one; raises ConfigError."""
    module = _module(Path(path))
    found = [
        Found(value.name, value, path)
        for value in vars(module).values()
        if _is_scheduler(value) and value.__module__ == module.__name__
    ]
    found += [Found("", value, path) for value in vars(module).values() if _is_capsule(value)]
    if not found:
        raise ConfigError(f"{path}: no scheduler, expected a class Scheduler with a name")
    return found


def from_packages(
    entries: Iterable[EntryPoint] | None = None,
) -> tuple[list[Found], list[str]]:
    """Returns the schedulers of installed packages, and a sentence on each that failed."""
    found, faults = [], []
    for entry in entry_points(group=GROUP) if entries is None else entries:
        try:
            value = entry.load()
        except Exception as e:
            faults.append(f"scheduler {entry.name!r} of {entry.value}: {_reason(e)}")
            continue
        found.append(Found("" if _is_capsule(value) else entry.name, value, entry.value))
    return found, faults


def _is_scheduler(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Scheduler) and bool(value.name)


def _is_capsule(value: object) -> bool:
    return type(value).__name__ == "PyCapsule" and '"lbfast.scheduler"' in repr(value)


def _module(path: Path) -> ModuleType:
    """Runs a file as a module, which is called as the file is up to its first dot: a compiled
    one knows its own name."""
    name = path.name.split(".")[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"{path}: no file of Python or of compiled Python")
    before = sys.modules.get(name)
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where dataclasses look for it
        spec.loader.exec_module(module)
    except Exception as e:
        raise ConfigError(f"{path}: {_reason(e)}") from e
    finally:
        if before is not None:
            sys.modules[name] = before
    return module


def _reason(error: Exception) -> str:
    """Returns what went wrong, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def load(paths: Iterable[str]) -> list[Found]:
    """Returns the schedulers of files and of installed packages; those of a package that cannot
    be loaded are left out with a warning.  Raises ConfigError."""
    found = [one for path in paths for one in from_file(path)]
    packaged, faults = from_packages()
    for sentence in faults:
        logger.warning("%s", sentence)
    return found + packaged
