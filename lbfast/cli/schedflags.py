"""The three scheduler flags of a service and what schedulers call them (spec/ipvs.md 1.2)."""

from __future__ import annotations

from collections.abc import Mapping

from lbfast.cli.draft import usage_error
from lbfast.model import ServiceFlags

_GENERIC: Mapping[str, ServiceFlags] = {
    "flag-1": ServiceFlags.SCHED1,
    "flag-2": ServiceFlags.SCHED2,
    "flag-3": ServiceFlags.SCHED3,
}
_OWN: Mapping[str, Mapping[str, ServiceFlags]] = {
    name: {f"{name}-fallback": ServiceFlags.SCHED1, f"{name}-port": ServiceFlags.SCHED2}
    for name in ("sh", "mh")
}
_ANYBODYS = {flag for names in _OWN.values() for flag in names}
SCHED_FLAGS = ServiceFlags.SCHED1 | ServiceFlags.SCHED2 | ServiceFlags.SCHED3


def parse_sched_flags(scheduler: str, text: str) -> ServiceFlags:
    """Returns the flags in a comma-separated list; raises Stop for one that does not fit."""
    known = {**_GENERIC, **_OWN.get(scheduler, {})}
    flags = ServiceFlags.NONE
    for name in filter(None, text.split(",")):
        if name in known:
            flags |= known[name]
        elif name in _ANYBODYS:
            raise usage_error(f"incompatible scheduler flag `{name}'")
        else:
            raise usage_error(f"invalid scheduler flag `{name}'")
    return flags


def show_sched_flags(scheduler: str, flags: ServiceFlags) -> str | None:
    """Returns the names of the flags that are set, None if none is; not all have a name."""
    if not flags & SCHED_FLAGS:
        return None
    names = _OWN.get(scheduler, _GENERIC)
    return ",".join(name for name, flag in names.items() if flags & flag)
