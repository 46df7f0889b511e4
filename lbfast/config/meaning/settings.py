"""global_defs and the single words of the top level: settings of each process."""

from __future__ import annotations

from typing import Any

from lbfast.config.blocks import Draft
from lbfast.config.meaning.context import Context
from lbfast.model import Timeouts
from lbfast.model.check import CheckSettings, TlsFiles
from lbfast.model.configuration import ProcessSettings, ReloadSettings, SyncSettings
from lbfast.model.mail import Mail
from lbfast.model.vrrp import Fifo, VrrpGlobals

_DUMPS = {
    "state_dump_file": "keepalived.data",
    "stats_dump_file": "keepalived.stats",
    "json_dump_file": "keepalived.json",
}


def mail(globals_: Draft) -> Mail:
    server, port = globals_.get("smtp_server", ("", 25))
    return Mail(
        recipients=tuple(globals_.get("notification_email", [])),
        sender=globals_.get("notification_email_from", ""),
        server=server,
        port=port,
        connect_timeout_s=float(globals_.get("smtp_connect_timeout_s", 30)),
        helo_name=globals_.get("smtp_helo_name", ""),
        router_id=globals_.get("router_id", ""),
    )


def _fifos(context: Context, *kinds: str) -> tuple[Fifo, ...]:
    found = []
    for kind in kinds:
        given = context.globals.get(f"{kind}notify_fifo")
        script = context.script(context.globals.get(f"{kind}notify_fifo_script"))
        if given is not None:
            path, user, group = given
            found.append(Fifo(path, user, group, script))
    return tuple(found)


def vrrp_globals(context: Context) -> VrrpGlobals:
    globals_ = context.globals
    fields: dict[str, Any] = {
        field: globals_.get(word)
        for field, word in (
            ("router_id", "router_id"),
            ("startup_delay_us", "vrrp_startup_delay_us"),
            ("delay_after_boot_us", "vrrp_delay_after_boot_us"),
            ("garp_interval_us", "vrrp_garp_interval_us"),
            ("gna_interval_us", "vrrp_gna_interval_us"),
            ("log_unknown_vrids", "log_unknown_vrids"),
            ("fifo_states_on_reload", "fifo_write_vrrp_states_on_reload"),
            ("default_interface", "default_interface"),
            ("nftables_priority", "nftables_priority"),
        )
        if word in globals_
    }
    fields["fault_mails"] = not globals_.get("no_email_faults", False)
    if globals_.get("nftables"):
        fields["nftables_table"] = globals_.get("nftables")
    return VrrpGlobals(fifos=_fifos(context, "", "vrrp_"), **fields)


def check_settings(context: Context, top: Draft) -> CheckSettings:
    globals_ = context.globals
    tls: Draft | None = next(reversed(top.get("ssl", [])), None)
    timeouts = globals_.get("lvs_timeouts")
    return CheckSettings(
        mail=mail(globals_),
        fifos=_fifos(context, "", "lvs_"),
        tls=TlsFiles(**tls.values) if tls else TlsFiles(),
        smtp_alert=globals_.get("smtp_alert_checker", globals_.get("smtp_alert")),
        no_checker_emails=globals_.get("no_checker_emails", False),
        checker_log_all_failures=globals_.get("checker_log_all_failures", False),
        rs_init_notifies=globals_.get("rs_init_notifies", False),
        lvs_flush=globals_.get("lvs_flush", False),
        lvs_flush_on_stop=globals_.get("lvs_flush_on_stop", ""),
        lvs_timeouts=Timeouts(**{"tcp": 0, "tcpfin": 0, "udp": 0, **timeouts})
        if timeouts
        else None,
    )


def process_settings(context: Context, top: Draft) -> ProcessSettings:
    globals_ = context.globals
    return ProcessSettings(
        instance=top.get("instance", ""),
        net_namespace=top.get("net_namespace", ""),
        use_pid_dir=top.get("use_pid_dir", False),
        dumps={file: globals_.get(word) for word, file in _DUMPS.items() if globals_.get(word)},
        data_use_instance=globals_.get("data_use_instance", False),
        umask=globals_.get("umask", 0o022),
        startup_script=context.lone_script(globals_.get("startup_script")),
        startup_timeout_s=globals_.get("startup_timeout_s", 10),
        shutdown_script=context.lone_script(globals_.get("shutdown_script")),
        shutdown_timeout_s=globals_.get("shutdown_timeout_s", 10),
        child_wait_time_s=top.get("child_wait_time_s", 5),
        reload=ReloadSettings(
            check_first="reload_check_config" in globals_,
            check_log=globals_.get("reload_check_config", ""),
            time_file=globals_.get("reload_time_file", ""),
            repeat=globals_.get("reload_repeat", False),
            marker=globals_.get("reload_file"),
        ),
    )


def sync_settings(context: Context, top: Draft, names: set[str]) -> SyncSettings | None:
    """Returns lvs_sync_daemon, or what lvs_sync_daemon_interface of an instance says."""
    reason = "connections are not synchronised yet"
    given: dict[str, Any] | None = context.globals.get("lvs_sync_daemon")
    if given is None:
        for draft in top.get("vrrp_instance", []):
            if interface := draft.get("lvs_sync_daemon_interface"):
                place = draft.at("lvs_sync_daemon_interface")
                context.findings.note(
                    place, "lvs_sync_daemon_interface has no effect here", reason
                )
                return SyncSettings(interface, draft.get("name"))
        return None
    place = context.globals.at("lvs_sync_daemon")
    context.findings.note(place, "lvs_sync_daemon has no effect here", reason)
    instance = given.get("instance", "")
    if instance and instance not in names:
        context.findings.note(
            context.globals.at("lvs_sync_daemon"), f"no instance {instance}", "both halves run"
        )
        instance = ""
    return SyncSettings(
        given["interface"],
        instance,
        given.get("id"),
        given.get("maxlen", 0),
        given.get("port", 8848),
        given.get("ttl", 0),
        given.get("group", b""),
    )
