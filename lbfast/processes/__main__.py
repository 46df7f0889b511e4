"""Starts a child: its kind, and the descriptor of its end of the socket pair."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from lbfast.processes.child import Work, run

KINDS: Mapping[str, tuple[str, str]] = {
    "forwarder": ("lbfast.processes.forwarding", "Forwarding"),
    "vrrp": ("lbfast.processes.routing", "Routing"),
    "checker": ("lbfast.processes.checking", "Checking"),
}


def main() -> int:
    module, name = KINDS[sys.argv[1]]
    make: Callable[[], Work] = getattr(import_module(module), name)
    return run(make(), int(sys.argv[2]))


if __name__ == "__main__":
    raise SystemExit(main())
