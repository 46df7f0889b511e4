"""Which addresses this director leaves to others, by the states of its instances; pure."""

from __future__ import annotations

from collections.abc import Mapping

from lbfast.model.vrrp import VrrpConfig

MASTER = "MASTER"


def standby(config: VrrpConfig, states: Mapping[str, str]) -> frozenset[bytes]:
    """Returns the addresses of instances that are not MASTER, but for those of one that is.

    An instance that has not said anything yet is not MASTER.
    """
    mine: set[bytes] = set()
    others: set[bytes] = set()
    for instance in config.instances:
        found = {a.addr for a in (*instance.addresses, *instance.excluded)}
        if states.get(instance.name) == MASTER:
            mine |= found
        else:
            others |= found
    return frozenset(others - mine)
