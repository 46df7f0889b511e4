"""Scripts, files, processes and sessions that are tracked, and the lines that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbfast.config.blocks import Draft
from lbfast.config.findings import Severity
from lbfast.config.keywords.trackers import TrackLine
from lbfast.config.meaning.context import Context
from lbfast.model.vrrp import (
    BfdInstance,
    Track,
    TrackFile,
    Tracking,
    TrackProcess,
    VrrpScript,
)

_KINDS = {
    "track_script": "scripts",
    "track_file": "files",
    "track_process": "processes",
    "track_bfd": "bfds",
}
_BLOCKS = {
    "scripts": "vrrp_script",
    "files": "track_file",
    "processes": "vrrp_track_process",
    "bfds": "bfd_instance",
}
_Tracked = VrrpScript | TrackFile | TrackProcess | BfdInstance


@dataclass(frozen=True, slots=True)
class Trackers:
    """What can be tracked, by name; a name without an object has been disabled."""

    scripts: Mapping[str, VrrpScript | None]
    files: Mapping[str, TrackFile | None]
    processes: Mapping[str, TrackProcess | None]
    bfds: Mapping[str, BfdInstance | None]  # for instances of VRRP
    check_bfds: Mapping[str, BfdInstance]
    orders: Mapping[tuple[str, str], int]  # by kind and name: that of the block

    def precedes(self, kind: str, name: str, user: Draft) -> bool:
        """Returns whether a block comes before the one that names it, as keepalived wants."""
        return self.orders.get((kind, name), user.order) < user.order


def trackers(context: Context, top: Draft) -> Trackers:
    """Returns everything that is tracked; what is incomplete is reported and left out.

    Scripts are not looked at where no instance could track them.
    """
    scripts: dict[str, VrrpScript | None] = {}
    for draft in context.unique("vrrp_script", top.get("vrrp_script", []), Severity.NOTE):
        _vrrp_script(context, draft, scripts, is_used=bool(top.get("vrrp_instance")))
    files = {
        f.name: f
        for d in context.unique("track_file", top.get("track_file", []), Severity.NOTE)
        if (f := _file(context, d))
    }
    processes = {
        p.name: p
        for d in context.unique(
            "vrrp_track_process", top.get("vrrp_track_process", []), Severity.NOTE
        )
        if (p := _process(context, d))
    }
    bfds: dict[str, BfdInstance | None] = {}
    check_bfds = {}
    for draft in context.unique("bfd_instance", top.get("bfd_instance", [])):
        if session := _bfd(context, draft):  # without a word about it, it is for both
            if "vrrp" in draft or "checker" not in draft:
                bfds[session.name] = session
            if "checker" in draft or "vrrp" not in draft:
                check_bfds[session.name] = session
    orders = {
        (field, draft.get("name")): draft.order
        for field, block in _BLOCKS.items()
        for draft in reversed(top.get(block, []))
    }
    return Trackers(scripts, files, processes, bfds, check_bfds, orders)


def _vrrp_script(
    context: Context, draft: Draft, known: dict[str, VrrpScript | None], *, is_used: bool
) -> None:
    """Adds a script; one that cannot be run is known as None."""
    name = draft.get("name")
    if draft.get("script") is None:
        context.findings.error(draft.place, f"vrrp_script {name} without script", "removed")
        return
    if not is_used:
        return
    script = context.script(draft.get("script"), draft.get("user", ("", "")), is_tracked=True)
    if script is None:
        known[name] = None
        return
    fields = ("interval_us", "timeout_us", "weight", "reverse", "rise", "fall", "init_fail")
    given = {field: draft.get(field) for field in fields if field in draft}
    known[name] = VrrpScript(name, script, **given)


def _given(draft: Draft, *fields: str) -> dict[str, object]:
    return {field: draft.get(field) for field in fields if field in draft}


def _file(context: Context, draft: Draft) -> TrackFile | None:
    name, path = draft.get("name"), draft.get("path")
    if not path:
        context.findings.error(draft.place, f"track_file {name} without file", "removed")
        return None
    fields = _given(draft, "weight", "reverse", "init_value", "overwrite")
    return TrackFile(name, path, **fields)  # type: ignore[arg-type]


def _process(context: Context, draft: Draft) -> TrackProcess | None:
    name = draft.get("name")
    if not draft.get("argv"):
        context.findings.error(
            draft.place, f"vrrp_track_process {name} without process", "removed"
        )
        return None
    fields = _given(
        draft, "param_match", "weight", "reverse", "quorum", "quorum_max", "fork_delay_us",
        "terminate_delay_us", "full_command",
    )  # fmt: skip
    quorum, most = draft.get("quorum", 1), draft.get("quorum_max")
    if most and most < quorum:
        context.findings.error(
            draft.at("quorum_max"), f"quorum_max {most} below quorum {quorum}", "removed"
        )
        return None
    return TrackProcess(name, draft.get("argv"), **fields)  # type: ignore[arg-type]


def _bfd(context: Context, draft: Draft) -> BfdInstance | None:
    name = draft.get("name")
    neighbor, source = draft.get("neighbor"), draft.get("source", b"")
    if not neighbor:
        context.findings.error(draft.place, f"bfd_instance {name} without neighbor_ip", "removed")
        return None
    if source and len(source) != len(neighbor):
        context.findings.error(draft.at("source"), "source of another family", "removed")
        return None
    fields = _given(
        draft, "source", "min_rx_us", "min_tx_us", "idle_tx_us", "multiplier", "passive", "ttl",
        "max_hops", "weight", "reverse",
    )  # fmt: skip
    return BfdInstance(name, neighbor, **fields)  # type: ignore[arg-type]


def tracking(context: Context, draft: Draft, known: Trackers, what: str) -> Tracking:
    """Returns what an instance or a group tracks; unknown names are reported and left out."""
    found: dict[str, tuple[Track, ...]] = {}
    for block, field in _KINDS.items():
        objects: Mapping[str, _Tracked | None] = {
            name: tracked
            for name, tracked in getattr(known, field).items()
            if known.precedes(field, name, draft)
        }
        lines: list[TrackLine] = draft.get(block, [])
        found[field] = tuple(
            track
            for line in _once(context, lines, block)
            if (track := _track(context, line, objects, f"{what}: {block}"))
        )
    interfaces = []
    for line in _once(context, draft.get("track_interface", []), "track_interface"):
        if line.name == draft.get("interface"):
            context.findings.error(
                line.place, f"{what}: track_interface {line.name} is its own interface", "ignored"
            )
            continue
        context.require_interface(line.name, line.place, f"{what}: track_interface")
        interfaces.append(Track(line.name, line.weight or 0, bool(line.reverse)))
    return Tracking(interfaces=tuple(interfaces), **found)


def _once(context: Context, lines: list[TrackLine], block: str) -> list[TrackLine]:
    first: dict[str, TrackLine] = {}
    for line in lines:
        if line.name in first:
            context.findings.error(line.place, f"{block} {line.name} again", "ignored")
        else:
            first[line.name] = line
    return list(first.values())


def _track(
    context: Context, line: TrackLine, objects: Mapping[str, _Tracked | None], what: str
) -> Track | None:
    if line.name not in objects:
        context.findings.error(
            line.place, f"{what} {line.name} not found further up", "expected it there; ignored"
        )
        return None
    tracked = objects[line.name]
    if tracked is None:
        return None
    weight = tracked.weight if line.weight is None else line.weight
    reverse = tracked.reverse if line.reverse is None else line.reverse
    return Track(line.name, weight, reverse)
