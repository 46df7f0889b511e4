"""Schedulers that are not built in, in a running director: registered, served, watched."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lbfast.control.tables import Tables
from lbfast.errors import ConfigError

logger = logging.getLogger("lbfast")

AGAIN_S = 60.0  # the same trouble of the same scheduler is told again after so long
LEAVE_S = 1.0
TROUBLES: Mapping[str, str] = {
    "raised": "an exception",
    "wrong": "a wrong answer",
    "late": "no answer within 20 ms",
    "lost": "more connections than it could be told of",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A scheduler: its name ("" for a capsule, which has one of its own), itself, its origin."""

    name: str
    scheduler: Any
    origin: str


class TroubleLog:
    """Turns counters into sentences: once for each kind and scheduler, then once a minute."""

    def __init__(self) -> None:
        self._told: dict[tuple[bytes, str], tuple[int, float]] = {}

    def sentences(
        self, rows: Mapping[bytes, tuple[bool, dict[str, int], dict[str, str]]], now_s: float
    ) -> list[str]:
        """Returns what is new, `rows` being what Engine.schedulers() says."""
        said = []
        for name, (_, counts, texts) in rows.items():
            for what, words in TROUBLES.items():
                before, since = self._told.get((name, what), (0, now_s - AGAIN_S))
                if counts[what] == before or now_s - since < AGAIN_S:
                    continue
                self._told[name, what] = (counts[what], now_s)
                last = f": {texts[what]}" if what in texts else ""
                said.append(
                    f"scheduler {name.decode()!r}: {words}{last} ({counts[what]} so far; wlc "
                    f"decided on {counts['stood-in']} connections instead)"
                )
        return said


class Schedulers:
    """The outside schedulers of one director and the thread that runs those in Python."""

    def __init__(self, tables: Tables, found: Iterable[Found]) -> None:
        """Registers them; raises ConfigError."""
        self._engine = tables.engine
        self._log = TroubleLog()
        self._thread: threading.Thread | None = None
        for one in found:
            try:
                name = tables.add_scheduler(one.name, one.scheduler)
            except (TypeError, ValueError) as e:
                raise ConfigError(f"{one.origin}: {e}") from e
            logger.info("scheduler %r from %s", name, one.origin)

    def start(self) -> None:
        """Serves the ones in Python; says which ones services lack."""
        if any(not is_compiled for is_compiled, _, _ in self._engine.schedulers().values()):
            self._thread = threading.Thread(
                target=self._engine.serve_schedulers, name="schedulers", daemon=True
            )
            self._thread.start()
        for name, n in Counter(self._engine.schedulers_missing()).items():
            logger.warning(
                "scheduler %r of %d service%s is not loaded, wlc decides instead; expected it in "
                "a --scheduler-file or in an installed package",
                *(name.decode(), n, "s"[: n > 1]),
            )

    def stop(self) -> None:
        """Ends the thread; one that never comes back from a pick is left behind."""
        if self._thread is not None:
            self._engine.serve_stop()
            self._thread.join(timeout=LEAVE_S)
            self._thread = None

    def watch(self, now_s: float) -> None:
        """Logs what went wrong; due every second."""
        for sentence in self._log.sentences(self._engine.schedulers(), now_s):
            logger.warning("%s", sentence)
