"""Addresses, ports and names: text to value and back, as ipvsadm reads and shows them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Protocol

from lbfast.cli.numbers import number
from lbfast.model import AF_INET, AF_INET6

_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}
_SHOWN = 59  # ipvsadm's buffer holds no more of address and port


class Names(Protocol):
    """Where names come from; None means that there is none."""

    def host_address(self, name: str) -> bytes | None: ...
    def service_port(self, name: str, protocol: int) -> int | None: ...
    def address_name(self, af: int, addr: bytes) -> str | None: ...
    def port_name(self, port: int, protocol: int) -> str | None: ...


class SystemNames:
    """The machine's own names: /etc/hosts, DNS, /etc/services, as nsswitch.conf orders them."""

    def host_address(self, name: str) -> bytes | None:
        if not name or "<" in name:  # Python gives both a meaning of its own
            return None
        try:
            found = socket.gethostbyname(os.fsencode(name))  # type: ignore[arg-type]
        except (OSError, ValueError):
            return None
        return socket.inet_aton(found)

    def service_port(self, name: str, protocol: int) -> int | None:
        if protocol not in _PROTOCOLS:
            return None
        try:
            return socket.getservbyname(name, _PROTOCOLS[protocol])
        except (OSError, ValueError):
            return None

    def address_name(self, af: int, addr: bytes) -> str | None:
        try:
            return socket.gethostbyaddr(socket.inet_ntop(af, addr))[0]
        except (OSError, ValueError):
            return None

    def port_name(self, port: int, protocol: int) -> str | None:
        if protocol not in _PROTOCOLS:
            return None
        try:
            return socket.getservbyport(port, _PROTOCOLS[protocol])
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with the port that came with it, if one did."""

    af: int
    addr: bytes
    port: int | None


def parse_endpoint(text: str, protocol: int, names: Names) -> Endpoint | None:
    """Returns what `address[:port]` says, None if it says nothing (spec 10.3)."""
    if all("0" <= c <= "9" for c in text):
        return None
    port_text: str | None = None
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            return None
        port_text = rest[1:]
    addr = _inet6(text)
    if addr is not None:
        af = AF_INET6
    else:
        # brackets around anything but IPv6 lose the port behind them
        text, colon, rest = _split_last_colon(text)
        port_text = rest if colon else None
        addr, af = host_address(text, names), AF_INET
    if addr is None:
        return None
    if port_text is None:
        return Endpoint(af, addr, None)
    port = number(port_text, 0, 65535)
    if port is None:
        port = names.service_port(port_text, protocol)
    return None if port is None else Endpoint(af, addr, port)


def _split_last_colon(text: str) -> tuple[str, str, str]:
    before, colon, after = text.rpartition(":")
    return (before, colon, after) if colon else (text, "", "")


def _inet6(text: str) -> bytes | None:
    try:
        return socket.inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None


def host_address(text: str, names: Names) -> bytes | None:
    """Returns the IPv4 address that `text` is or names; takes inet_aton's forms."""
    try:
        return socket.inet_aton(text)
    except (OSError, ValueError):
        return names.host_address(text)


def parse_group(text: str) -> bytes | None:
    """Returns the multicast address `text`, IPv6 when there is a colon in it."""
    af = AF_INET6 if ":" in text else AF_INET
    try:
        addr = socket.inet_pton(af, text)
    except (OSError, ValueError):
        return None
    is_multicast = addr[0] == 0xFF if af == AF_INET6 else addr[0] >> 4 == 0xE
    return addr if is_multicast else None


def show_endpoint(af: int, addr: bytes, port: int, protocol: int, names: Names | None) -> str:
    """Returns `address:port`, `[address]:port` for IPv6; names replace numbers unless None."""
    host = service = None
    if names is not None:
        host = names.address_name(af, addr)
        service = names.port_name(port, protocol) if port else None
    host = socket.inet_ntop(af, addr) if host is None else host
    if af == AF_INET6:
        host = f"[{host}]"
    return f"{host}:{port if service is None else service}"[:_SHOWN]
