"""A table as the words that make it again: what `ipvsadm -S` prints (spec/ipvs.md 10.8)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

from lbfast.cli.addresses import Names, show_endpoint
from lbfast.cli.format import Style, address_text, in_order, is_default_netmask, netmask_text
from lbfast.cli.order import difference
from lbfast.cli.schedflags import show_sched_flags
from lbfast.model import (
    AF_INET6,
    Method,
    RealServer,
    ServiceFlags,
    ServiceState,
    TunnelFlags,
    TunnelType,
    VirtualService,
)

_OPTIONS: Mapping[int, str] = {
    socket.IPPROTO_TCP: "-t",
    socket.IPPROTO_UDP: "-u",
    socket.IPPROTO_SCTP: "--sctp-service",
}
_METHOD_OPTIONS: Mapping[Method, str] = {
    Method.MASQ: "-m",
    Method.TUNNEL: "-i",
    Method.FULLNAT: "--fullnat",
}

_CHECKSUM_OPTIONS: Mapping[int, str] = {
    TunnelFlags.NOCSUM: "--tun-nocsum",
    TunnelFlags.CSUM: "--tun-csum",
    TunnelFlags.REMCSUM: "--tun-remcsum",
}


def service_rules(state: ServiceState, style: Style) -> Iterator[str]:
    """Yields the words that make a service, its local addresses and its servers again."""
    service = state.service
    selector = service_selector(service, style.names)
    yield f"-A {selector} -s {service.scheduler}{_service_options(service)}\n"
    for addr in state.laddrs:
        yield f"--add-laddr {selector} -z {address_text(addr)}\n"
    for server in in_order(state.servers, style):
        name = show_endpoint(
            server.server.key.af,
            server.server.key.addr,
            server.server.key.port,
            service.key.protocol,
            style.names,
        )
        yield f"-a {selector} -r {name} {_server_options(server.server)}\n"


def service_selector(service: VirtualService, names: Names | None) -> str:
    """Returns the words that name a service."""
    key = service.key
    if key.fwmark:
        return f"-f {difference(key.fwmark, 0)}{' -6' if key.af == AF_INET6 else ''}"
    endpoint = show_endpoint(key.af, key.addr, key.port, key.protocol, names)
    return f"{_OPTIONS.get(key.protocol, '?')} {endpoint}"


def _service_options(service: VirtualService) -> str:
    text = ""
    if service.flags & ServiceFlags.PERSISTENT:
        text += f" -p {service.timeout_s}"
        if not is_default_netmask(service):
            text += f" -M {netmask_text(service)}"
    if service.pe_name:
        text += f" --pe {service.pe_name}"
    if service.flags & ServiceFlags.ONEPACKET:
        text += " -o"
    flags = show_sched_flags(service.scheduler, service.flags)
    return text if flags is None else f"{text} -b {flags}"


def _server_options(server: RealServer) -> str:
    text = f"{_METHOD_OPTIONS.get(server.method, '-g')} -w {server.weight}"
    if server.method is not Method.TUNNEL:
        return text
    text += f" --tun-type {server.tun_type.name.lower()}"
    if server.tun_type is TunnelType.IPIP:
        return text
    if server.tun_type is TunnelType.GUE:
        text += f" --tun-port {server.tun_port}"
    return f"{text} {_CHECKSUM_OPTIONS.get(server.tun_flags, '--tun-nocsum')}"
