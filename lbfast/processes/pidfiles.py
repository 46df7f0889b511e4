"""Pid files: one for the parent, one for each child."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from lbfast.errors import ControlError

logger = logging.getLogger("lbfast")

RUN = Path("/run")
PARENT = "parent"
_NAMES = {PARENT: "keepalived", "vrrp": "vrrp", "checker": "checkers"}


def default_paths(instance: str, use_directory: bool) -> dict[str, Path]:
    """Returns keepalived's own paths (spec 5): with an instance below /run/keepalived."""
    directory = RUN / "keepalived" if use_directory or instance else RUN
    tail = f"_{instance}" if instance else ""
    return {kind: directory / f"{name}{tail}.pid" for kind, name in _NAMES.items()}


class PidFiles:
    """The pid files of one director; `paths` has those that are wanted."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)

    def claim(self) -> None:
        """Writes the parent's; ControlError if it cannot, or the process in it is alive."""
        path = self._paths.get(PARENT)
        if path is None:
            return
        pid = read(path)
        if pid and pid != os.getpid() and _is_alive(pid):
            raise ControlError(f"daemon is already running: pid {pid} in {path}")
        _write(path, os.getpid())

    def note(self, kind: str, pid: int) -> None:
        """Writes the pid of a process, or removes its file for 0; a failure is logged."""
        path = self._paths.get(kind)
        if path is None:
            return
        if pid == 0:
            path.unlink(missing_ok=True)
            return
        try:
            _write(path, pid)
        except ControlError as failed:
            logger.warning("%s", failed)

    def remove(self) -> None:
        for path in self._paths.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _write(path: Path, pid: int) -> None:
    """Puts a pid into a file, whole or not at all; raises ControlError."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        if path.parent == RUN / "keepalived":
            path.parent.mkdir(mode=0o755, exist_ok=True)
        fresh.write_text(f"{pid}\n", encoding="ascii")
        fresh.chmod(0o644)
        fresh.rename(path)
    except OSError as failed:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise ControlError(f"pid file {path}: {failed.strerror}") from None


def read(path: Path) -> int:
    """Returns the pid in a file, 0 where there is none."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
