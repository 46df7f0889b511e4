"""From a request to a running director: namespace, name, log, background, and then the loop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop
from pyroute2 import netns

from lbfast.config.load import Loaded, load
from lbfast.config.system import System
from lbfast.control.forgotten import sweep
from lbfast.control.rundir import check_name, claim, director_name
from lbfast.errors import ControlError, LbfastError
from lbfast.processes import early, pidfiles
from lbfast.processes.director import (
    EXIT_CONFIG,
    EXIT_NO_CONFIG,
    WORDS,
    Director,
    Options,
    read,
)
from lbfast.processes.log import LogSettings, set_up
from lbfast.processes.parent import Settings

logger = logging.getLogger("lbfast")


@dataclass(frozen=True, slots=True)
class Request:
    """What a command line asks for."""

    file: str
    config_id: str = ""
    namespace: str = ""
    forwarder: dict[str, Any] = field(default_factory=dict)  # words for a forwarder's Plan
    with_vrrp: bool | None = None
    with_check: bool | None = None
    keep_addresses: bool = False
    keep_table: bool = False
    respawn: bool = True
    background: bool = False
    detail: bool = False
    dump_at_start: bool = False
    log_file: str = ""
    facility: str = ""
    is_silent: bool = False
    console: bool = False  # to the terminal too
    umask: str = ""
    keepalived_pids: bool = False  # keepalived's own pid files are wanted
    pid_files: dict[str, Path] = field(default_factory=dict)


def start(request: Request) -> int:
    """Runs a director until it is told to stop; returns the exit status."""
    if os.geteuid() != 0:
        raise ControlError(
            "running needs root: packet sockets (CAP_NET_RAW) and rules (CAP_NET_ADMIN)"
        )
    early.defer(*WORDS)
    log = LogSettings(
        logging.DEBUG if request.detail else logging.INFO,
        request.log_file,
        request.facility,
        request.is_silent,
        request.console,
    )
    title = "Keepalived" if request.keepalived_pids else "lbfast"
    set_up(replace(log, console=True), title)  # what is wrong at first is for who starts it too
    if not os.path.exists(request.file):
        logger.error("%s: no such file, expected a configuration", request.file)
        return EXIT_NO_CONFIG
    if namespace := request.namespace or _named_namespace(request):
        _enter(namespace)
    loaded = read(Options(request.file, _settings(request, "", "", log), request.config_id))
    if loaded.findings.is_refused:
        logger.error("%s is refused: nothing is started", request.file)
        return EXIT_CONFIG
    log = replace(log, suffix=_suffix(namespace, loaded))
    leave = _go_to_background() if request.background else lambda: None

    def begun() -> None:
        leave()
        set_up(log, title)

    return _run(request, loaded, log, begun)


def _suffix(namespace: str, loaded: Loaded) -> str:
    """Returns what tells the processes of several directors apart in the log."""
    names = (namespace, loaded.configuration.process.instance)
    return "".join(f"_{name}" for name in names if name)


def _named_namespace(request: Request) -> str:
    """Returns what the file says; its interfaces can only be looked for there."""
    loaded = load(request.file, System(), request.config_id)
    return loaded.configuration.process.net_namespace


def _enter(namespace: str) -> None:
    try:
        netns.setns(namespace, flags=os.O_RDONLY)  # else a missing one would be made
    except OSError as failed:
        raise ControlError(f"network namespace {namespace!r}: {failed.strerror}") from None


def _go_to_background() -> Callable[[], None]:
    """Becomes another process; returns what leaves the terminal, once it is known that it runs.

    The caller's process ends then, with status 0; it ends with 1 if this one ends before.
    """
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os._exit(0 if os.read(told, 1) else 1)
    os.close(told)
    os.setsid()
    if os.fork():
        os._exit(0)

    def leave() -> None:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.write(tell, b".")
        os.close(tell)

    return leave


def _run(request: Request, loaded: Loaded, log: LogSettings, begun: Callable[[], None]) -> int:
    """Claims the name and the pid file, calls `begun`, and runs until the end."""
    name = check_name(director_name(os.environ))
    held = claim(name)
    try:
        if gone := sweep(held.path.parent, name):
            logger.info("removed what directors of namespaces that are gone left: %s",
                        ", ".join(gone))  # fmt: skip
        options = Options(
            request.file,
            _settings(request, name, str(held.control), log),
            request.config_id,
            _pid_files(request, loaded, held.path),
            request.dump_at_start,
            int(request.umask, 8) if request.umask else None,
        )
        director = Director(options, loaded, held)
        director.claim()
        begun()
        return uvloop.run(director.run())
    except LbfastError as failed:
        logger.error("%s", failed)
        return 1
    finally:
        for left in held.path.glob("*.pid"):
            left.unlink(missing_ok=True)
        (held.path / "children").unlink(missing_ok=True)
        for left in held.path.glob("keepalived*"):
            left.unlink(missing_ok=True)
        held.release()


def _settings(request: Request, name: str, control: str, log: LogSettings) -> Settings:
    return Settings(
        name,
        control,
        request.forwarder,
        log,
        request.with_vrrp,
        request.with_check,
        request.keep_addresses,
        request.keep_table,
        request.respawn,
    )


def _pid_files(request: Request, loaded: Loaded, directory: Path) -> dict[str, Path]:
    """Returns keepalived's paths where it is played, else those of the run directory."""
    if not request.keepalived_pids:
        return {kind: directory / f"{kind}.pid" for kind in ("forwarder", "vrrp", "checker")}
    process = loaded.configuration.process
    paths = pidfiles.default_paths(process.instance, process.use_pid_dir)
    return {**paths, **request.pid_files}
