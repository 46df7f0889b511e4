"""A command line of ipvsadm, read option by option into a draft (spec/ipvs.md 10.1-10.3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

from lbfast.cli.addresses import Names, host_address, parse_endpoint, parse_group
from lbfast.cli.draft import FAILED, Draft, LineFailed, Stop, usage_error
from lbfast.cli.numbers import leading_number, number
from lbfast.cli.popt import BadWord, Reader
from lbfast.cli.usage import VERSION_TEXT, usage_text
from lbfast.cli.words import (
    CLASSES,
    COMMANDS,
    LADDR_COMMANDS,
    LADDR_OPTIONS,
    OPTIONS,
)
from lbfast.model import (
    AF_INET6,
    Method,
    ServiceFlags,
    SyncRole,
    Timeouts,
    TunnelFlags,
    TunnelType,
)

DAY_S = 86_400
MAX_TIMEOUT_S = 31 * DAY_S
DEFAULT_PERSISTENCE_S = 360
INT_MAX = 0x7FFFFFFF
UINT_MAX = 0xFFFFFFFF
NAME_LENGTH = 15  # of schedulers, engines and interfaces in the kernel

_SERVICE_PROTOCOLS = {
    "tcp-service": int(socket.IPPROTO_TCP),
    "udp-service": int(socket.IPPROTO_UDP),
    "sctp-service": int(socket.IPPROTO_SCTP),
}
_METHODS = {
    "gatewaying": Method.DROUTE,
    "ipip": Method.TUNNEL,
    "masquerading": Method.MASQ,
    "fullnat": Method.FULLNAT,
}
_ROLES = {"master": SyncRole.MASTER, "backup": SyncRole.BACKUP}
_ROLE_ERRORS = {
    "start-daemon": "illegal start-daemon parameter specified",
    "stop-daemon": "illegal start_daemon specified",
}
_TUNNEL_TYPES = {"ipip": TunnelType.IPIP, "gue": TunnelType.GUE, "gre": TunnelType.GRE}
_TUNNEL_FLAGS = {
    "tun-nocsum": TunnelFlags.NOCSUM,
    "tun-csum": TunnelFlags.CSUM,
    "tun-remcsum": TunnelFlags.REMCSUM,
}


def try_help(prog: str) -> Stop:
    """Returns what is said to a line whose first option is no command."""
    return Stop(FAILED, f"Try `{prog} -h' or '{prog} --help' for more information.\n")


def parse(argv: Sequence[str], names: Names) -> Draft:
    """Reads one command line; raises Stop, or LineFailed for a word that popt cannot read."""
    reader = Reader(argv, OPTIONS)
    draft = _read_command(argv[0], reader)
    try:
        while (item := reader.next()) is not None:
            option, value = item
            if option in COMMANDS:
                raise usage_error(f"invalid option `{reader.word}'")
            _take(draft, option, value or "", names, is_valued=value is not None)
    except BadWord as bad:
        raise LineFailed(str(bad)) from None
    _take_left_over(draft, reader.left_over)
    return draft


def _read_command(prog: str, reader: Reader) -> Draft:
    """Reads the first option, which says what is to be done."""
    try:
        item = reader.next()
    except BadWord:
        item = None
    if item is None or item[0] not in COMMANDS:
        raise try_help(prog)
    command, value = item
    if command == "help":
        raise Stop(0, output=usage_text(prog))
    if command == "version":
        raise Stop(0, output=VERSION_TEXT)
    draft = Draft(command)
    if command in LADDR_COMMANDS:
        reader.know(LADDR_OPTIONS)
    if command in _ROLE_ERRORS:
        if value not in _ROLES:
            raise usage_error(_ROLE_ERRORS[command])
        draft.daemon.role = _ROLES[value]
    return draft


def _take(draft: Draft, option: str, value: str, names: Names, *, is_valued: bool) -> None:
    """Notes one option: once per class, then its value."""
    kind = CLASSES.get(option)
    if kind is not None:
        if kind in draft.given:
            raise usage_error(f"multiple '{kind}' options specified")
        draft.given.add(kind)
    if option in _SERVICE_PROTOCOLS:
        _take_service(draft, _SERVICE_PROTOCOLS[option], value, names)
    elif option in _METHODS:
        draft.server.method = _METHODS[option]
    elif option in _TUNNEL_FLAGS:
        draft.server.tun_flags |= _TUNNEL_FLAGS[option]
    elif option == "persistent":
        _take_persistence(draft, value if is_valued else None)
    elif option in _WITH_NAMES:
        _WITH_NAMES[option](draft, value, names)
    elif option in _HANDLERS:
        _HANDLERS[option](draft, value)


def _take_service(draft: Draft, protocol: int, value: str, names: Names) -> None:
    service = draft.service
    service.protocol = protocol
    found = parse_endpoint(value, protocol, names)
    if found is None:
        raise usage_error("illegal virtual server address[:port] specified")
    service.af, service.addr, service.port = found.af, found.addr, found.port or 0
    if found.af == AF_INET6:
        service.netmask = 128


def _take_persistence(draft: Draft, value: str | None) -> None:
    draft.service.flags |= ServiceFlags.PERSISTENT
    draft.service.timeout_s = DEFAULT_PERSISTENCE_S if value is None else _timeout(value, lowest=1)


def _timeout(value: str, *, lowest: int) -> int:
    seconds = number(value, lowest, MAX_TIMEOUT_S)
    if seconds is None:
        raise usage_error(f"invalid timeout value `{value}' specified")
    return seconds


def _take_server(draft: Draft, value: str, names: Names) -> None:
    found = parse_endpoint(value, draft.service.protocol, names)
    if found is None:
        raise usage_error("illegal real server address[:port] specified")
    draft.server.af, draft.server.addr = found.af, found.addr
    draft.server.port = draft.service.port if found.port is None else found.port


def _take_netmask(draft: Draft, value: str, names: Names) -> None:
    if draft.service.af == AF_INET6:
        draft.service.netmask = leading_number(value)
        if not 1 <= draft.service.netmask <= 128:
            raise usage_error("illegal ipv6 netmask specified")
        return
    mask = host_address(value, names)
    if mask is None:
        raise usage_error("illegal virtual server persistent mask specified")
    draft.service.netmask = int.from_bytes(mask, "big")


def _take_laddr(draft: Draft, value: str, names: Names) -> None:
    found = parse_endpoint(value, 0, names)
    if found is None or found.port is not None:
        raise usage_error("illegal local address specified")
    draft.laddr = found.addr


def _take_fwmark(draft: Draft, value: str) -> None:
    mark = number(value, 1, UINT_MAX)
    if mark is None:
        raise usage_error(f"invalid fwmark value `{value}' specified")
    draft.set_fwmark(mark)


def _take_ipv6(draft: Draft, value: str) -> None:
    if not draft.service.fwmark:
        raise usage_error("-6 used before -f\n")
    draft.service.af, draft.service.netmask = AF_INET6, 128


def _take_ops(draft: Draft, value: str) -> None:
    draft.service.flags |= ServiceFlags.ONEPACKET


def _take_scheduler(draft: Draft, value: str) -> None:
    draft.service.scheduler = _name(value)


def _take_pe(draft: Draft, value: str) -> None:
    draft.service.pe_name = _name(value)


def _take_sched_flags(draft: Draft, value: str) -> None:
    draft.service.sched_flags = value


def _take_tunnel_type(draft: Draft, value: str) -> None:
    if value not in _TUNNEL_TYPES:
        raise usage_error("illegal tunnel type specified")
    draft.server.tun_type = _TUNNEL_TYPES[value]


def _take_interface(draft: Draft, value: str) -> None:
    draft.daemon.interface = _name(value)


def _take_group(draft: Draft, value: str) -> None:
    group = parse_group(value)
    if group is None:
        version = "IPv6" if ":" in value else "IPv4"
        raise usage_error(f"invalid {version} mcast-group `{value}'")
    draft.daemon.group = group


def _name(value: str) -> str:
    """Cuts a name to what the kernel's field holds, without a word about it."""
    return os.fsencode(value)[:NAME_LENGTH].decode("utf-8", "replace")


def _within(value: str, low: int, high: int, what: str) -> int:
    found = number(value, low, high)
    if found is None:
        raise usage_error(f"illegal {what} specified")
    return found


def _take_weight(draft: Draft, value: str) -> None:
    draft.server.weight = _within(value, 0, INT_MAX, "weight")


def _take_u_threshold(draft: Draft, value: str) -> None:
    draft.server.u_threshold = _within(value, 0, INT_MAX, "u_threshold")


def _take_l_threshold(draft: Draft, value: str) -> None:
    draft.server.l_threshold = _within(value, 0, INT_MAX, "l_threshold")


def _take_tunnel_port(draft: Draft, value: str) -> None:
    draft.server.tun_port = _within(value, 1, 65535, "tunnel port")


def _take_syncid(draft: Draft, value: str) -> None:
    draft.daemon.sync_id = _within(value, 0, 255, "syncid")


def _take_sync_maxlen(draft: Draft, value: str) -> None:
    draft.daemon.maxlen = _within(value, 1, 65507, "sync-maxlen")


def _take_mcast_port(draft: Draft, value: str) -> None:
    draft.daemon.port = _within(value, 1, 65535, "mcast-port")


def _take_mcast_ttl(draft: Draft, value: str) -> None:
    draft.daemon.ttl = _within(value, 1, 255, "mcast-ttl")


_WITH_NAMES: Mapping[str, Callable[[Draft, str, Names], None]] = {
    "real-server": _take_server,
    "netmask": _take_netmask,
    "laddr": _take_laddr,
}
_HANDLERS: Mapping[str, Callable[[Draft, str], None]] = {
    "fwmark-service": _take_fwmark,
    "ipv6": _take_ipv6,
    "ops": _take_ops,
    "scheduler": _take_scheduler,
    "pe": _take_pe,
    "sched-flags": _take_sched_flags,
    "weight": _take_weight,
    "u-threshold": _take_u_threshold,
    "l-threshold": _take_l_threshold,
    "tun-type": _take_tunnel_type,
    "tun-port": _take_tunnel_port,
    "mcast-interface": _take_interface,
    "mcast-group": _take_group,
    "mcast-port": _take_mcast_port,
    "mcast-ttl": _take_mcast_ttl,
    "syncid": _take_syncid,
    "sync-maxlen": _take_sync_maxlen,
}


def _take_left_over(draft: Draft, words: list[str]) -> None:
    """Gives --set its three values; any other word is one too many."""
    if draft.command == "set":
        if len(words) < 3:
            raise usage_error("--set option requires 3 timeout values")
        draft.timeouts = Timeouts(*(_timeout(word, lowest=0) for word in words[:3]))
        words = words[3:]
    if words:
        raise usage_error(f"unexpected argument {words[0]}")
