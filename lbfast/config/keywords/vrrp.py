"""vrrp_instance and vrrp_sync_group (spec 2.4, 2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbfast.config.addresses import address_line
from lbfast.config.blocks import Block, Call, Draft, Flag, Ignored, Lines, Loader, Table, Value
from lbfast.config.foreign import newer
from lbfast.config.keywords.globals import MAX_TIMER_S, extra_interfaces
from lbfast.config.keywords.scripts import optional_script, script
from lbfast.config.keywords.trackers import MAX_FILE_WEIGHT, MAX_WEIGHT, track_line
from lbfast.config.routes import route_line, rule_line
from lbfast.config.values import (
    INT_MAX,
    MICRO,
    Bad,
    Statement,
    address,
    integer,
    lone,
    optional_boolean,
    optional_string,
    packed,
    string,
    timer_us,
    whole,
)
from lbfast.model.vrrp import AuthType, Peer

_MAX_NAME = 15
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){4,5}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_PASS_BYTES = 8


@dataclass(frozen=True, slots=True)
class VmacWords:
    """The arguments of use_vmac or use_ipvlan."""

    name: str = ""
    mac: bytes = b""
    addr: bytes = b""
    mode: str = "bridge"


def _state(loader: Loader, draft: Draft, given: Statement) -> None:
    word = given.word()
    if word not in ("MASTER", "BACKUP"):
        loader.bad(given, Bad(f"state {word!r}", "expected MASTER or BACKUP; BACKUP is used"))
    draft.put("state", "MASTER" if word == "MASTER" else "BACKUP", given.place)


def _advert(given: Statement) -> int:
    return timer_us(10_000, 255 * MICRO)(given)  # type: ignore[return-value]


def _use_vmac(loader: Loader, draft: Draft, given: Statement) -> None:
    name, mac = "", b""
    words = iter(given.words[1:])
    for word in words:
        if word in ("netlink_notify_msg", "group"):
            _later_vmac(loader, given, word)
            if word == "group":
                next(words, "")
        elif ":" in word:
            mac = _mac(loader, given, word)
        elif name:
            loader.bad(given, Bad(f"second name {word!r}", "expected one name"))
        elif len(word) > _MAX_NAME or not _INTERFACE.fullmatch(word):
            loader.bad(given, Bad(f"name {word!r}", "expected an interface's name"))
        else:
            name = word
    draft.put("use_vmac", VmacWords(name, mac), given.place)


def _later_vmac(loader: Loader, given: Statement, word: str) -> None:
    """Notes a word of use_vmac that came with keepalived 2.4."""
    loader.findings.note(
        given.place, f"use_vmac: {word} has no effect here", "the interface is made without it"
    )


def _mac(loader: Loader, given: Statement, word: str) -> bytes:
    if not _MAC.fullmatch(word):
        loader.bad(given, Bad(f"MAC {word!r}", "expected five octets, the VRID is the sixth"))
        return b""
    return bytes(int(octet, 16) for octet in word.split(":"))


def _use_ipvlan(loader: Loader, draft: Draft, given: Statement) -> None:
    if "use_ipvlan" in draft:
        raise Bad("given again", "the first one holds")
    found = VmacWords()
    for word in given.words[1:]:
        if word in ("bridge", "private", "vepa"):
            found = VmacWords(found.name, b"", found.addr, word)
            continue
        try:
            found = VmacWords(found.name, b"", packed(word.partition("/")[0]), found.mode)
        except Bad:
            found = VmacWords(word, b"", found.addr, found.mode)
    draft.put("use_ipvlan", found, given.place)


def _auth_type(given: Statement) -> AuthType:
    known = {"PASS": AuthType.PASS, "AH": AuthType.AH}
    word = given.word()
    if word not in known:
        raise Bad(f"{word!r}", "expected PASS or AH")
    return known[word]


def _auth_pass(given: Statement) -> bytes:
    secret = given.word().encode("utf-8", "surrogateescape")
    if len(secret) > _PASS_BYTES:
        raise Bad(f"{len(secret)} characters", "cut to 8", secret[:_PASS_BYTES])
    return secret


def _auth(loader: Loader, draft: Draft, given: Statement) -> None:
    inner = Draft(given.place)
    loader.open_block(given)
    loader.load(AUTHENTICATION, inner)
    draft.put("authentication", inner, given.place)


AUTHENTICATION: Table = {
    "auth_type": Value("type", _auth_type),
    "auth_pass": Value("password", _auth_pass),
}


def _interface(loader: Loader, draft: Draft, given: Statement) -> None:
    """Takes the interface; every one that is named has to be there, the last one holds."""
    draft.put("interface", given.word(), given.place)
    draft.add("interfaces", given.word(), given.place)


def _peer(line: Statement) -> Peer:
    limits: dict[str, int] = {}
    words = iter(line.words[1:])
    for word in words:
        if word not in ("min_ttl", "max_ttl"):
            raise Bad(f"{word!r}", "expected min_ttl or max_ttl")
        limits[word] = whole(next(words, ""), 0, 255)
    return Peer(lone(line.words[0]), limits.get("min_ttl"), limits.get("max_ttl"))


def _address_or_none(line: Statement) -> object:
    return address_line(line)


def _old_checksum(given: Statement) -> str:
    word = optional_string(given)
    if word not in ("", "never"):
        raise Bad(f"{word!r}", "expected never or nothing")
    return word


def _old_unicast(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.note_once(given, "the checksum of keepalived before 1.3.6 is not sent")
    draft.put("old_unicast_checksum", _old_checksum(given), given.place)


def _native(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.note_once(given, "the family is that of the first address")
    draft.put("native_ipv6", True, given.place)


def _polling(loader: Loader, draft: Draft, given: Statement) -> None:
    raise Bad("deprecated here", "link states come by netlink")


def _old_sync(loader: Loader, draft: Draft, given: Statement) -> None:
    draft.put("lvs_sync_daemon_interface", given.word(), given.place)
    loader.bad(given, Bad("deprecated", "use lvs_sync_daemon in global_defs"))


def _deprecated_extra(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.bad(given, Bad("an old name", "now garp_extra_if"))
    Value("garp_extra_if", extra_interfaces(0), is_fatal=False).apply(loader, draft, given)


def _old_tracking(loader: Loader, draft: Draft, given: Statement) -> None:
    raise Bad("deprecated", "use the track blocks of the group")


def _deleted(given: Statement) -> object:
    return optional_script(given)


def _buffer(given: Statement) -> object:
    return integer()(given)


TRACKING: Table = {
    "track_interface": Lines("track_interface", track_line(MAX_WEIGHT)),
    "track_script": Lines("track_script", track_line(MAX_WEIGHT)),
    "track_file": Lines("track_file", track_line(MAX_FILE_WEIGHT)),
    "track_process": Lines("track_process", track_line(MAX_FILE_WEIGHT)),
    "track_bfd": Lines("track_bfd", track_line(MAX_WEIGHT)),
}
_NOTIFY: Table = {
    **{
        name: Value(name, script, is_once=True)
        for name in ("notify_master", "notify_backup", "notify_fault", "notify_stop", "notify")
    },
    "notify_priority_changes": Value("notify_priority_changes", optional_boolean),
    "smtp_alert": Value("smtp_alert", optional_boolean),
}
_CORE: Table = {
    "state": Call(_state),
    "interface": Call(_interface),
    "virtual_router_id": Value("vrid", integer(1, 255, strict=True)),
    "priority": Value("priority", integer(1, 255, strict=True)),
    "advert_int": Value("advert_us", _advert),
    "authentication": Call(_auth),
    "auth_hmac": Block("auth_hmac", lambda: AUTH_HMAC),
    "virtual_ipaddress": Lines("addresses", address_line),
    "virtual_ipaddress_excluded": Lines("excluded", address_line),
    "no_virtual_ipaddress": Flag("no_virtual_ipaddress"),
    "virtual_routes": Lines("routes", lambda line: (route_line(line), line.place)),
    "virtual_rules": Lines("rules", lambda line: (rule_line(line), line.place)),
    "version": Value("version", integer(2, 3, strict=True)),
    "nopreempt": Flag("nopreempt"),
    "preempt": Flag("nopreempt", False),
    "preempt_delay": Value("preempt_delay_us", timer_us(0, 1000 * MICRO)),
    "accept": Flag("accept", True),
    "no_accept": Flag("accept", False),
    "unicast_src_ip": Value("unicast_src", address),
    "mcast_src_ip": Value("mcast_src", address),
    "unicast_peer": Lines("peers", _peer),
    "unicast_ttl": Value("unicast_ttl", integer(0, 255)),
    "check_unicast_src": Flag("check_unicast_src"),
    "unicast_fault_no_peer": Flag("unicast_fault_no_peer"),
    "mcast_dst_ip": Value("mcast_dst", address),
    "track_src_ip": Flag("track_src_ip"),
    "old_unicast_checksum": Call(_old_unicast),
    "native_ipv6": Call(_native),
    "vrf": Value("vrf", string),
    "dont_track_primary": Flag("dont_track_primary"),
    "linkbeat_use_polling": Call(_polling),
}
_HMAC = "authentication of version 3 is keepalived's own and later than 2.2"
AUTH_HMAC: Table = {
    name: Ignored(_HMAC) for name in ("key", "active_key", "time_window", "anti_replay", "mode")
}
_VMAC: Table = {
    "use_vmac": Call(_use_vmac),
    "use_vmac_addr": Flag("use_vmac_addr"),
    "vmac_xmit_base": Flag("vmac_xmit_base"),
    "use_ipvlan": Call(_use_ipvlan),
    "promote_secondaries": Flag("promote_secondaries"),
}
_delay, _repeat = integer(0, MAX_TIMER_S), integer(1)
_TIMING: Table = {
    "garp_master_delay": Value("garp_master_delay_s", _delay),
    "garp_master_repeat": Value("garp_master_repeat", _repeat),
    "garp_master_refresh": Value("garp_master_refresh_s", integer()),
    "garp_master_refresh_repeat": Value("garp_master_refresh_repeat", _repeat),
    "garp_lower_prio_delay": Value("garp_lower_prio_delay_s", _delay),
    "garp_lower_prio_repeat": Value("garp_lower_prio_repeat", integer(0, INT_MAX)),
    "garp_extra_if": Value("garp_extra_if", extra_interfaces(0), is_fatal=False),
    "vmac_garp_intvl": Call(_deprecated_extra),
    "down_timer_adverts": Value("down_timer_adverts", integer(1, 100)),
    "lower_prio_no_advert": Value("lower_prio_no_advert", optional_boolean),
    "higher_prio_send_advert": Value("higher_prio_send_advert", optional_boolean),
    "skip_check_adv_addr": Value("skip_check_adv_addr", optional_boolean),
    "strict_mode": Value("strict", optional_boolean),
    "timer_expired_backup": Flag("timer_expired_backup"),
    "thread_timer_expired": Flag("timer_expired_backup"),
    "owner_ignore_adverts": Value("owner_ignore_adverts", optional_boolean),
    "v3_checksum_as_v2": Value("v3_checksum_as_v2", optional_boolean),
    "kernel_rx_buf_size": Ignored("socket buffers have a fixed size", _buffer, is_fatal=False),
    "debug": Ignored("how much is logged is said on the command line", integer(0, 4)),
}

VRRP_INSTANCE: Table = newer(
    {
        **_CORE,
        **_VMAC,
        **_TIMING,
        **TRACKING,
        **_NOTIFY,
        "notify_deleted": Value("notify_deleted", _deleted, is_once=True),
        "notify_master_rx_lower_pri": Value("notify_master_rx_lower_pri", script, is_once=True),
        "lvs_sync_daemon_interface": Call(_old_sync),
    },
    "auth_hmac", "no_virtual_ipaddress", "timer_expired_backup", "thread_timer_expired",
    "owner_ignore_adverts", "v3_checksum_as_v2",
)  # fmt: skip


def _group(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads the names of the members, one or more on a line."""
    if "members" in draft:
        loader.bad(given, Bad("a second list", "ignored"))
        draft = Draft(given.place)
    Lines("members", lambda line: (line.words, line.place)).apply(loader, draft, given)


SYNC_GROUP: Table = {
    "group": Call(_group),
    **_NOTIFY,
    **TRACKING,
    "global_tracking": Call(_old_tracking),
    "sync_group_tracking_weight": Flag("tracking_weight"),
}
