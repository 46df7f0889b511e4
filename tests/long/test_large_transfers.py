"""200 MB each way by every method, with all offloads on."""

from __future__ import annotations

import pytest

from netns import basic
from tests.e2e.conftest import Directors, Networks
from tests.e2e.transfers import assert_no_checksum_errors, assert_whole_both_ways, balance

SIZE = 200_000_000


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", basic.METHODS)
def test_200_mb_arrive_whole_each_way(
    method: str, family: int, network: Networks, director: Directors
) -> None:
    net = network(basic.topology(method))
    webs = balance(net, director(net), method, family)
    assert_whole_both_ways(net, webs, family, SIZE)
    assert_no_checksum_errors(net)
