"""What `vrrp_strict` does to an instance: the words it does not allow are reset (spec 4.13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lbfast.config.keywords.vrrp import VmacWords
from lbfast.model import AF_INET6

if TYPE_CHECKING:
    from lbfast.config.meaning.instance import Instance

# field -> whether its value is not allowed
_FORBIDDEN: Mapping[str, Callable[[object], bool]] = {
    "preempt_delay_us": bool,
    "vmac_xmit_base": bool,
    "higher_prio_send_advert": bool,
    "garp_lower_prio_delay_s": bool,
    "garp_lower_prio_repeat": bool,
    "lower_prio_no_advert": lambda value: value is False,
    "down_timer_adverts": lambda value: value not in (None, 3),
}


def apply_strict(instance: Instance) -> None:
    """Resets what strict mode does not allow, each with a message."""
    if not instance.is_strict:
        return
    draft = instance.draft
    for field, is_wrong in _FORBIDDEN.items():
        if is_wrong(draft.get(field)):
            instance.error(draft.at(field), f"{field} with vrrp_strict", "reset")
            draft.drop(field)
    vmac: VmacWords | None = draft.get("use_vmac")
    if vmac is not None and vmac.mac:
        instance.error(draft.at("use_vmac"), "MAC address with vrrp_strict", "ignored")
        draft.values["use_vmac"] = VmacWords(vmac.name)
    first = next(iter(instance.fields["addresses"]), None)
    if instance.family == AF_INET6 and first is not None:
        is_link_local = first.addr[0] == 0xFE and first.addr[1] & 0xC0 == 0x80
        if not is_link_local:
            instance.error(
                draft.at("addresses"), "first IPv6 address is not link-local", "expected one"
            )
