"""How late the events of a rhythm are: bench/prove_lateness.py."""

from __future__ import annotations

import pytest

from bench.prove_lateness import lateness, tail_ms


def test_rhythm_kept_is_not_late() -> None:
    assert lateness([5.0, 5.5, 6.0, 6.5], 0.5) == [0, 0, 0, 0]


def test_one_late_event_counts_once() -> None:
    assert lateness([0, 1, 2.25, 3], 1) == [0, 0, 0.25, 0]


def test_event_before_the_others_sets_the_rhythm() -> None:
    assert lateness([0.25, 1, 2, 3.25], 1) == [0.25, 0, 0, 0.25]


def test_gap_counts_once_and_begins_anew() -> None:
    assert lateness([0, 1, 5.5, 6.5], 1) == [0, 0, 3.5, 0, 0]


def test_tail_is_of_the_worst_thousandth() -> None:
    assert tail_ms([0.0] * 998 + [0.007] * 2) == pytest.approx(7)
    assert tail_ms([0.0] * 1999 + [0.007]) == 0
