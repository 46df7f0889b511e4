"""No balancer: the client talks to the server over a link of theirs."""

from __future__ import annotations

from contextlib import nullcontext

from bench.subjects.base import Place, Subject


def nothing(place: Place) -> nullcontext[None]:
    """Leave everything as it is."""
    return nullcontext()


SUBJECTS = (Subject("none", "none", "none", nothing, aims_at="server"),)
