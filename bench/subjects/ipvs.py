"""The kernel's own IPVS, where the host has it, with the words that lbfast gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.subjects.base import Place, Subject
from bench.subjects.rules import words
from bench.subjects.vips import accept_vips

MODULE = "ip_vs"
KERNEL = "/proc/sys/net/ipv4/vs"  # there once it is built in or loaded


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    if place.subject.answers_past_director:
        accept_vips(place, tunnel=place.subject.method == "tun")
    for line in words(place):
        place.run("ipvsadm", *line.split())
    yield


SUBJECTS = tuple(
    Subject(f"ipvs-{method}", "IPVS", method, _set_up, ("ipvsadm", KERNEL), module=MODULE)
    for method in ("nat", "dr", "tun")
)
