"""FILE_CHECK: a number in a file fails a server, or adds to its weight (spec 3.6)."""

from __future__ import annotations

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.model.check import FileCheck
from lbfast.model.vrrp import TrackFile

_FAULT = -(1 << 31)  # a product at or below this is a failure


def weight_of(check: FileCheck, file: TrackFile) -> tuple[int, bool]:
    """Returns weight and reverse: the check's own, else the track file's."""
    if check.weight is None:
        return file.weight, file.reverse
    return check.weight, check.reverse


def judge(value: int, weight: int, *, reverse: bool) -> Result:
    """Returns what a file's number means; with reverse, good and bad or plus and minus change."""
    if weight == 0:
        is_bad = (value == 0) if reverse else (value != 0)
        return failure(f"track file holds {value}") if is_bad else SUCCESS
    product = -value * weight if reverse else value * weight
    if product <= _FAULT:
        return failure(f"track file holds {value}")
    return Result(True, share=product)
