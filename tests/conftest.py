"""What every test may rely on: tests that need root are skipped, by capability, without it."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

CAP_NET_ADMIN = 12

# a busy machine may be slow at any moment: what is slow is for the benches to say
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def has_capability(number: int) -> bool:
    """Say whether this process has the capability in its effective set."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False


def namespaces_allowed() -> bool:
    """Say whether this process may make a network namespace; some sandboxes forbid it to root."""
    return has_capability(CAP_NET_ADMIN) and os.access("/proc/self/ns/net", os.R_OK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs CAP_NET_ADMIN where it is missing."""
    if namespaces_allowed():
        return
    skip = pytest.mark.skip(reason="needs CAP_NET_ADMIN: run as root")
    for item in items:
        if item.get_closest_marker("net_admin"):
            item.add_marker(skip)
