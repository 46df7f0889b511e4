"""Sync groups, and the other blocks that name instances or interfaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lbfast.config.blocks import Draft
from lbfast.config.findings import Place, Severity
from lbfast.config.meaning.context import Context
from lbfast.config.meaning.instance import notify
from lbfast.config.meaning.tracking import Trackers, tracking
from lbfast.model.vrrp import (
    GarpGroup,
    SyncGroup,
    Track,
    TrackGroup,
    Tracking,
    UpDownDelay,
    VrrpInstance,
)


def sync_groups(
    context: Context, top: Draft, instances: tuple[VrrpInstance, ...], known: Trackers
) -> tuple[SyncGroup, ...]:
    """Returns the groups that have members."""
    names = {instance.name for instance in instances}
    taken: dict[str, str] = {}
    found = []
    for draft in context.unique("vrrp_sync_group", top.get("vrrp_sync_group", [])):
        name = draft.get("name")
        members = []
        for member, place in _members(draft):
            if member not in names:
                context.findings.error(place, f"({name}) no instance {member}", "ignored")
            elif member in taken:
                context.findings.error(
                    place, f"({name}) {member} is of group {taken[member]}", "ignored"
                )
            else:
                taken[member] = name
                members.append(member)
        if not members:
            context.findings.error(draft.place, f"vrrp_sync_group {name} is empty", "removed")
            continue
        if len(members) == 1:
            context.findings.error(
                draft.place, f"vrrp_sync_group {name} has one member", "expected two or more"
            )
        found.append(
            SyncGroup(
                name,
                tuple(members),
                notify(context, draft),
                tracking(context, draft, known, f"({name})"),
                draft.get("tracking_weight", False),
            )
        )
    return tuple(found)


def without_weights(
    context: Context,
    top: Draft,
    instances: tuple[VrrpInstance, ...],
    groups: tuple[SyncGroup, ...],
) -> tuple[VrrpInstance, ...]:
    """Takes the weights of trackers from members of groups: there they mean FAULT (spec 4.9)."""
    strict = {name for group in groups if not group.tracking_weight for name in group.members}
    places = {draft.get("name"): draft.place for draft in reversed(top.get("vrrp_instance", []))}
    return tuple(
        dataclasses.replace(one, tracking=_plain(context, one, places[one.name]))
        if one.name in strict
        else one
        for one in instances
    )


def _plain(context: Context, instance: VrrpInstance, place: Place) -> Tracking:
    fields = {}
    for kind in dataclasses.fields(Tracking):
        tracks: tuple[Track, ...] = getattr(instance.tracking, kind.name)
        for track in tracks:
            if track.weight:
                context.findings.error(
                    place,
                    f"({instance.name}) weight of {track.name}",
                    "ignored: the instance is of a sync group",
                )
        fields[kind.name] = tuple(dataclasses.replace(track, weight=0) for track in tracks)
    return Tracking(**fields)


def _members(draft: Draft) -> Iterable[tuple[str, Place]]:
    for words, place in draft.get("members", []):
        for word in words:
            yield word, place


def track_groups(
    context: Context, top: Draft, instances: tuple[VrrpInstance, ...]
) -> tuple[TrackGroup, ...]:
    names = {instance.name for instance in instances}
    found = []
    for draft in context.unique("track_group", top.get("track_group", [])):
        name = draft.get("name")
        members = []
        for member, place in _members(draft):
            if member in names:
                members.append(member)
            else:
                context.findings.error(place, f"({name}) no instance {member}", "ignored")
        if not members:
            context.findings.error(draft.place, f"track_group {name} is empty", "removed")
            continue
        found.append(TrackGroup(name, tuple(members)))
    return tuple(found)


def garp_groups(context: Context, top: Draft) -> tuple[GarpGroup, ...]:
    found: list[GarpGroup] = []
    for draft in top.get("garp_group", []):
        lines = draft.get("interfaces", [])
        names = [word for words in lines for word in words]
        if single := draft.get("interface"):
            names.append(single)
        garp, gna = draft.get("garp_interval_us", 0), draft.get("gna_interval_us", 0)
        if not names or not (garp or gna):
            is_bare = "interfaces" not in draft and (garp or gna)
            context.findings.add(
                Severity.NOTE if is_bare else Severity.ERROR,
                draft.place, "garp_group without interface or interval", "removed",
            )  # fmt: skip
            continue
        for name in names:
            context.require_interface(name, draft.place, "garp_group")
            if any(name in group.interfaces for group in found):
                context.findings.error(
                    draft.place, f"garp_group of {name} again", "the first one holds"
                )
        found.append(GarpGroup(tuple(names), garp, gna))
    return tuple(found)


def up_down_delays(context: Context, top: Draft) -> tuple[UpDownDelay, ...]:
    found = []
    for line in top.get("up_down_delays", []):
        if not context.is_dynamic and not context.has_interface(line.interface):
            context.findings.error(
                top.at("up_down_delays"), f"interface {line.interface} does not exist", "ignored"
            )
            continue
        found.append(line)
    return tuple(found)
