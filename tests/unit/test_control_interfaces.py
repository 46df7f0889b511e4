"""Which interfaces may be named."""

from __future__ import annotations

import socket

import pytest

from lbfast.control.interfaces import check_names
from lbfast.errors import ControlError


@pytest.mark.parametrize(
    ("there", "known"),
    [
        (["lo", "eth0", "eth1"], "expected one of eth0, eth1"),
        (["lo"], "this network namespace has none"),
    ],
)
@pytest.mark.parametrize("name", ["eth2", "", "lo"])
def test_interface_that_is_not_there_is_named(
    name: str, there: list[str], known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: list(enumerate(there, 1)))
    with pytest.raises(ControlError) as refused:
        check_names((*there[1:], name))
    assert str(refused.value) == f"interface {name!r} unknown, {known}"
