"""A host with IPv6 disabled, and a configuration that needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbfast.model import AF_INET6
from lbfast.model.configuration import Configuration
from lbfast.model.netlines import Address
from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.processes import ipv6


def configuration(*addrs: bytes) -> Configuration:
    addresses = tuple(Address(addr, len(addr) * 8) for addr in addrs)
    instance = VrrpInstance("V", 1, "eth0", AF_INET6, addresses=addresses)
    return Configuration(vrrp=VrrpConfig(instances=(instance,)))


def v6(last: int) -> bytes:
    return bytes([0xFD, *[0] * 14, last])


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    path = tmp_path / "disable_ipv6"
    path.write_text("1\n")
    return path


def test_needed_addresses_are_named_up_to_three(setting: Path) -> None:
    text = ipv6.complaint(configuration(*map(v6, range(1, 6))), setting)
    assert "expected it enabled for fd00::1, fd00::2, fd00::3 and 2 more" in text


def test_kernel_without_ipv6_is_one_with_ipv6_disabled(tmp_path: Path) -> None:
    assert "fd00::1" in ipv6.complaint(configuration(v6(1)), tmp_path / "none")


def test_nothing_is_said_where_ipv6_works_or_is_not_needed(setting: Path) -> None:
    assert not ipv6.complaint(configuration(bytes(4)), setting)
    setting.write_text("0\n")
    assert not ipv6.complaint(configuration(v6(1)), setting)
