"""Runs the programs that the configuration names: by argument vector, as a given user.

A program gets a process group of its own, no input, no output, and the environment of the daemon
without what would let it be hijacked.  No words pass through a shell.  Where the configuration
says `</path`, the program is our own `opening`: it opens that file, and nothing of the file runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import logging
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbfast.errors import ConfigError
from lbfast.model.script import Script
from lbfast.notify.interpreter import flaw

logger = logging.getLogger(__name__)

_OPENING = Path(__file__).with_name("opening.py")
_PATIENCE_S = 0.5  # with a program that has been killed
_NO_PROGRAM = (errno.ENOEXEC, errno.ENOENT)
_NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_UNSAFE = ("IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")


def account(script: Script) -> dict[str, Any]:
    """Returns what Popen is told of the user and group; nothing if it is the daemon's own.

    Raises ConfigError for an unknown name.
    """
    if not script.user:
        return {}
    try:
        user = pwd.getpwnam(script.user)
        group = grp.getgrnam(script.group).gr_gid if script.group else user.pw_gid
    except KeyError as unknown:
        raise ConfigError(f"{script.argv[0]}: no such account: {unknown.args[0]}") from None
    if (user.pw_uid, group) == (os.geteuid(), os.getegid()):
        return {}
    return {"user": user.pw_uid, "group": group, "extra_groups": []}


def spawn(script: Script, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts a program; OSError if it cannot be, ConfigError for an unknown account."""
    environment = {name: value for name, value in os.environ.items() if name not in _UNSAFE}
    owner = account(script)
    words = [*script.argv, *arguments]
    if script.is_opened:
        # it changes its user by itself: that one may not be able to start our Python
        owner, words = {}, _opening(script.argv[0], owner)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            process_group=0,
            **owner,
        )
    except OSError as failed:
        why = flaw(words[0]) if failed.errno in _NO_PROGRAM else ""
        if not why:
            raise
        raise OSError(failed.errno, why, words[0]) from None
    _plain_scheduling(process.pid)
    return process


def has_no_room(failed: OSError | ConfigError) -> bool:
    """Returns whether the host could start no program at all, which says nothing of this one."""
    return isinstance(failed, OSError) and failed.errno in _NO_ROOM


def _opening(path: str, owner: dict[str, Any]) -> list[str]:
    """Returns the words of the program that opens a file as somebody."""
    identity = [str(owner["user"]), str(owner["group"])] if owner else []
    return [sys.executable, "-I", "-S", str(_OPENING), path, *identity]


def _plain_scheduling(pid: int) -> None:
    """Takes away the real-time class or nice value that the daemon may have given itself."""
    with contextlib.suppress(OSError):  # it may have ended already
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        if os.getpriority(os.PRIO_PROCESS, 0):
            os.setpriority(os.PRIO_PROCESS, pid, 0)


class Program:
    """A running program whose end is told to the event loop."""

    __slots__ = ("_ended", "_loop", "_pidfd", "process")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        process: subprocess.Popen[bytes],
        ended: Callable[[int], None],
    ) -> None:
        """`ended` is called once with the exit status, or minus the signal's number."""
        self.process = process
        self._loop = loop
        self._ended = ended
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self.look)

    def look(self) -> None:
        """Tells of the end if it has come."""
        status = self.process.poll()
        if status is None:
            return
        self._forget()
        self._ended(status)

    def _forget(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def signal(self, number: int) -> None:
        """Sends a signal to the program's whole process group, if it is still there."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def abandon(self) -> None:
        """Kills the group, without telling anybody, and waits a moment for the program.

        A program that hangs in the kernel ends when that lets it.
        """
        if self._pidfd >= 0:
            self.signal(signal.SIGKILL)
            self._forget()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_PATIENCE_S)


class Programs:
    """Notification scripts on their way; their exit status is nobody's business."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[Program] = set()

    def run(self, script: Script, *arguments: str) -> None:
        """Starts a program and returns; what cannot be started is logged."""
        try:
            process = spawn(script, *arguments)
        except (OSError, ConfigError) as failed:
            logger.warning("%s: not started: %s", script.argv[0], failed)
            return

        def ended(status: int) -> None:
            self._running.discard(program)

        program = Program(self._loop, process, ended)
        self._running.add(program)
