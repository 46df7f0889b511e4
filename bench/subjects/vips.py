"""The server's part in direct routing and tunnels: `lbfast realserver`, for every subject."""

from __future__ import annotations

from bench.subjects.base import Place
from lbfast.selfcall import COMMAND, environment


def accept_vips(place: Place, tunnel: bool = False) -> None:
    """Let the server accept what is addressed to the virtual addresses of a place."""
    words = ["realserver", "add", *(pool.vip for pool in place.pools)]
    words += ["--tunnel"] if tunnel else []
    place.net.run("server", [*COMMAND, *words], environment=environment())
