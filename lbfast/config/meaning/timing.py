"""Intervals of an instance: its adverts, and its gratuitous ARPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbfast.config.blocks import Draft
from lbfast.config.values import MICRO
from lbfast.model.vrrp import Garp

if TYPE_CHECKING:
    from lbfast.config.meaning.instance import Instance

_V3_UNIT_US = 10_000
_V3_MAX_US = 4095 * _V3_UNIT_US


def advert_us(instance: Instance) -> int:
    """Returns the interval: whole seconds in version 2, hundredths up to 40.95 in version 3."""
    draft = instance.draft
    value: int = draft.get("advert_us", MICRO)
    if instance.version == 2:
        rounded = max(MICRO, (value + MICRO // 2) // MICRO * MICRO)
        if rounded != value:
            instance.error(draft.at("advert_us"), f"advert_int {value / MICRO:g} in version 2",
                           f"{rounded // MICRO} is used")  # fmt: skip
        return rounded
    if value > _V3_MAX_US:
        instance.error(draft.at("advert_us"), f"advert_int {value / MICRO:g} in version 3",
                       "40.95 is used")  # fmt: skip
        return _V3_MAX_US
    return (value + _V3_UNIT_US // 2) // _V3_UNIT_US * _V3_UNIT_US


def garp(draft: Draft, globals_: Draft, is_strict: bool) -> Garp:
    """Returns the numbers and delays of gratuitous ARPs; those of global_defs are defaults."""

    def said(name: str, default: int) -> int:
        return int(draft.get(name, globals_.get(name, default)))

    is_minimal = bool(globals_.get("vrrp_min_garp"))
    usual = (0, 1) if is_minimal else (5, 5)
    delay = said("garp_master_delay_s", usual[0])
    repeat = said("garp_master_repeat", usual[1])
    # without words of their own these two follow global_defs, not the instance
    after = globals_.get("garp_master_delay_s", usual[0])
    times = globals_.get("garp_master_repeat", usual[1])
    lower_delay = 0 if is_strict else said("garp_lower_prio_delay_s", after)
    lower_repeat = 0 if is_strict else said("garp_lower_prio_repeat", times)
    extra = draft.get("garp_extra_if", globals_.get("vrrp_garp_extra_if", (False, 0)))
    return Garp(
        master_delay_us=delay * MICRO,
        master_repeat=repeat,
        refresh_us=said("garp_master_refresh_s", 0) * MICRO,
        refresh_repeat=said("garp_master_refresh_repeat", 1),
        lower_prio_delay_us=lower_delay * MICRO,
        lower_prio_repeat=lower_repeat,
        extra_if_us=extra[1],
        extra_if_all=extra[0],
    )
