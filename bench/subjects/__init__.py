"""What is measured: lbfast, its peers, and the limits; one file each, by name in SUBJECTS.

A peer is a Debian package set up as its own manual advises, and no further.
"""

from __future__ import annotations

from bench.subjects import (
    forward,
    haproxy,
    ipvs,
    lbfast,
    nft_dnat,
    nft_forward,
    nginx_stream,
    none,
    reflector,
)
from bench.subjects.base import Subject

ALL: tuple[Subject, ...] = (
    *none.SUBJECTS,
    *forward.SUBJECTS,
    *lbfast.SUBJECTS,
    *nft_dnat.SUBJECTS,
    *nft_forward.SUBJECTS,
    *haproxy.SUBJECTS,
    *nginx_stream.SUBJECTS,
    *ipvs.SUBJECTS,
)
SUBJECTS = {subject.name: subject for subject in ALL}
EVERY = SUBJECTS | {s.name: s for s in (*reflector.SUBJECTS, *lbfast.FRAMES)}  # frames alone too
LIMITS = ("none", "forward")


def available(names: tuple[str, ...] = tuple(SUBJECTS)) -> tuple[list[str], list[str]]:
    """Return the subjects that this machine can run, and a sentence on each that it cannot."""
    found, absent = [], []
    for name in names:
        if missing := EVERY[name].missing():
            absent.append(f"{name}: not measured, {', '.join(missing)} missing")
        else:
            found.append(name)
    return found, absent
