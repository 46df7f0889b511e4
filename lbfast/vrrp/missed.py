"""For how long nobody misses an instance whose process has died; pure."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lbfast.model.vrrp import VrrpConfig


def unnoticed_s(config: VrrpConfig, name: str) -> float:
    """Return for how long after its last sign of life nobody can have missed an instance.

    Its last advert may have left one interval before.
    """
    instance = next(each for each in config.instances if each.name == name)
    return (instance.down_timer_adverts - 1) * instance.advert_us / 1e6


def unnoticed(config: VrrpConfig, masters: Mapping[str, float]) -> frozenset[str]:
    """Return the instances that led until so short ago that no other router can have noticed."""
    now = time.monotonic()
    names = (instance.name for instance in config.instances if instance.name in masters)
    return frozenset(name for name in names if now - masters[name] < unnoticed_s(config, name))
