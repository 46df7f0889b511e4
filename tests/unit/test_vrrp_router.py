"""Instances together: trackers, sync groups, reload; frames that announce them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbfast.model import AF_INET6
from lbfast.model.vrrp import (
    Peer,
    SyncGroup,
    Track,
    Tracking,
    Vmac,
    VmacKind,
    VrrpConfig,
    VrrpInstance,
)
from lbfast.vrrp.actions import Action, Announce, Enter, RemoveAddresses, SendAdvert, State
from lbfast.vrrp.frames import gratuitous_arp, unsolicited_na
from lbfast.vrrp.garp import Pacer
from lbfast.vrrp.packet import ones_sum
from lbfast.vrrp.reload import match
from lbfast.vrrp.router import Router, Tasks
from lbfast.vrrp.tracking import Kind
from tests.vrrp_lab import V2, S, advert

PEER = bytes((10, 9, 0, 2))
A = replace(V2, name="A", vrid=1, interface="eth0")
B = replace(V2, name="B", vrid=2, interface="eth1")
GROUP = SyncGroup("G", ("A", "B"))


def router(*instances: VrrpInstance, groups: tuple[SyncGroup, ...] = (), **up: int) -> Router:
    """Return a started router; interfaces are up unless told otherwise."""
    made = Router(VrrpConfig(instances, groups))
    for kind, name in made.watched():
        if kind is Kind.INTERFACE:
            made.set_value((kind, name), up.get(name, 1), 0)
    made.start(0)
    return made


def of(tasks: Tasks, name: str) -> list[Action]:
    return [task.action for task in tasks if task.name == name]


def states(made: Router) -> str:
    return " ".join(machine.state for machine in made.machines.values())


def lead(made: Router) -> int:
    """Let all down timers run out; return the time after."""
    now = 0
    while "BACKUP" in states(made) and made.deadline is not None:
        now = made.deadline
        made.tick(now)
    return now


def hear(made: Router, name: str, priority: int, now: int) -> Tasks:
    return made.advert(name, advert(priority), (PEER, 1), now)


def test_primary_interface_is_tracked_unless_told_not_to() -> None:
    assert states(router(A, eth0=0)) == "FAULT"
    assert states(router(replace(A, track_primary=False), eth0=0)) == "BACKUP"


def test_interface_down_and_up_again() -> None:
    made = router(A)
    now = lead(made)
    down = made.set_value((Kind.INTERFACE, "eth0"), 0, now)
    assert of(down, "A")[:2] == [SendAdvert(0), RemoveAddresses()]
    assert states(made) == "FAULT"
    made.set_value((Kind.INTERFACE, "eth0"), 1, now + 1)
    assert states(made) == "BACKUP"


def test_weighted_script_changes_the_priority() -> None:
    tracking = Tracking(scripts=(Track("chk", -30),))
    made = router(replace(A, tracking=tracking))
    made.set_value((Kind.SCRIPT, "chk"), 0, 1)
    assert made.machines["A"].priority == 70
    made.set_value((Kind.SCRIPT, "chk"), 1, 1)
    assert made.machines["A"].priority == 100


@pytest.mark.covers("VRP-34")
def test_group_leads_when_all_members_may() -> None:
    made = router(A, B, groups=(GROUP,))
    hear(made, "B", 200, S)  # B hears a master one second longer
    first = made.deadline
    assert first is not None
    made.tick(first)
    assert states(made) == "BACKUP BACKUP"
    assert made.deadline is not None
    tasks = made.tick(made.deadline)
    assert states(made) == "MASTER MASTER"
    assert of(tasks, "G") == [Enter(State.MASTER)]
    assert SendAdvert(100) in of(tasks, "A")


@pytest.mark.covers("VRP-33")
def test_group_follows_a_farewell_at_once() -> None:
    made = router(A, B, groups=(GROUP,))
    for name in "AB":
        hear(made, name, 200, S)
    hear(made, "A", 0, 2 * S)
    assert made.deadline == 2 * S + 156 * S // 256  # 0.61 s
    made.tick(made.deadline)
    assert states(made) == "MASTER MASTER"


def test_group_fails_together_and_recovers_together() -> None:
    made = router(A, B, groups=(GROUP,))
    now = lead(made)
    tasks = made.set_value((Kind.INTERFACE, "eth1"), 0, now)
    assert states(made) == "FAULT FAULT"
    assert of(tasks, "A")[:2] == [SendAdvert(0), RemoveAddresses()]
    assert of(tasks, "G") == [Enter(State.FAULT)]
    tasks = made.set_value((Kind.INTERFACE, "eth1"), 1, now)
    assert states(made) == "BACKUP BACKUP"
    assert of(tasks, "G") == [Enter(State.BACKUP)]


def test_group_yields_together_without_farewell() -> None:
    made = router(A, B, groups=(GROUP,))
    now = lead(made)
    tasks = hear(made, "A", 200, now)
    assert states(made) == "BACKUP BACKUP"
    assert of(tasks, "B")[0] == RemoveAddresses()


def test_member_that_hears_a_master_again_wants_no_more() -> None:
    made = router(A, B, groups=(GROUP,))
    hear(made, "B", 200, S)
    first = made.deadline
    assert first is not None
    made.tick(first)  # A alone would lead
    hear(made, "A", 200, first)
    assert made.deadline is not None
    made.tick(made.deadline)  # now B alone
    assert states(made) == "BACKUP BACKUP"


def test_member_that_waits_for_its_script_keeps_the_group_from_leading() -> None:
    waiting = replace(B, tracking=Tracking(scripts=(Track("chk"),)))
    made = router(A, waiting, groups=(GROUP,))
    assert states(made) == "BACKUP INIT"
    hear(made, "A", 0, S)
    assert made.deadline is not None
    made.tick(made.deadline)
    assert states(made) == "BACKUP INIT"
    tasks = made.set_value((Kind.SCRIPT, "chk"), 1, 9 * S)
    assert Enter(State.BACKUP) in of(tasks, "B")


def test_member_in_fault_keeps_the_group_from_leading() -> None:
    made = router(A, B, groups=(GROUP,), eth1=0)
    assert states(made) == "FAULT FAULT"
    assert made.deadline is None


def test_lower_advert_to_a_member_refreshes_the_others() -> None:
    made = router(A, B, groups=(GROUP,))
    now = lead(made)
    assert of(hear(made, "A", 1, now), "B") == [Announce(5)]


def test_owners_in_a_group_lead_at_once() -> None:
    owners = [replace(each, priority=255, wants_master=True) for each in (A, B)]
    assert states(router(*owners, groups=(GROUP,))) == "MASTER MASTER"


@pytest.mark.covers("VRP-35")
def test_weights_of_members_mean_fault_unless_the_group_says_otherwise() -> None:
    tracking = Tracking(scripts=(Track("chk", -30),))
    weighted = replace(A, tracking=tracking)
    made = router(weighted, B, groups=(GROUP,))
    made.set_value((Kind.SCRIPT, "chk"), 0, 1)
    assert states(made) == "FAULT FAULT"
    made = router(weighted, B, groups=(replace(GROUP, tracking_weight=True),))
    made.set_value((Kind.SCRIPT, "chk"), 0, 1)
    assert [machine.priority for machine in made.machines.values()] == [70, 100]
    made = router(A, B, groups=(replace(GROUP, tracking=tracking),))
    made.set_value((Kind.SCRIPT, "chk"), 0, 1)
    assert [machine.priority for machine in made.machines.values()] == [70, 70]


def test_stop_tells_instances_and_groups() -> None:
    made = router(A, B, groups=(GROUP,))
    lead(made)
    tasks = made.stop()
    assert of(tasks, "A") == [SendAdvert(0), RemoveAddresses(), Enter(State.STOP)]
    assert of(tasks, "G") == [Enter(State.STOP)]


def test_lost_address_in_a_group_hands_all_over() -> None:
    made = router(A, B, groups=(GROUP,))
    now = lead(made)
    made.lost_address("A", now)
    assert states(made) == "BACKUP BACKUP"
    assert made.deadline == now + 156 * S // 256


@pytest.mark.covers("SIG-03")
def test_reload_keeps_who_has_the_same_place_whatever_the_name() -> None:
    old = VrrpConfig((A, B))
    renamed = replace(A, name="renamed", priority=90)
    moved = replace(B, vrid=9)
    plan = match(old, VrrpConfig((renamed, moved)))
    assert plan.kept == [(A, renamed)]
    assert (plan.removed, plan.added) == ([B], [moved])


@pytest.mark.parametrize(
    "other",
    [
        replace(A, vrid=9),
        replace(A, interface="eth9"),
        replace(A, family=AF_INET6),
        replace(A, group=bytes((224, 0, 0, 19))),
        replace(A, vmac=Vmac(VmacKind.MACVLAN)),
        replace(A, source=PEER, peers=(Peer(PEER),)),
    ],
    ids=["vrid", "interface", "family", "group", "vmac", "unicast"],
)
def test_reload_of_another_place_is_another_instance(other: VrrpInstance) -> None:
    assert match(VrrpConfig((A,)), VrrpConfig((other,))).kept == []


def test_reloaded_router_goes_on() -> None:
    made = router(A)
    now = lead(made)
    changed = replace(A, name="other", priority=80)
    after = Router(VrrpConfig((changed,)), {"other": made.machines["A"]})
    after.set_value((Kind.INTERFACE, "eth0"), 1, now)
    tasks = after.change("other", changed, now)
    assert states(after) == "MASTER"
    assert SendAdvert(80) in of(tasks, "other")
    assert not any(isinstance(action, Enter) for action in of(tasks, "other"))


def test_gratuitous_arp_equals_the_capture() -> None:
    mac = bytes.fromhex("020000000002")
    assert gratuitous_arp(mac, bytes((10, 9, 0, 100))).hex() == (
        "ffffffffffff020000000002080600010800060400010200000000020a090064ffffffffffff0a090064"
    )


@pytest.mark.parametrize(("is_router", "flags"), [(False, 0x20), (True, 0xA0)])
def test_unsolicited_na_is_as_the_standard_says(is_router: bool, flags: int) -> None:
    mac, addr = bytes.fromhex("020000000002"), bytes.fromhex("20010db8000900000000000000000100")
    frame = unsolicited_na(mac, addr, is_router=is_router)
    assert frame[:14] == bytes.fromhex("333300000001") + mac + b"\x86\xdd"
    source, target, body = frame[22:38], frame[38:54], frame[54:]
    assert (frame[21], source, target[:2], target[-1]) == (255, addr, b"\xff\x02", 1)
    assert (body[0], body[4], body[8:24], body[24:]) == (136, flags, addr, b"\x02\x01" + mac)
    pseudo = source + target + len(body).to_bytes(4, "big") + b"\0\0\0\x3a"
    assert ones_sum(pseudo + body) == 0xFFFF


def test_pacer_keeps_the_gap_and_forgets_no_one() -> None:
    pacer = Pacer(100_000)
    assert [pacer.next_slot(0) for _ in range(3)] == [0, 100_000_000, 200_000_000]
    assert pacer.next_slot(10 * S) == 10 * S
    assert [Pacer(0).next_slot(7), Pacer(0).next_slot(7)] == [7, 7]
