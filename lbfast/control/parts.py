"""What each service and each real server puts into the sets of a steering plan.

`steering.plan` makes a whole plan of these parts, `ledger.py` counts them edit by edit.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbfast.model import Method, ServerKey, ServiceKey

Slot = tuple[int, str]  # address family, and the name of a set of its FamilyPlan
Element = bytes | int | tuple[int, bytes] | tuple[int, bytes, int]
Part = tuple[Slot, Element]

_TCP, _UDP, _SCTP = 6, 17, 132
_BALANCED = (_TCP, _UDP, _SCTP)
_FTP = 21
# Empty without local addresses.
_FULL = frozenset(("full", "any_full", "full_addrs"))
# Where replies come from, by the method of the server: with its port, from any port, fragments.
_REPLYING = {
    Method.MASQ: ("sources", "any_source", "source_addrs"),
    Method.FULLNAT: ("full", "any_full", "full_addrs"),
}


def is_wanted(name: str, *, active: bool, has_local: bool) -> bool:
    """Tells whether a set has its elements, or is empty whatever services and servers there are.

    `active`: the family has a service; `has_local`: it has local addresses.
    """
    return name == "standby" or (active and (has_local or name not in _FULL))


def is_replying(method: Method) -> bool:
    """Tells whether replies of servers with this method pass the director."""
    return method in _REPLYING


def service_parts(key: ServiceKey) -> Iterator[Part]:
    """Yields what a service puts into the sets of a plan."""
    yield from request_parts(key)
    if _is_ftp(key):
        yield (key.af, "ftp"), key.addr


def request_parts(key: ServiceKey) -> Iterator[Part]:
    """Yields the same without data connections: what a service that is gone leaves there while
    one of its servers lingers."""
    if key.fwmark:
        yield (key.af, "fwmarks"), key.fwmark
        return
    yield (key.af, "vips"), key.addr
    if key.port:
        yield (key.af, "services"), (key.protocol, key.addr, key.port)
    else:
        yield (key.af, "any_port"), (key.protocol, key.addr)


def reply_parts(key: ServiceKey, server: ServerKey, method: Method) -> Iterator[Part]:
    """Yields what a server of a service puts there, if its replies pass the director.

    Only an address service with a port, and a server with one, fix the port (spec/ipvs.md 1.4),
    but not for FTP: data connections have ports of their own.
    """
    if method not in _REPLYING:
        return
    one, any_port, addrs = _REPLYING[method]
    port = 0 if key.fwmark or not key.port or _is_ftp(key) else server.port
    for protocol in _BALANCED if key.fwmark else (key.protocol,):
        if port:
            yield (server.af, one), (protocol, server.addr, port)
        else:
            yield (server.af, any_port), (protocol, server.addr)
    yield (server.af, addrs), server.addr


def _is_ftp(key: ServiceKey) -> bool:
    return not key.fwmark and key.protocol == _TCP and key.port == _FTP
