"""Services and servers, written shortly, and how they are listed."""

from __future__ import annotations

import socket

from lbfast.cli.format import Style, service_block
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServerState,
    ServiceKey,
    ServiceState,
    VirtualService,
)

TCP = socket.IPPROTO_TCP


def address(text: str) -> bytes:
    return socket.inet_pton(family(text), text)


def family(text: str) -> int:
    return AF_INET6 if ":" in text else AF_INET


def vip(text: str, port: int = 80, protocol: int = TCP) -> ServiceKey:
    return ServiceKey(family(text), protocol, address(text), port)


def server(text: str, port: int = 80, method: Method = Method.MASQ, **rest: object) -> RealServer:
    return RealServer(ServerKey(family(text), address(text), port), method, **rest)  # type: ignore[arg-type]


def block(service: VirtualService, *servers: ServerState, style: Style | None = None) -> str:
    return "".join(service_block(ServiceState(service, servers), style or Style()))
