"""virtual_server, real_server and virtual_server_group (spec 2.9-2.11)."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from lbfast.config.blocks import (
    Append,
    Block,
    Call,
    Draft,
    Flag,
    Ignored,
    Loader,
    Row,
    Table,
    Value,
)
from lbfast.config.findings import Place
from lbfast.config.foreign import own
from lbfast.config.keywords.checkers import CHECKERS, timing
from lbfast.config.keywords.scripts import script
from lbfast.config.values import (
    INT_MAX,
    UINT_MAX,
    Bad,
    Missing,
    Statement,
    integer,
    lone,
    optional_boolean,
    packed,
    port,
    string,
    whole,
)
from lbfast.model import AF_INET, AF_INET6, Method, ServiceFlags, TunnelFlags, TunnelType

SCHEDULERS = (
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos",
)  # fmt: skip
HASHING = ("sh", "mh")
_SNMP = "there is no SNMP agent"
_PROTOCOLS = {"TCP": socket.IPPROTO_TCP, "UDP": socket.IPPROTO_UDP, "SCTP": socket.IPPROTO_SCTP}
_TUNNELS = {"ipip": TunnelType.IPIP, "gue": TunnelType.GUE, "gre": TunnelType.GRE}
_TUNNEL_FLAGS = {
    "nocsum": TunnelFlags.NOCSUM,
    "csum": TunnelFlags.CSUM,
    "remcsum": TunnelFlags.REMCSUM,
}
DEFAULT_PERSISTENCE_S = 360
_SHORT_RANGE = re.compile(r"(.*[.:])?([0-9a-fA-F]+)-([0-9a-fA-F]+)")
_MAX_ADDRESSES = 1 << 16


@dataclass(frozen=True, slots=True)
class MethodWords:
    """How packets reach a real server."""

    method: Method
    tun_type: TunnelType = TunnelType.IPIP
    tun_port: int = 0
    tun_flags: TunnelFlags = TunnelFlags.NOCSUM


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One address (with its port, 0 for none) or mark of a group."""

    place: Place
    addr: bytes = b""
    port: int = 0
    fwmark: int = 0
    af: int = 0  # of a mark, 0: as the real servers


def method(given: Statement) -> MethodWords:
    """Reads `NAT | DR | FNAT | TUN [type ipip | gue port N | gre [nocsum | csum | remcsum]]`."""
    known = {"NAT": Method.MASQ, "DR": Method.DROUTE, "TUN": Method.TUNNEL, "FNAT": Method.FULLNAT}
    word = given.word()
    if word not in known:
        raise Bad(f"{word!r}", f"expected {', '.join(known)}")
    if len(given.words) < 3:
        return MethodWords(known[word])
    if word != "TUN":
        plain = MethodWords(known[word])
        raise Bad(f"{given.words[2]!r} behind {word}", "expected nothing", plain)
    return _tunnel(list(given.words[2:]))


def _tunnel(words: list[str]) -> MethodWords:
    if words[0] != "type" or len(words) < 2 or words[1] not in _TUNNELS:
        raise Bad(f"{' '.join(words)!r}", f"expected type and one of {', '.join(_TUNNELS)}")
    kind, number, flags = _TUNNELS[words[1]], 0, TunnelFlags.NOCSUM
    rest = iter(words[2:])
    for word in rest:
        if word == "port" and kind is TunnelType.GUE:
            number = port(next(rest, ""))
        elif word in _TUNNEL_FLAGS and kind is not TunnelType.IPIP:
            flags = _TUNNEL_FLAGS[word]
        else:
            raise Bad(f"{word!r}", "expected what that type of tunnel takes")
    if kind is TunnelType.GUE and not number:
        raise Bad("gue without a port", "expected port N")
    return MethodWords(Method.TUNNEL, kind, number, flags)


def _scheduler(given: Statement) -> str:
    word = given.word()
    if word not in SCHEDULERS:
        raise Bad(f"{word!r} unknown", f"using wlc; known: {', '.join(SCHEDULERS)}")
    return word


def _protocol(given: Statement) -> int:
    word = given.word().upper()
    if word not in _PROTOCOLS:
        raise Bad(f"{given.word()!r}", f"expected {', '.join(_PROTOCOLS)}")
    return _PROTOCOLS[word]


def _persistence(given: Statement) -> int:
    if len(given.words) < 2:
        return DEFAULT_PERSISTENCE_S
    return whole(given.words[1], 1, 2678400, "seconds")


def _granularity(given: Statement) -> tuple[int, int]:
    """Returns the family that the text is of, and the mask or prefix length."""
    word = given.word()
    if word.isascii() and word.isdigit() and 1 <= int(word) <= 128:
        return AF_INET6, int(word)
    try:
        return AF_INET, int.from_bytes(socket.inet_aton(word), "big")
    except OSError:
        raise Bad(f"{word!r}", "expected a netmask, or for IPv6 a length from 1 to 128") from None


def endpoint(words: tuple[str, ...]) -> tuple[bytes, int]:
    """Reads `IP [PORT]`; port 0 where there is none."""
    if not words:
        raise Missing(2)
    number = whole(words[1], 0, 65535, "a port") if len(words) > 1 else 0
    return lone(words[0]), number


def _family(given: Statement) -> int:
    known = {"inet": AF_INET, "inet6": AF_INET6}
    if given.word() not in known:
        raise Bad(f"{given.word()!r}", "expected inet or inet6")
    return known[given.word()]


def _known_family(draft: Draft) -> int:
    """Returns the family that a virtual_server has so far, 0 where nothing has said it yet.

    Servers that are reached by a tunnel may be of another, so they say nothing.
    """
    if "endpoint" in draft:
        return AF_INET if len(draft.get("endpoint")[0]) == 4 else AF_INET6
    if "ip_family" in draft:
        return int(draft.get("ip_family"))
    return first_family(draft)


def first_family(draft: Draft) -> int:
    """Returns the family of the first real server that is not behind a tunnel, 0 without one."""
    default = draft.get("method", MethodWords(Method.MASQ))
    for server in draft.get("servers", []):
        if server.get("method", default).method is not Method.TUNNEL:
            return AF_INET if len(server.get("endpoint")[0]) == 4 else AF_INET6
    return 0


def _ip_family(loader: Loader, draft: Draft, given: Statement) -> None:
    """Takes the family of a mark or group, unless another is known already."""
    wanted, known = _family(given), _known_family(draft)
    if known not in (0, wanted):
        name = "inet" if known == AF_INET else "inet6"
        raise Bad(f"{given.word()}, but the service is {name} already", "ignored")
    draft.put("ip_family", wanted, given.place)


def _scheduler_flag(flag: ServiceFlags) -> Call:
    """A flag of sh and mh, whose bits are the same; the scheduler is judged when all is read."""

    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        draft.add("scheduler_flags", (flag, given.keyword, given.place), given.place)
        if draft.get("scheduler") not in HASHING:
            loader.findings.error(
                given.place, f"{given.keyword} without lb_algo sh or mh before it",
                "keepalived wants that first",
            )  # fmt: skip

    return Call(read)


def _needs_sorry(row: Row) -> Call:
    """A word about the sorry server, which has to be there already."""

    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        if "sorry_server" not in draft:
            raise Bad("no sorry_server yet", "expected it before; ignored")
        row.apply(loader, draft, given)

    return Call(read)


def _plain_flag(flag: ServiceFlags) -> Call:
    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        draft.put("flags", draft.get("flags", ServiceFlags.NONE) | flag, given.place)

    return Call(read)


def _hashed(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.note_once(given, "every service is found by hashing")
    if draft.get("scheduler") != "sh":
        raise Bad("no lb_algo sh", "it has no effect")


def _words_of_snmp(given: Statement) -> str:
    if len(given.words) != 2:
        raise Bad(f"{len(given.words) - 1} words", "expected one")
    return given.words[1]


def _local_address(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads `local_address IP` or a range, for FULLNAT."""
    for addr in addresses_of(given.word()):
        draft.add("local_addresses", addr, given.place)


# ---- heads


def virtual_server_head(loader: Loader, draft: Draft, given: Statement) -> None:
    first = given.word()
    if first == "group":
        draft.put("group", given.word(2), given.place)
    elif first == "fwmark":
        draft.put("fwmark", whole(given.word(2), 1, UINT_MAX, "a mark"), given.place)
    else:
        addr, number = endpoint(given.words[1:3])
        draft.put("endpoint", (addr, number), given.place)


def _real_server_head(loader: Loader, draft: Draft, given: Statement) -> None:
    draft.put("endpoint", endpoint(given.words[1:3]), given.place)


# ---- groups


def group_head(loader: Loader, draft: Draft, given: Statement) -> None:
    draft.put("name", given.word(), given.place)


def group_line(line: Statement) -> list[GroupEntry]:
    """Returns the addresses or the mark of a line, in order."""
    words = line.words
    if words[0] == "fwmark":
        mark = whole(words[1] if len(words) > 1 else "", 1, UINT_MAX, "a mark")
        families = {"inet": AF_INET, "inet6": AF_INET6}
        if len(words) > 2 and words[2] not in families:
            raise Bad(f"{words[2]!r}", "expected inet or inet6")
        return [GroupEntry(line.place, fwmark=mark, af=families[words[2]] if words[2:] else 0)]
    number = port(words[1]) if len(words) > 1 else 0
    return [GroupEntry(line.place, addr, number) for addr in addresses_of(words[0])]


def addresses_of(word: str) -> list[bytes]:
    if "/" in word:
        try:
            network = ipaddress.ip_network(word)
        except ValueError:
            raise Bad(f"{word!r}", "expected a prefix without host bits") from None
        return _between(network.network_address, network.broadcast_address, word)
    if "-" not in word:
        return [packed(word)]
    first_text, _, last_text = word.partition("-")
    first = ipaddress.ip_address(packed(first_text))
    if "." not in last_text and ":" not in last_text:
        head = re.sub(r"[0-9a-fA-F]*$", "", first_text)
        last_text = head + last_text
    return _between(first, ipaddress.ip_address(packed(last_text)), word)


def _between(
    first: ipaddress.IPv4Address | ipaddress.IPv6Address,
    last: ipaddress.IPv4Address | ipaddress.IPv6Address,
    word: str,
) -> list[bytes]:
    if first.version != last.version or int(last) < int(first):
        raise Bad(f"{word!r}", "expected the lower address first")
    if int(last) - int(first) >= _MAX_ADDRESSES:
        raise Bad(f"{word!r}", f"expected at most {_MAX_ADDRESSES} addresses")
    size = 4 if first.version == 4 else 16
    return [n.to_bytes(size, "big") for n in range(int(first), int(last) + 1)]


# ---- tables

_METHOD = own(Value("method", method), "FNAT")
_INHERITED: Table = {
    **timing(1),
    "virtualhost": Value("virtualhost", string, is_fatal=False),
    "smtp_alert": Value("smtp_alert", optional_boolean),
    "weight": Value("weight", integer(0, INT_MAX)),
}

REAL_SERVER: Table = {
    **_INHERITED,
    "inhibit_on_failure": Value("inhibit_on_failure", optional_boolean),
    "notify_up": Value("notify_up", script, is_once=True),
    "notify_down": Value("notify_down", script, is_once=True),
    "lvs_method": _METHOD,
    "uthreshold": Value("u_threshold", integer()),
    "lthreshold": Value("l_threshold", integer()),
    "alpha": Value("alpha", optional_boolean),
    "snmp_name": Ignored(_SNMP, _words_of_snmp),
}


def _checker(kind: str, table: Table) -> Call:
    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        inner = Draft(given.place, {"kind": kind})
        loader.open_block(given)
        loader.load(table, inner)
        draft.add("checkers", inner, given.place)

    return Call(read)


REAL_SERVER = {**REAL_SERVER, **{kind: _checker(kind, rows) for kind, rows in CHECKERS.items()}}

_ALGORITHM = Value("scheduler", _scheduler)
_SH_FALLBACK, _SH_PORT = ServiceFlags.SCHED1, ServiceFlags.SCHED2

VIRTUAL_SERVER: Table = {
    **_INHERITED,
    "lb_algo": _ALGORITHM,
    "lvs_sched": _ALGORITHM,
    "lb_kind": _METHOD,
    "lvs_method": _METHOD,
    "protocol": Value("protocol", _protocol),
    "persistence_timeout": Value("persistence_s", _persistence),
    "persistence_granularity": Value("granularity", _granularity),
    "persistence_engine": Value("pe_name", string),
    "real_server": Block("servers", lambda: REAL_SERVER, _real_server_head),
    "sorry_server": Value("sorry_server", lambda given: endpoint(given.words[1:3])),
    "sorry_server_inhibit": _needs_sorry(Flag("sorry_inhibit")),
    "sorry_server_lvs_method": _needs_sorry(own(Value("sorry_method", method), "FNAT")),
    "alpha": Flag("alpha"),
    "omega": Flag("omega"),
    "quorum": Value("quorum", integer(1)),
    "hysteresis": Value("hysteresis", integer()),
    "quorum_up": Value("quorum_up", script, is_once=True),
    "quorum_down": Value("quorum_down", script, is_once=True),
    "ha_suspend": Flag("ha_suspend"),
    "inhibit_on_failure": Flag("inhibit_on_failure"),
    "ops": Flag("ops"),
    "sh-port": _scheduler_flag(_SH_PORT),
    "sh-fallback": _scheduler_flag(_SH_FALLBACK),
    "mh-port": _scheduler_flag(_SH_PORT),
    "mh-fallback": _scheduler_flag(_SH_FALLBACK),
    "flag-1": _plain_flag(ServiceFlags.SCHED1),
    "flag-2": _plain_flag(ServiceFlags.SCHED2),
    "flag-3": _plain_flag(ServiceFlags.SCHED3),
    "ip_family": Call(_ip_family),
    "snmp_name": Ignored(_SNMP, _words_of_snmp),
    "hashed": Call(_hashed),
    "local_address": own(Call(_local_address)),
    "laddr_group_name": own(Append("local_groups", string)),
}
