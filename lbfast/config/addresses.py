"""Lines of virtual_ipaddress, virtual_ipaddress_excluded and static_ipaddress (spec 2.7)."""

from __future__ import annotations

from collections.abc import Mapping

from lbfast.config.networds import (
    SCOPES,
    Cursor,
    Fields,
    Step,
    apply_words,
    family_of,
    host_bits,
    named_number,
    number,
    prefix,
    put,
    take,
)
from lbfast.config.values import Bad, Missing, Statement, packed
from lbfast.model import AF_INET
from lbfast.model.netlines import FOREVER, Address


def _broadcast(fields: Fields, words: Cursor) -> None:
    word = words.take()
    fields["broadcast"] = word if word in ("+", "-") else packed(word)


def _lifetime(word: str) -> int:
    return FOREVER if word == "forever" else number()(word)


def _peer(fields: Fields, words: Cursor) -> None:
    peer = prefix(words.take())
    if family_of(peer.addr) != family_of(fields["addr"]):
        raise Bad("peer of another family", "expected an address of the same")
    fields["peer"] = peer


_MAX_WITH_BROADCAST = 30
_STEPS: Mapping[str, Step] = {
    "brd": _broadcast,
    "broadcast": _broadcast,
    "dev": take("device", str),
    "use_vmac": put("use_vmac", True),
    "scope": take("scope", named_number(SCOPES, 255)),
    "label": take("label", str),
    "peer": _peer,
    "home": put("home", True),
    "-nodad": put("nodad", False),
    "mngtmpaddr": put("mngtmpaddr", True),
    "noprefixroute": put("noprefixroute", True),
    "autojoin": put("autojoin", True),
    "no_track": put("track", False),
    "preferred_lft": take("preferred_lft_s", _lifetime),
    "track_group": take("track_group", str),
}


def address_line(line: Statement) -> Address:
    """Returns the address that a line describes; Bad if it does not."""
    words = Cursor(line)
    own = prefix(words.take())
    if not own.addr:
        raise Bad(f"{line.keyword!r}", "expected an IPv4 or IPv6 address")
    fields: Fields = {"addr": own.addr, "prefixlen": own.length}
    try:
        apply_words(_STEPS, fields, words, "an address line")
    except Missing:
        raise Bad(f"nothing behind {line.words[-1]}", "expected its value") from None
    broadcast = fields.get("broadcast")
    if broadcast is not None:
        fields["broadcast"] = _worked_out(broadcast, own.addr, own.length)
    return Address(**fields)


def _worked_out(broadcast: bytes | str, addr: bytes, length: int) -> bytes:
    """Returns the broadcast address; IPv6 has none."""
    if family_of(addr) != AF_INET:
        return b""
    if length > _MAX_WITH_BROADCAST:
        raise Bad(f"broadcast of a /{length}", f"expected at most /{_MAX_WITH_BROADCAST}")
    if isinstance(broadcast, bytes):
        return broadcast
    return host_bits(addr, length, broadcast == "+")
