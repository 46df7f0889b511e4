"""global_defs: the words on processes, SNMP and D-Bus; none has an effect (spec 2.2)."""

from __future__ import annotations

from lbfast.config.blocks import Ignored, Row, Table
from lbfast.config.values import Bad, Missing, Statement, integer, optional_boolean, string, whole

_SNMP = "there is no SNMP agent"
_DBUS = "there is no D-Bus interface"
_MANAGER = "priorities, memory and processors of a service are the service manager's"
_NAMES = "processes keep the name of the command"
BUFFERS = "socket buffers have a fixed, sufficient size"


def one_word(given: Statement) -> str:
    """Reads the only word behind the keyword."""
    if len(given.words) != 2:
        raise Bad(f"{len(given.words) - 1} words", "expected one")
    return given.words[1]


def _max_auto(given: Statement) -> int:
    return whole(given.words[1], -1, 99) if len(given.words) > 1 else 99


def _cpus(given: Statement) -> list[int]:
    if len(given.words) < 2:
        raise Missing(2)
    return [whole(word, 0, 1023, "a processor") for word in given.words[1:]]


def _process_rows() -> Table:
    """Returns the keywords on processes: none has an effect."""
    rows: dict[str, Row] = {
        "process_names": Ignored(_NAMES),
        **{
            f"{kind}process_name": Ignored(_NAMES, string)
            for kind in ("", "vrrp_", "checker_", "lvs_", "bfd_")
        },
        "max_auto_priority": Ignored(_MANAGER, _max_auto),
        "min_auto_priority_delay": Ignored(_MANAGER, integer(1, 10**7), is_fatal=False),
    }
    for kind in ("vrrp", "checker", "bfd"):
        rows[f"{kind}_priority"] = Ignored(_MANAGER, integer(-20, 19), is_fatal=False)
        rows[f"{kind}_no_swap"] = Ignored(_MANAGER)
        rows[f"{kind}_rt_priority"] = Ignored(_MANAGER, integer(1, 99), is_fatal=False)
        rows[f"{kind}_cpu_affinity"] = Ignored(_MANAGER, _cpus, is_fatal=False)
        rows[f"{kind}_rlimit_rttime"] = Ignored(_MANAGER, integer(1))
        rows[f"{kind}_rlimit_rtime"] = Ignored(_MANAGER, integer(1))
    for name in ("vrrp_netlink_cmd", "vrrp_netlink_monitor", "lvs_netlink_cmd",
                 "lvs_netlink_monitor", "process_monitor"):  # fmt: skip
        rows[f"{name}_rcv_bufs"] = Ignored(BUFFERS, integer(), is_fatal=False)
        rows[f"{name}_rcv_bufs_force"] = Ignored(BUFFERS, optional_boolean)
    return rows


_AGENTS: Table = {
    "snmp_socket": Ignored(_SNMP, one_word, is_fatal=False),
    **{
        name: Ignored(_SNMP)
        for name in ("enable_traps", "enable_snmp_vrrp", "enable_snmp_keepalived",
                     "enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3",
                     "enable_snmp_checker", "snmp_vs_stats_update_interval",
                     "snmp_rs_stats_update_interval")
    },
    "enable_dbus": Ignored(_DBUS),
    "dbus_service_name": Ignored(_DBUS, string, is_fatal=False),
    "dbus_no_interface_name": Ignored(_DBUS),
}  # fmt: skip

PROCESS: Table = {**_process_rows(), **_AGENTS}
