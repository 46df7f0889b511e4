"""Which instances of a new configuration go on where old ones were (spec 5.1); pure."""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.model.vrrp import VrrpConfig, VrrpInstance


@dataclass(frozen=True, slots=True)
class Plan:
    kept: list[tuple[VrrpInstance, VrrpInstance]]  # old, new
    removed: list[VrrpInstance]
    added: list[VrrpInstance]


def identity(instance: VrrpInstance) -> tuple[object, ...]:
    """Return what makes an instance the same one: not its name."""
    mode: tuple[object, ...]
    if instance.unicast:
        mode = ("unicast", instance.source)
    else:
        mode = ("multicast", instance.group, instance.vmac)
    return instance.vrid, instance.family, instance.interface, *mode


def match(old: VrrpConfig, new: VrrpConfig) -> Plan:
    """Pair the instances of two configurations; what is left over goes or comes."""
    before = {identity(instance): instance for instance in old.instances}
    plan = Plan([], [], [])
    for instance in new.instances:
        same = before.pop(identity(instance), None)
        if same is None:
            plan.added.append(instance)
        else:
            plan.kept.append((same, instance))
    plan.removed.extend(before.values())
    return plan
