"""What is claimed of VRRP holds: fail-over beside keepalived, adverts while checks are at work."""

from __future__ import annotations

import pytest

from bench import prove_failover, prove_lateness

CLAIMS = prove_failover.CLAIMS | prove_lateness.CLAIMS


@pytest.mark.timeout(1200)  # 42 trials of up to 10 s
@pytest.mark.parametrize("claim", CLAIMS)
def test_vrrp_claim_holds(claim: str) -> None:
    (found,) = CLAIMS[claim]()
    assert found["claim"] == claim
    assert found["ok"], found
