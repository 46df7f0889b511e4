"""Which received packets an instance believes, and why not the others (spec 4.7)."""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from lbfast.errors import WireError
from lbfast.model import AF_INET6
from lbfast.model.vrrp import AuthType, Peer, VrrpInstance
from lbfast.vrrp.packet import (
    ADVERTISEMENT,
    AUTH_LEN,
    HEADER_LEN,
    IPPROTO_AH,
    IPPROTO_VRRP,
    TTL,
    Advert,
    Received,
    ah_icv,
    ah_sequence,
    checksum_holds,
    decode,
    length_of,
)


class Reject(enum.StrEnum):
    """Reasons to drop a packet; each is counted under its name."""

    PROTOCOL = "protocol"
    LENGTH = "length"
    TTL = "ttl"
    VERSION = "version"
    VRID = "vrid"
    TYPE = "type"
    AUTH_TYPE = "auth-type"
    AUTH_MISMATCH = "auth-mismatch"
    AUTH_FAILURE = "auth-failure"
    SEQUENCE = "sequence"
    INTERVAL = "interval"
    CHECKSUM = "checksum"
    CAST = "cast"
    SOURCE = "source"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Context:
    """What the receiving instance adds to the packet."""

    instance: VrrpInstance
    own_source: bytes = b""
    ah_sequence: int = 0  # the highest one seen or sent


class _Drop(Exception):
    def __init__(self, reason: Reject) -> None:
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Case:
    packet: Received
    context: Context
    advert: Advert


def judge(packet: Received, context: Context) -> Advert | Reject:
    """Return the advert, or the first reason of the table that speaks against it."""
    try:
        _envelope(packet, context)
        try:
            advert = decode(packet.message, packet.family)
        except WireError:
            return Reject.LENGTH
        case = _Case(packet, context, advert)
        for check in _CHECKS:
            check(case)
    except _Drop as drop:
        return drop.reason
    return advert


def _need(holds: bool, reason: Reject) -> None:
    if not holds:
        raise _Drop(reason)


def _envelope(packet: Received, context: Context) -> None:
    instance = context.instance
    _need(not context.own_source or packet.src != context.own_source, Reject.OWN)
    wanted = IPPROTO_AH if instance.auth_type == AuthType.AH else IPPROTO_VRRP
    _need(packet.protocol == wanted, Reject.PROTOCOL)
    message = packet.message
    long_enough = len(message) >= HEADER_LEN and len(message) == length_of(message, packet.family)
    _need(long_enough, Reject.LENGTH)


def _ttl(case: _Case) -> None:
    ttl, instance = case.packet.ttl, case.context.instance
    if ttl < 0:
        return
    if not instance.unicast:
        _need(ttl == TTL, Reject.TTL)
    elif peer := _peer(instance, case.packet.src):
        _need(peer.min_ttl is None or ttl >= peer.min_ttl, Reject.TTL)
        _need(peer.max_ttl is None or ttl <= peer.max_ttl, Reject.TTL)


def _peer(instance: VrrpInstance, addr: bytes) -> Peer | None:
    return next((peer for peer in instance.peers if peer.addr == addr), None)


def _version(case: _Case) -> None:
    _need(case.advert.version == case.context.instance.version, Reject.VERSION)


def _vrid(case: _Case) -> None:
    _need(case.advert.vrid == case.context.instance.vrid, Reject.VRID)


def _type(case: _Case) -> None:
    _need(case.advert.kind == ADVERTISEMENT, Reject.TYPE)


def _authentication(case: _Case) -> None:
    advert, instance, packet = case.advert, case.context.instance, case.packet
    if advert.version != 2:
        return
    _need(advert.auth_type in tuple(AuthType), Reject.AUTH_TYPE)
    _need(advert.auth_type == instance.auth_type, Reject.AUTH_MISMATCH)
    key = instance.auth_pass[:AUTH_LEN].ljust(AUTH_LEN, b"\0")
    if instance.auth_type == AuthType.PASS:
        _need(hmac.compare_digest(advert.auth_data, key), Reject.AUTH_FAILURE)
    elif instance.auth_type == AuthType.AH:
        icv = ah_icv(packet.header, packet.ah, packet.message, key, unicast=instance.unicast)
        _need(hmac.compare_digest(icv, packet.ah[12:]), Reject.AUTH_FAILURE)
        # One counter for both directions: who becomes master goes on where the old one was.
        _need(ah_sequence(packet.ah) >= case.context.ah_sequence, Reject.SEQUENCE)


def _interval(case: _Case) -> None:
    advert, instance = case.advert, case.context.instance
    _need(advert.version == 3 or advert.interval_us == sent_interval_us(instance), Reject.INTERVAL)


def sent_interval_us(instance: VrrpInstance) -> int:
    """Return the interval as an instance's own adverts can carry it."""
    if instance.version == 2:
        return max(1, round(instance.advert_us / 1_000_000)) * 1_000_000
    return min(max(1, instance.advert_us // 10_000), 0xFFF) * 10_000


def _checksum(case: _Case) -> None:
    packet, instance = case.packet, case.context.instance
    with_pseudo = case.advert.version == 3 and not instance.v3_checksum_as_v2
    if with_pseudo or packet.family == AF_INET6:
        _need(checksum_holds(packet.message, packet.src, packet.dst), Reject.CHECKSUM)
    else:
        _need(checksum_holds(packet.message), Reject.CHECKSUM)


def _cast(case: _Case) -> None:
    _need(case.packet.to_group != case.context.instance.unicast, Reject.CAST)


def _source(case: _Case) -> None:
    instance = case.context.instance
    strict = instance.check_unicast_src or any(
        peer.min_ttl is not None or peer.max_ttl is not None for peer in instance.peers
    )
    if instance.unicast and strict:
        _need(_peer(instance, case.packet.src) is not None, Reject.SOURCE)


_CHECKS: tuple[Callable[[_Case], None], ...] = (
    _ttl,
    _version,
    _vrid,
    _type,
    _authentication,
    _interval,
    _checksum,
    _cast,
    _source,
)


def list_differs(advert: Advert, instance: VrrpInstance) -> bool:
    """Say whether an advert names other addresses than ours; their order does not matter."""
    ours = tuple(address.addr for address in instance.addresses)
    return advert.addresses != ours and sorted(advert.addresses) != sorted(ours)
