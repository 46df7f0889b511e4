"""What several modules of this folder ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def fd() -> Iterator[int]:
    """A file in memory for an arena."""
    number = os.memfd_create("arena")
    yield number
    os.close(number)
