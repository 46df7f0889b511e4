"""One child of the parent: its process, its channel, and what is known of its life."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Coroutine

from lbfast.processes import channel as c
from lbfast.processes import launch
from lbfast.processes.channel import Channel
from lbfast.processes.supervision import Watch


class Child:
    """One kind of child, whether it runs or not."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.watch = Watch()
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.was_there = False
        self.died_at = 0.0  # the last sign of life of one that died, monotonic
        self.ticks = 0  # CPU time that it had used when it was asked
        self.is_wanted = False
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def follow(self, work: Coroutine[None, None, None]) -> None:
        """Does work that belongs to the child's life."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def is_hung(self, state: str, now_s: float) -> bool:
        """Says whether the child, in a state of `launch.state_of`, is beyond hope."""
        has_run = launch.used_ticks(self.pid) > self.ticks
        if self.watch.silent_s(now_s) < self.watch.patience_s(state, has_run=has_run):
            return False
        return self.channel is None or not self.channel.is_heard_soon()

    def send(self, message: c.Message) -> None:
        if self.channel is not None:
            self.channel.send(message)
