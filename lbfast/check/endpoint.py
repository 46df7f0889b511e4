"""Sockets that come from and go to where a check says."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import NamedTuple

from lbfast.model.check import Endpoint

# refusals to connect that are a verdict on the server, as with keepalived 2.2.7
UNREACHED = frozenset((errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH))
_NONBLOCKING = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Target(NamedTuple):
    """An endpoint as the socket calls want it; made once for all attempts of a check."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]
    text: str  # as logs show it: [10.7.0.11]:80


def target_of(endpoint: Endpoint) -> Target:
    """Returns where an endpoint, with its address and port filled in, leads to."""
    text = str(ipaddress.ip_address(endpoint.connect_ip))
    shown = f"[{text}]:{endpoint.connect_port}"
    if len(endpoint.connect_ip) == 4:
        return Target(int(socket.AF_INET), (text, endpoint.connect_port), shown)
    return Target(int(socket.AF_INET6), (text, endpoint.connect_port, 0, 0), shown)


class NoSocketError(OSError):
    """The kernel has no socket to give: want of memory or descriptors, or of the family."""


def open_socket(endpoint: Endpoint, target: Target, kind: int, protocol: int = 0) -> socket.socket:
    """Returns a non-blocking socket, bound as the endpoint says.

    NoSocketError where there is none, another OSError where it cannot be bound so.
    """
    try:
        sock = socket.socket(target.family, kind | _NONBLOCKING, protocol)
    except OSError as refused:
        raise NoSocketError(refused.errno, refused.strerror) from None
    try:
        if endpoint.fwmark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, endpoint.fwmark)
        if endpoint.bind_if:
            device = endpoint.bind_if.encode() + b"\0"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        if endpoint.bindto or endpoint.bind_port:
            _bind(sock, endpoint, target)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, endpoint: Endpoint, target: Target) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    is_v6 = target.family == socket.AF_INET6
    anywhere = "::" if is_v6 else "0.0.0.0"
    own = str(ipaddress.ip_address(endpoint.bindto)) if endpoint.bindto else anywhere
    if is_v6:
        sock.bind((own, endpoint.bind_port, 0, _scope(endpoint, own)))
    else:
        sock.bind((own, endpoint.bind_port))


def destination(endpoint: Endpoint, target: Target) -> tuple[str, int] | tuple[str, int, int, int]:
    """Returns the address to connect to; a link-local one belongs to the interface of bind_if.

    OSError if there is no such interface now.
    """
    scope = _scope(endpoint, target.address[0])
    return (*target.address[:2], 0, scope) if scope else target.address


def _scope(endpoint: Endpoint, address: str) -> int:
    if endpoint.bind_if and address.lower().startswith("fe80"):
        return socket.if_nametoindex(endpoint.bind_if)
    return 0
