"""What several modules of this folder ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lbfast.replay.scenario import START_NS


@pytest.fixture
def fd() -> Iterator[int]:
    """A file in memory for an arena."""
    number = os.memfd_create("arena")
    yield number
    os.close(number)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of who reads connections be the tests'."""
    monkeypatch.setattr("time.monotonic_ns", lambda: START_NS + 4_000_000_000)
