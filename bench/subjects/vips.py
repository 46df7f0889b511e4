"""The server's part in direct routing and tunnels: `lbfast realserver`, for every subject."""

from __future__ import annotations

from bench.subjects.base import Place
from lbfast.selfcall import COMMAND, environment


def accept_vips(place: Place, tunnel: bool = False) -> None:
    """Let the server accept what is addressed to the virtual addresses of a place."""
    _realserver(place, "add", *(["--tunnel"] if tunnel else []))


def refuse_vips(place: Place) -> None:
    """Make the server as it was: it unwraps no tunnel."""
    _realserver(place, "del")


def _realserver(place: Place, *words: str) -> None:
    vips = [pool.vip for pool in place.pools]
    argv = [*COMMAND, "realserver", *words, *vips]
    place.net.run("server", argv, environment=environment())
