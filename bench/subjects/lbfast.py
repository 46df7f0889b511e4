"""lbfast: its daemon as `lbfast run` starts it, services by ipvsadm's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.subjects.base import READY_S, Place, Subject
from bench.subjects.rules import OPTION, words
from bench.subjects.vips import accept_vips
from lbfast.selfcall import COMMAND, environment


def _set_up(place: Place) -> AbstractContextManager[None]:
    return _run(place)


def _by_two_workers(place: Place) -> AbstractContextManager[None]:
    return _run(place, "--workers", "2")


@contextmanager
def _run(place: Place, *options: str) -> Iterator[None]:
    method = place.subject.method
    if place.subject.answers_past_director:
        accept_vips(place, tunnel=method == "tun")
    if method == "fullnat":
        for address in (local for pool in place.pools for local in pool.locals):
            extra = ["nodad", "preferred_lft", "0"] if ":" in address else []
            place.run("ip", "addr", "add", address, "dev", "out0", *extra)
    process = place.net.start(place.host, [*COMMAND, "run", *options], "lbfast", environment())
    process.wait_for_line("lbfast: ready", READY_S)
    lines = "".join(f"{line}\n" for line in words(place))
    place.net.run(place.host, [*COMMAND, "ipvsadm", "-R"], stdin=lines, environment=environment())
    yield
    process.stop()


SUBJECTS = tuple(Subject(f"lbfast-{method}", "lbfast", method, _set_up) for method in OPTION)
FRAMES = tuple(
    Subject(f"lbfast-{method}-2w", "lbfast", method, _by_two_workers) for method in ("dr", "nat")
)
