"""global_defs (spec 2.2)."""

from __future__ import annotations

from collections.abc import Callable

from lbfast.config import include
from lbfast.config.blocks import Call, Draft, Flag, Ignored, Lines, Loader, Row, Table, Value
from lbfast.config.foreign import Foreign, newer
from lbfast.config.keywords.process import BUFFERS, PROCESS, one_word
from lbfast.config.keywords.scripts import account, script
from lbfast.config.values import (
    INT_MAX,
    MICRO,
    UINT_MAX,
    Bad,
    Statement,
    choice,
    integer,
    lone,
    optional_boolean,
    optional_string,
    packed,
    port,
    string,
    timer_us,
    whole,
)

MAX_TIMER_S = 4294
MAX_TIMER_US = UINT_MAX
_TABLES = "addresses are filtered by nftables in a table that lbfast chooses"
_DEBUGGING = "it only helps to debug keepalived"


def _smtp_server(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads `HOST [PORT]`; a name is looked up where that is wanted, as keepalived does."""
    server = given.word()
    number = port(given.words[2]) if len(given.words) > 2 else 25
    if not loader.host.has_address(server):
        raise Bad(f"{server!r} has no address", "expected an address or a host's name")
    draft.put("smtp_server", (server, number), given.place)


def _umask(given: Statement) -> int:
    word = given.word()
    bits = {
        f"I{right}{who}": value << shift
        for who, shift in (("USR", 6), ("GRP", 3), ("OTH", 0))
        for right, value in (("R", 4), ("W", 2), ("X", 1))
    }
    if word.isascii() and word.isdigit():
        try:
            mask = int(word, 8)
        except ValueError:
            mask = -1
        if 0 <= mask <= 0o777:
            return mask
        raise Bad(f"{word!r}", "expected an octal number up to 0777")
    unknown = [bit for bit in word.split("|") if bit not in bits]
    if unknown:
        raise Bad(f"{unknown[0]!r}", f"expected {', '.join(bits)}")
    return sum({bits[bit] for bit in word.split("|")})


def multicast(size: int) -> Callable[[Statement], bytes]:
    """Reads a group address of 4 or 16 bytes."""

    def read(given: Statement) -> bytes:
        group = lone(given.word())
        if len(group) != size or (group[0] >> 4 != 0xE if size == 4 else group[0] != 0xFF):
            raise Bad(f"{given.word()!r}", "expected a multicast address of that family")
        return group

    return read


def extra_interfaces(low: int) -> Callable[[Statement], tuple[bool, int]]:
    """Reads `[all] SECONDS`; returns whether all, and microseconds."""

    def read(given: Statement) -> tuple[bool, int]:
        is_all = given.words[1:2] == ("all",)
        return is_all, whole(given.word(2 if is_all else 1), low, 86400) * MICRO

    return read


def _lvs_timeouts(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads `[tcp S] [tcpfin S] [udp S]`; what cannot be read is left out."""
    found: dict[str, int] = {}
    words = iter(given.words[1:])
    for word in words:
        if word not in ("tcp", "tcpfin", "udp"):
            loader.bad(given, Bad(f"{word!r}", "expected tcp, tcpfin or udp"))
            continue
        try:
            found[word] = whole(next(words, ""), 0, 2678400, "seconds")
        except Bad as bad:
            loader.bad(given, bad)
    if not found:
        raise Bad("no time-out", "expected at least one of tcp, tcpfin, udp")
    draft.put("lvs_timeouts", found, given.place)


_SYNC_WORDS = {
    "id": (0, 255),
    "maxlen": (1, 65507),
    "port": (1, 65535),
    "ttl": (1, 255),
}


def _sync_daemon(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads `IF [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group IP]`."""
    if len(given.words) < 2:
        raise Bad("no interface", "expected one")
    if "lvs_sync_daemon" in draft:
        raise Bad("given again", "the first one holds")
    found: dict[str, object] = {"interface": given.words[1]}
    words = iter(given.words[2:])
    for word in words:
        if word in _SYNC_WORDS:
            found[word] = whole(next(words, ""), *_SYNC_WORDS[word])
        elif word == "group":
            found["group"] = packed(next(words, ""))
        else:
            found["instance"] = next(words, "") if word == "inst" else word
    draft.put("lvs_sync_daemon", found, given.place)


def _include_check(loader: Loader, draft: Draft, given: Statement) -> None:
    """Sets how strict `include` is from here on; a sign adds to or takes from what holds."""
    rules = loader.source.includes
    words = list(given.words[1:])
    if words and words[0][0] not in "+-":
        rules.default = 0
    for word in words or include.CHECKS:
        name = word.lstrip("+-")
        if name not in include.CHECKS:
            loader.bad(given, Bad(f"{word!r}", f"expected {', '.join(include.CHECKS)}"))
        elif word.startswith("-"):
            rules.default &= ~include.CHECKS[name]
        else:
            rules.default |= include.CHECKS[name]


def _fifo(given: Statement) -> tuple[str, str, str]:
    path = given.word()
    user, group = ([*given.words[2:4], "", ""])[:2]
    return path, user, group


def _flush(given: Statement) -> str:
    word = optional_string(given)
    if word not in ("", "VS"):
        raise Bad(f"{word!r}", "expected VS or nothing")
    return word or "all"


def _dynamic(given: Statement) -> bool:
    word = optional_string(given)
    if word not in ("", "allow_if_changes"):
        raise Bad(f"{word!r}", "expected allow_if_changes or nothing")
    return True


def _seed(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.source.random.seed(whole(given.word(), 0, UINT_MAX))


def _strict(given: Statement) -> bool:
    """vrrp_strict and others take any word; one that is not a truth means on."""
    try:
        return optional_boolean(given)
    except Bad:
        return True


def _email(given: Statement) -> str:
    return given.keyword


def _emails(loader: Loader, draft: Draft, given: Statement) -> None:
    Lines("notification_email", _email).apply(loader, draft, given)
    if not draft.get("notification_email"):
        loader.bad(given, Bad("no address", "expected at least one"))


def _iptables(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.note_once(given, _TABLES)
    raise Bad("iptables", "expected the word nftables; lbfast uses nftables")


def _deprecated_extra(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.bad(given, Bad("an old name", "now vrrp_garp_extra_if"))
    Value("vrrp_garp_extra_if", extra_interfaces(1), is_fatal=False).apply(loader, draft, given)


def _rx_policy(given: Statement) -> object:
    word = given.word()
    return word if word in ("MTU", "ADVERT", "NO_SEND_RX") else whole(word, 0, UINT_MAX)


def _optional_boolean_row(field: str) -> Row:
    return Value(field, optional_boolean)


_MAIL: Table = {
    "router_id": Value("router_id", string, is_fatal=False),
    "notification_email": Call(_emails),
    "notification_email_from": Value("notification_email_from", string, is_fatal=False),
    "smtp_server": Call(_smtp_server),
    "smtp_connect_timeout": Value("smtp_connect_timeout_s", integer(1, MAX_TIMER_S)),
    "smtp_helo_name": Value("smtp_helo_name", optional_string),
    "smtp_alert": _optional_boolean_row("smtp_alert"),
    "smtp_alert_vrrp": _optional_boolean_row("smtp_alert_vrrp"),
    "smtp_alert_checker": _optional_boolean_row("smtp_alert_checker"),
    "no_email_faults": Flag("no_email_faults"),
    "no_checker_emails": _optional_boolean_row("no_checker_emails"),
    "checker_log_all_failures": _optional_boolean_row("checker_log_all_failures"),
}
_SCRIPTS: Table = {
    "script_user": Value("script_user", account, is_fatal=False),
    "enable_script_security": Flag("enable_script_security"),
    "startup_script": Value("startup_script", script, is_fatal=False, is_once=True),
    "shutdown_script": Value("shutdown_script", script, is_fatal=False, is_once=True),
    "startup_script_timeout": Value("startup_timeout_s", integer(1, 1000), is_fatal=False),
    "shutdown_script_timeout": Value("shutdown_timeout_s", integer(1, 1000), is_fatal=False),
    "rs_init_notifies": _optional_boolean_row("rs_init_notifies"),
    "umask": Value("umask", _umask),
    "random_seed": Call(_seed),
}
_delay, _repeat = integer(0, MAX_TIMER_S), integer(1, UINT_MAX)
_VRRP: Table = {
    "vrrp_version": Value("vrrp_version", integer(2, 3, strict=True)),
    "vrrp_mcast_group4": Value("vrrp_mcast_group4", multicast(4)),
    "vrrp_mcast_group6": Value("vrrp_mcast_group6", multicast(16)),
    "vrrp_skip_check_adv_addr": Value("vrrp_skip_check_adv_addr", _strict),
    "vrrp_strict": Value("vrrp_strict", _strict),
    "vrrp_garp_interval": Value("vrrp_garp_interval_us", timer_us(1, MAX_TIMER_US)),
    "vrrp_gna_interval": Value("vrrp_gna_interval_us", timer_us(1, MAX_TIMER_US)),
    "vrrp_garp_master_delay": Value("garp_master_delay_s", _delay),
    "vrrp_garp_master_repeat": Value("garp_master_repeat", _repeat),
    "vrrp_garp_master_refresh": Value("garp_master_refresh_s", integer()),
    "vrrp_garp_master_refresh_repeat": Value("garp_master_refresh_repeat", _repeat),
    "vrrp_garp_lower_prio_delay": Value("garp_lower_prio_delay_s", _delay),
    "vrrp_garp_lower_prio_repeat": Value("garp_lower_prio_repeat", integer(0, INT_MAX)),
    "vrrp_garp_extra_if": Value("vrrp_garp_extra_if", extra_interfaces(1), is_fatal=False),
    "vrrp_vmac_garp_intvl": Call(_deprecated_extra),
    "vrrp_min_garp": _optional_boolean_row("vrrp_min_garp"),
    "vrrp_down_timer_adverts": Value("down_timer_adverts", integer(1, 100)),
    "vrrp_lower_prio_no_advert": _optional_boolean_row("lower_prio_no_advert"),
    "vrrp_higher_prio_send_advert": _optional_boolean_row("higher_prio_send_advert"),
    "vrrp_check_unicast_src": Flag("vrrp_check_unicast_src"),
    "vrrp_notify_priority_changes": _optional_boolean_row("notify_priority_changes"),
    "vrrp_startup_delay": Value("vrrp_startup_delay_us", timer_us(1, MAX_TIMER_US)),
    "vrrp_delay_after_boot": Value("vrrp_delay_after_boot_us", timer_us(1, MAX_TIMER_US)),
    "log_unknown_vrids": Flag("log_unknown_vrids"),
    "vrrp_owner_ignore_adverts": _optional_boolean_row("owner_ignore_adverts"),
    "default_interface": Value("default_interface", string, is_fatal=False),
    "dynamic_interfaces": Value("dynamic_interfaces", _dynamic),
    "disable_local_igmp": Ignored("the host's own settings of IGMP stay as they are"),
    "v3_checksum_as_v2": _optional_boolean_row("v3_checksum_as_v2"),
    "vmac_prefix": Value("vmac_prefix", string, is_once=True),
    "vmac_addr_prefix": Value("vmac_addr_prefix", string, is_once=True),
    "vrrp_iptables": Call(_iptables),
    "vrrp_ipsets": Foreign(Ignored(_TABLES), "not built into every keepalived"),
    "nftables": Value("nftables", optional_string, is_once=True),
    "nftables_priority": Value("nftables_priority", integer(-INT_MAX - 1, INT_MAX)),
    "nftables_counters": Ignored(_TABLES),
    "nftables_ifindex": Ignored(_TABLES),
    "nftables_ipvs": Ignored("groups need no marks: every address is a service of its own"),
    "nftables_ipvs_priority": Ignored(
        "groups need no marks: every address is a service of its own",
        integer(-INT_MAX - 1, INT_MAX),
    ),
    "nftables_ipvs_start_fwmark": Ignored(
        "groups need no marks: every address is a service of its own", integer(1, UINT_MAX)
    ),
    "vrrp_rx_bufs_policy": Ignored(BUFFERS, _rx_policy, is_fatal=False),
    "vrrp_rx_bufs_multiplier": Ignored(BUFFERS, integer(1), is_fatal=False),
}
_LVS: Table = {
    "lvs_timeouts": Call(_lvs_timeouts),
    "lvs_flush": Flag("lvs_flush"),
    "lvs_flush_on_stop": Value("lvs_flush_on_stop", _flush),
    "lvs_flush_onstop": Value("lvs_flush_on_stop", _flush),
    "lvs_sync_daemon": Call(_sync_daemon),
}
_FIFOS: Table = {
    f"{kind}notify_fifo{tail}": Value(
        f"{kind}notify_fifo{tail}", read, is_fatal=False, is_once=True
    )
    for kind in ("", "vrrp_", "lvs_")
    for tail, read in (("", _fifo), ("_script", script))
} | {"fifo_write_vrrp_states_on_reload": Flag("fifo_write_vrrp_states_on_reload")}
_RELOAD: Table = {
    "reload_check_config": Value("reload_check_config", optional_string),
    "reload_time_file": Value("reload_time_file", one_word),
    "reload_repeat": Flag("reload_repeat"),
    "reload_file": Value("reload_file", optional_string),
    "include_check": Call(_include_check),
    "data_use_instance": _optional_boolean_row("data_use_instance"),
    "config_save_dir": Ignored(_DEBUGGING, string),
    "tmp_config_directory": Ignored(_DEBUGGING, string, is_fatal=False),
    "state_dump_file": Value("state_dump_file", string),
    "stats_dump_file": Value("stats_dump_file", string),
    "json_dump_file": Value("json_dump_file", string),
    "json_version": Ignored("the dump has one form", choice({"1": 1, "2": 2})),
    "use_symlink_paths": Ignored("paths are taken as they are written"),
    "set_supplementary_groups": Ignored("scripts get the groups of their user"),
    "iproute_usr_dir": Ignored("names of tables and scopes are built in", string),
    "iproute_etc_dir": Ignored("names of tables and scopes are built in", string),
}


GLOBAL_DEFS: Table = newer(
    {
        **_MAIL,
        **_SCRIPTS,
        **_VRRP,
        **_LVS,
        **_FIFOS,
        **_RELOAD,
        **PROCESS,
    },
    "vrrp_delay_after_boot", "vrrp_owner_ignore_adverts", "v3_checksum_as_v2",
    "state_dump_file", "stats_dump_file", "json_dump_file", "json_version", "use_symlink_paths",
    "set_supplementary_groups", "iproute_usr_dir", "iproute_etc_dir",
    "snmp_vs_stats_update_interval", "snmp_rs_stats_update_interval", "dbus_no_interface_name",
)  # fmt: skip
