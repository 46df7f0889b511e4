"""Reads a configuration: a file in, the model and all findings out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lbfast.config.blocks import Draft, Flag, Loader, Table, Value
from lbfast.config.findings import Fatal, Findings, Place, Severity
from lbfast.config.foreign import Passed
from lbfast.config.host import Host
from lbfast.config.keywords.top import TOP
from lbfast.config.meaning.context import Context
from lbfast.config.meaning.groups import (
    garp_groups,
    sync_groups,
    track_groups,
    up_down_delays,
    without_weights,
)
from lbfast.config.meaning.instance import instances
from lbfast.config.meaning.netlines import RulePriorities, addresses, routes, rules
from lbfast.config.meaning.settings import (
    check_settings,
    mail,
    process_settings,
    sync_settings,
    vrrp_globals,
)
from lbfast.config.meaning.tracking import Trackers, trackers
from lbfast.config.meaning.virtual import services
from lbfast.config.preprocess import Preprocessor
from lbfast.model.check import CheckConfiguration
from lbfast.model.configuration import Configuration
from lbfast.model.vrrp import VrrpConfig

# the top level's blocks, by the process of keepalived's that reads them
_PARENT = frozenset(("global_defs",))
_CHECKERS = frozenset(("virtual_server", "virtual_server_group", "SSL", "track_file",
                       "vrrp_track_file", "bfd_instance"))  # fmt: skip
_BLOCKS = frozenset(name for name, row in TOP.items() if not isinstance(row, Value | Flag))
_VRRP = (_BLOCKS - _PARENT - _CHECKERS) | {"track_file", "vrrp_track_file", "bfd_instance"}


def part(blocks: Collection[str]) -> Table:
    """Returns the top level for a process that passes over all blocks but some."""
    return {
        name: row if name in blocks or name not in _BLOCKS else Passed()
        for name, row in TOP.items()
    }


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read; the configuration is usable unless the findings refuse it."""

    configuration: Configuration
    findings: Findings


def load(path: str, host: Host, config_id: str = "") -> Loaded:
    """Reads the file and what it includes.

    `config_id` is what `@ID` lines are compared with; the host's short name if empty.
    """
    config_id = config_id or host.network_name().partition(".")[0]
    source = Preprocessor(host, Findings(), config_id)
    top = _top(path, source, TOP)
    if top is None:
        loaded = Loaded(Configuration(), source.findings)
    else:
        loaded = Loaded(assemble(top, host, source.findings), source.findings)
    if source.difference:
        status = _status_of_keepalived(path, host, config_id)
        loaded.findings.end_with(status, *source.difference)
    return loaded


def _top(path: str, source: Preprocessor, table: Table) -> Draft | None:
    """Returns the top level, None if reading could not go on to the end."""
    top = Draft(Place(path))
    try:
        Loader(source, path).load(table, top, is_top=True)
    except Fatal:
        return None
    except OSError as failed:
        source.findings.refuse(Place(path), f"{failed.strerror}", "expected a configuration file")
        return None
    return top


def _status_of_keepalived(path: str, host: Host, config_id: str) -> int:
    """Returns what keepalived's check says: each of its processes reads its own blocks only."""
    findings = Findings()
    tops = [
        _top(path, Preprocessor(host, findings, config_id, as_keepalived=True), table)
        for table in (part(_PARENT), part(_VRRP), part(_CHECKERS))
    ]
    whole = [top for top in tops if top is not None]
    if len(whole) == len(tops):
        for top in whole[1:]:
            top.values = {**whole[0].values, **top.values}
            top.places = {**whole[0].places, **top.places}
            assemble(top, host, findings)
    return findings.exit_status()


def assemble(top: Draft, host: Host, findings: Findings) -> Configuration:
    """Returns what the blocks mean together."""
    host = _host_within(top, host, findings)
    context = Context(host, findings, top.get("global_defs") or Draft(top.place))
    _judge_globals(context)
    known = trackers(context, top)
    vrrp = _vrrp(context, top, known)
    findings.end_of_vrrp()
    found_services, local = services(context, top, known)
    check = CheckConfiguration(
        services=found_services,
        settings=check_settings(context, top),
        track_files=vrrp.files,
    )
    names = {instance.name for instance in vrrp.instances}
    return Configuration(
        vrrp,
        check,
        process_settings(context, top),
        sync_settings(context, top, names),
        local,
        tuple(top.get("marks", [])),
    )


def _vrrp(context: Context, top: Draft, known: Trackers) -> VrrpConfig:
    """Returns what the VRRP process runs."""
    priorities = RulePriorities()
    static_rules = rules(context, top.get("static_rules", []), priorities)
    found = instances(context, top, known, priorities)
    groups = sync_groups(context, top, found, known)
    return VrrpConfig(
        instances=without_weights(context, top, found, groups),
        sync_groups=groups,
        scripts=tuple(script for script in known.scripts.values() if script),
        files=tuple(file for file in known.files.values() if file),
        processes=tuple(process for process in known.processes.values() if process),
        bfds=tuple(bfd for bfd in {**known.check_bfds, **known.bfds}.values() if bfd),
        garp_groups=garp_groups(context, top),
        up_down_delays=up_down_delays(context, top),
        track_groups=track_groups(context, top, found),
        static_addresses=addresses(context, top.get("static_addresses", [])),
        static_routes=routes(context, top.get("static_routes", [])),
        static_rules=static_rules,
        settings=vrrp_globals(context),
        mail=mail(context.globals),
    )


def _host_within(top: Draft, host: Host, findings: Findings) -> Host:
    """Returns the host as net_namespace sees it."""
    namespace = top.get("net_namespace")
    if not namespace:
        return host
    try:
        return host.within(namespace)
    except OSError as failed:
        findings.add(
            Severity.ELSEWHERE, top.at("net_namespace"),
            f"net_namespace {namespace}: {failed.strerror}",
            "expected a network namespace",
        )  # fmt: skip
        return host


def _judge_globals(context: Context) -> None:
    """Reports an account for scripts that does not exist, and leaves it out."""
    account = context.globals.get("script_user")
    if account and not context.host.has_account(*account):
        context.findings.error(
            context.globals.at("script_user"), f"no account {' '.join(account).strip()}", "ignored"
        )
        context.globals.drop("script_user")
