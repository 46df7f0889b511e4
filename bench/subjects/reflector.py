"""The bare reflector: lbfast's rings with nothing balanced, the limit for what uses such rings.

Frames leave by the other interface as they are, so only works that send frames can use it.  As
lbfast's own rules do, its host drops at ingress what the tap has seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.lab import REFLECT, drop_all
from bench.subjects.base import READY_S, Place, Subject
from lbfast.selfcall import environment


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    drop_all(place.net, place.host, "in0", "out0")
    process = place.net.start(place.host, REFLECT, "reflector", environment())
    process.wait_for_line("ready", READY_S)
    yield
    process.stop()


SUBJECTS = (Subject("reflector", "lbfast bench reflector", "route", _set_up, aims_at="server"),)
