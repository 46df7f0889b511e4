"""The long tests stand on the same networks as the end-to-end tests, and are marked long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import director, network, pytest_runtest_makereport, scratch

__all__ = ["director", "network", "pytest_runtest_makereport", "scratch"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("long")
            item.add_marker("net_admin")
