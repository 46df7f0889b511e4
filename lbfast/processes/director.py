"""A director by its configuration file: signals, reload, dumps, scripts, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lbfast.config.findings import Finding, Severity
from lbfast.config.load import Loaded, load
from lbfast.config.system import System
from lbfast.control.rundir import Claim
from lbfast.model.configuration import Configuration, ProcessSettings
from lbfast.model.script import Script
from lbfast.notify.program import spawn
from lbfast.processes import early, ipv6, reloadtime, systemd
from lbfast.processes.parent import CHECKER, VRRP, Family, Settings
from lbfast.processes.pidfiles import PidFiles

logger = logging.getLogger("lbfast")

EXIT_CONFIG, EXIT_NO_CONFIG = 2, 6
_SIGJSON, _SIGCLEAR = 36, 63  # keepalived's own choice of real-time signals
WORDS = {
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "data",
    signal.SIGUSR2: "stats",
    _SIGJSON: "json",
    _SIGCLEAR: "clear",
}
_DUMPS = {
    "data": ((VRRP, "keepalived.data"), (CHECKER, "keepalived_check.data")),
    "stats": ((VRRP, "keepalived.stats"),),
    "json": ((VRRP, "keepalived.json"),),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a director by a file is started with."""

    file: str
    settings: Settings
    config_id: str = ""
    pid_files: dict[str, Path] = field(default_factory=dict)
    dump_at_start: bool = False
    umask: int | None = None  # goes before the file's


def show(findings: list[Finding]) -> None:
    """Writes findings to the log; notes only in detail."""
    levels = {Severity.NOTE: logging.DEBUG, Severity.ERROR: logging.WARNING,
              Severity.SECURITY: logging.WARNING}  # fmt: skip
    for finding in findings:
        logger.log(levels.get(finding.severity, logging.ERROR), "%s", finding)


def read(options: Options) -> Loaded:
    """Reads the file, and shows what is wrong with it."""
    loaded = load(options.file, System(), options.config_id)
    show(list(loaded.findings))
    if trouble := ipv6.complaint(loaded.configuration):
        logger.warning("%s: %s", options.file, trouble)
    return loaded


class Director:
    """The life of one director."""

    def __init__(self, options: Options, loaded: Loaded, held: Claim) -> None:
        self._options = options
        self._held = held
        self._configuration = loaded.configuration
        self._pids = PidFiles(options.pid_files)
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._hand_over: Callable[[], None] = lambda: None

    def claim(self) -> None:
        """Writes the pid file; raises ControlError where another director holds it."""
        self._pids.claim()

    async def run(self) -> int:
        """Runs until a signal ends it; returns the exit status."""
        self._listen()
        process = self._configuration.process
        os.umask(process.umask if self._options.umask is None else self._options.umask)
        try:
            await run_script(process.startup_script, process.startup_timeout_s)
            self._family = Family(self._options.settings, self._configuration, self._pids.note)
            self._hand_over = self._family.hand_over
            return await self._live()
        finally:
            process = self._configuration.process
            await run_script(process.shutdown_script, process.shutdown_timeout_s)
            self._pids.remove()
            logger.info("stopped")

    def _listen(self) -> None:
        """Turns signals into words of a queue: they are served one after the other."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            asyncio.create_task(self._watch_the_clock()),
            asyncio.create_task(_pat_the_watchdog(systemd.watchdog_s())),
        ]
        for number, word in WORDS.items():
            loop.add_signal_handler(number, self._wanted.put_nowait, word)
        for number in early.take():
            self._wanted.put_nowait(WORDS[number])
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        self._hand_over()
        self._wanted.put_nowait("stop")

    async def _live(self) -> int:
        family = self._family
        try:
            starting = asyncio.ensure_future(family.start())
            word = await self._wait_for(starting)
            if not word:
                logger.info("ready: director %r, pid %d", self._held.path.name, os.getpid())
                systemd.ready()
                if self._options.dump_at_start:
                    await self._dump("data")
                word = await self._serve()
            starting.cancel()
            return 0 if word == "stop" else EXIT_CONFIG
        finally:
            systemd.stopping()
            logger.info("stopping")
            await family.stop()

    async def _wait_for(self, starting: asyncio.Future[None]) -> str:
        """Waits until all work, or for the word that ends this; others are served later."""
        later = []
        word = ""
        while not starting.done() and word not in ("stop", "failed"):
            word = await self._next(starting)
            later.append(word)
        for each in later:
            if each not in ("", "stop", "failed"):
                self._wanted.put_nowait(each)
        return word if word in ("stop", "failed") else ""

    async def _next(self, other: asyncio.Future[None] | None = None) -> str:
        """Returns the next word; "" when `other` is done first, "failed" where all is lost."""
        word = asyncio.ensure_future(self._wanted.get())
        waiting: set[asyncio.Future[object]] = {word, self._family.failed}  # type: ignore[arg-type]
        if other is not None:
            waiting.add(other)  # type: ignore[arg-type]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._family.failed.done():
            word.cancel()
            logger.error("%s: giving up", self._family.failed.result())
            return "failed"
        if word.done():
            return word.result()
        word.cancel()
        return ""

    async def _serve(self) -> str:
        while True:
            word = await self._next()
            if word in ("stop", "failed"):
                return word
            if word == "reload":
                systemd.reloading()
                await self._reload()
                systemd.ready()
            elif word == "clear":
                await self._family.ask(VRRP, "clear")
            elif word:
                await self._dump(word)

    # ---- reload

    async def _watch_the_clock(self) -> None:
        """Reloads at the time that `reload_time_file` says, then removes the file."""
        planned = reloadtime.Plan()
        while True:
            await asyncio.sleep(reloadtime.LOOK_S)
            if self._is_reload_due(planned):
                self._wanted.put_nowait("reload")

    def _is_reload_due(self, planned: reloadtime.Plan) -> bool:
        settings = self._configuration.process.reload
        path = Path(settings.time_file)
        if not settings.time_file or not planned.is_due(path, time.time()):
            return False
        if not settings.repeat:
            path.unlink(missing_ok=True)
        return True

    async def _reload(self) -> None:
        """Reads the file again; a file that is refused changes nothing that runs."""
        old = self._configuration
        marker = old.process.reload.marker
        with _marked(marker):
            # in a thread: a long file must not keep the parent from its children
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(None, read, self._options)
        if loaded.findings.is_refused:
            logger.error("%s is refused: the old configuration goes on", self._options.file)
            return
        if old.process.reload.check_first and loaded.findings.worst >= Severity.ERROR:
            logger.error("%s has errors: the old configuration goes on", self._options.file)
            _note_check(old.process, loaded)
            return
        self._configuration = keep_fixed(old, loaded.configuration)
        await self._family.reload(self._configuration)
        logger.info("reloaded %s", self._options.file)

    # ---- dumps

    async def _dump(self, what: str) -> None:
        """Writes what children know of themselves to files in the run directory."""
        if what == "data":
            self._write("keepalived_parent.data", self._own_text())
        for kind, name in _DUMPS[what]:
            text = await self._family.ask(kind, what)
            if text:
                self._write(name, text)

    def _own_text(self) -> str:
        lines = [f"Director {self._held.path.name}", f" Configuration = {self._options.file}"]
        for child in self._family.children.values():
            lines.append(f" {child.kind} = {'pid ' + str(child.pid) if child.pid else 'not run'}")
        lines += [f" {name} = {state}" for name, state in sorted(self._family.states.items())]
        return "\n".join(lines) + "\n"

    def _write(self, name: str, text: str) -> None:
        process = self._configuration.process
        chosen = process.dumps.get(name)
        path = Path(chosen) if chosen else self._held.path / name
        if process.data_use_instance and process.instance:
            path = path.with_name(f"{path.stem}.{process.instance}{path.suffix}")
        try:
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        except OSError as failed:
            logger.warning("%s: %s", path, failed.strerror)


async def _pat_the_watchdog(interval_s: float) -> None:
    """Tells the service manager, where it listens, that the parent is not hung."""
    while interval_s:
        systemd.alive()
        await asyncio.sleep(interval_s / 3)


def keep_fixed(old: Configuration, new: Configuration) -> Configuration:
    """Returns the new configuration with what cannot change while running."""
    fixed = {name: getattr(old.process, name) for name in
             ("instance", "net_namespace", "use_pid_dir")}  # fmt: skip
    for name, value in fixed.items():
        if getattr(new.process, name) != value:
            logger.warning("%s cannot change while running", name)
    return replace(new, process=replace(new.process, **fixed))


def _note_check(process: ProcessSettings, loaded: Loaded) -> None:
    """Writes the findings of a checked reload to the file that is named for them."""
    if process.reload.check_log:
        text = "".join(f"{finding}\n" for finding in loaded.findings)
        with contextlib.suppress(OSError):
            Path(process.reload.check_log).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _marked(marker: str | None):  # type: ignore[no-untyped-def]
    """Keeps `reload_file` in being while files are read."""
    path = Path(marker) if marker else None
    if path is not None:
        with contextlib.suppress(OSError):
            path.write_bytes(b"")
    try:
        yield
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


async def run_script(script: Script | None, timeout_s: float) -> None:
    """Runs a program and waits for its end, but not longer than allowed: then it is killed."""
    if script is None:
        return
    try:
        process = spawn(script)
    except OSError as failed:
        logger.warning("%s: %s", script.argv[0], failed.strerror)
        return
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, process.wait, timeout_s)
    except subprocess.TimeoutExpired:
        logger.warning("%s: not done after %g s, killed", script.argv[0], timeout_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
