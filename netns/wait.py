"""Waiting for a condition, never for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
STEP_S = 0.02


def wait_for(condition: Callable[[], T | None], timeout_s: float = 30, what: str = "") -> T:
    """Call `condition` until it returns something true, and return that.

    Raises TimeoutError naming `what` (or the condition) after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", "condition")
            raise TimeoutError(f"{name}: not seen within {timeout_s:g} s")
        pause.wait(STEP_S)
