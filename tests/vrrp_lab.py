"""Driving one VRRP machine by hand: shared by its unit tests."""

from __future__ import annotations

from dataclasses import replace

from lbfast.model.netlines import Address
from lbfast.model.vrrp import VrrpInstance
from lbfast.vrrp.actions import Action, Actions, Say
from lbfast.vrrp.machine import Machine
from lbfast.vrrp.packet import Advert

S = 1_000_000_000
MS = 1_000_000
PEER = bytes((10, 9, 0, 2))
ABOVE, SAME, BELOW = 1, 0, -1  # the peer's address beside ours
V2 = VrrpInstance("VI_1", 51, "eth0", addresses=(Address(bytes((10, 9, 0, 100)), 32),))
V3 = replace(V2, version=3, advert_us=100_000)


def machine(instance: VrrpInstance = V2, *, now: int = 0) -> Machine:
    """Return an instance that has been started: BACKUP, or MASTER for an owner."""
    made = Machine(instance)
    made.start(now)
    return made


def master(instance: VrrpInstance = V2) -> Machine:
    """Return an instance that leads since time 0."""
    made = machine(instance)
    made.lead(0)
    return made


def advert(priority: int, interval_us: int = 1_000_000, version: int = 2) -> Advert:
    return Advert(version, 51, priority, interval_us)


def hear(target: Machine, priority: int, at: int, order: int = ABOVE, **more: int) -> Actions:
    return target.on_advert(advert(priority, **more), PEER, order, at)


def deeds(actions: Actions) -> list[Action]:
    """Return the actions without what is only said."""
    return [action for action in actions if not isinstance(action, Say)]


def said(actions: Actions) -> str:
    return "\n".join(action.text for action in actions if isinstance(action, Say))
