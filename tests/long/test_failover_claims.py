"""Fail-over beside keepalived stays within the claim, measured with few pairs."""

from __future__ import annotations

import pytest

from bench import prove_failover


@pytest.mark.parametrize("claim", prove_failover.CLAIMS)
def test_failover_is_as_fast_as_keepalived(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove_failover, "PAIRS", {1.0: 2, 0.1: 5, 0.01: 5})
    (found,) = prove_failover.CLAIMS[claim]()
    assert found["claim"] == claim
    # a machine shared with other tests may double any single one; the claim itself is measured
    # by `make prove` with more pairs
    assert float(str(found["value"])) < 1.5, found
