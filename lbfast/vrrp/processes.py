"""Tracked processes: how many match, seen at once when one ends (spec 2.5).

A pidfd tells the end of each match; new ones are looked for in /proc, because the kernel's process
events exist in the first network namespace only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lbfast.model.vrrp import ParamMatch, TrackProcess
from lbfast.vrrp.tracking import process_is_up

_COMM_LEN = 15
_LOOK_EVERY_S = 0.5
_US_PER_S = 1e6


def matches(config: TrackProcess, comm: str, words: tuple[str, ...]) -> bool:
    """Say whether a process of that name and command line is meant."""
    wanted = config.argv
    if len(wanted) == 1 and not config.full_command:
        return comm == os.path.basename(wanted[0])[:_COMM_LEN]
    if config.full_command:
        if not words or words[0] != wanted[0]:
            return False
    elif comm != os.path.basename(wanted[0])[:_COMM_LEN]:
        return False
    given, have = wanted[1:], words[1:]
    if config.param_match is ParamMatch.NONE:
        return have == given
    if config.param_match is ParamMatch.INITIAL:
        return have[: len(given)] == given
    head, last = given[:-1], given[-1] if given else ""
    return (
        have[: len(head)] == head
        and len(have) >= len(given)
        and (not given or have[len(head)].startswith(last))
    )


def running() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield (pid, name, command line) of every process that can be seen."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            comm = Path(entry.path, "comm").read_text(errors="replace").rstrip("\n")
            line = Path(entry.path, "cmdline").read_bytes().decode(errors="replace")
            yield int(entry.name), comm, tuple(line.split("\0")[:-1])


class _Watched:
    """The matches of one object, and the state that counts after its delays."""

    def __init__(self, config: TrackProcess) -> None:
        self.config = config
        self.pids: set[int] = set()
        self.is_up: bool | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def seen(self) -> bool:
        return process_is_up(len(self.pids), self.config.quorum, self.config.quorum_max)


class ProcessWatch:
    """Follows all tracked processes; `on_change` gets the object's name and whether it is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configs: Iterable[TrackProcess],
        on_change: Callable[[str, bool], None],
    ) -> None:
        self._loop, self._on_change = loop, on_change
        self._watched = [_Watched(config) for config in configs]
        self._pidfds: dict[int, int] = {}
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._watched:
            self._look()

    def _look(self) -> None:
        self._next = self._loop.call_later(_LOOK_EVERY_S, self._look)
        found = [
            (pid, watched)
            for pid, comm, words in running()
            for watched in self._watched
            if matches(watched.config, comm, words)
        ]
        for watched in self._watched:
            watched.pids = {pid for pid, other in found if other is watched and self._hold(pid)}
            self._settle(watched)

    def _hold(self, pid: int) -> bool:
        """Be told when a process ends; False if it has ended already."""
        if pid in self._pidfds:
            return True
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        self._pidfds[pid] = pidfd
        self._loop.add_reader(pidfd, self._ended, pid)
        return True

    def _ended(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        for watched in self._watched:
            if pid in watched.pids:
                watched.pids.discard(pid)
                self._settle(watched)

    def _settle(self, watched: _Watched) -> None:
        seen, config = watched.seen, watched.config
        if watched.timer is not None:
            if seen != watched.is_up:
                return
            watched.timer.cancel()
            watched.timer = None
        if seen == watched.is_up:
            return
        delay_us = config.fork_delay_us if seen else config.terminate_delay_us
        if watched.is_up is None or not delay_us:
            self._count(watched)
        else:
            watched.timer = self._loop.call_later(delay_us / _US_PER_S, self._count, watched)

    def _count(self, watched: _Watched) -> None:
        watched.timer = None
        if watched.seen != watched.is_up:
            watched.is_up = watched.seen
            self._on_change(watched.config.name, watched.is_up)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
        for watched in self._watched:
            if watched.timer is not None:
                watched.timer.cancel()
        for pidfd in self._pidfds.values():
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
