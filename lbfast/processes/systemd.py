"""Word to the service manager, where one listens (sd_notify)."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_PATIENCE_S = 0.2  # with a manager that does not read: it must not make us hang


def notify(*lines: str, patience_s: float = _PATIENCE_S) -> None:
    """Sends lines as READY=1; without NOTIFY_SOCKET nobody hears."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.settimeout(patience_s)
        channel.connect(address)
        channel.send("\n".join(lines).encode())


def watchdog_s() -> float:
    """Returns how often the manager wants a sign of life, 0 where it does not."""
    try:
        return int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return 0.0


def alive() -> None:
    """Gives a sign of life, of which there will be more."""
    notify("WATCHDOG=1", patience_s=0)


def ready() -> None:
    notify("READY=1", f"MAINPID={os.getpid()}")


def reloading() -> None:
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    notify("STOPPING=1")
