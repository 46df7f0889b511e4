"""lbfast beside keepalived on one VRID; the whole matrix is in tests/long."""

from __future__ import annotations

import pytest

from lbfast.model import AF_INET, AF_INET6
from lbfast.model.vrrp import AuthType, VrrpInstance
from tests.e2e.conftest import Networks
from tests.e2e.vrrplab import segment, v2, v3
from tests.e2e.vrrpturns import take_turns

PASSWORD = v2(100, auth_type=AuthType.PASS, auth_pass=b"secret12")


V3 = {
    "IPv4": (AF_INET, "keepalived", "lbfast"),
    "IPv6": (AF_INET6, "lbfast", "keepalived"),
}


@pytest.mark.covers("IOP-01", "IOP-02", "IOP-03", "IOP-04", "VRP-08", "VRP-23")
@pytest.mark.parametrize(("family", "first", "second"), V3.values(), ids=V3)
def test_v3_takes_turns_with_keepalived(
    family: int, first: str, second: str, network: Networks
) -> None:
    take_turns(segment(network), v3(100, family), first, second)


@pytest.mark.covers("VRP-05", "VRP-06", "VRP-07")
@pytest.mark.parametrize("instance", [PASSWORD], ids=["PASS"])
def test_v2_takes_turns_with_keepalived(instance: VrrpInstance, network: Networks) -> None:
    take_turns(segment(network), instance, "keepalived", "lbfast")
