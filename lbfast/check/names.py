"""How services and servers are called in logs, FIFO lines and mails (spec 3.11)."""

from __future__ import annotations

import ipaddress
import socket

from lbfast.model import ServerKey, ServiceKey
from lbfast.model.check import (
    BfdCheck,
    CheckedService,
    Checker,
    DnsCheck,
    FileCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)

_KEYWORDS: dict[type[Checker], str] = {
    BfdCheck: "BFD_CHECK",
    DnsCheck: "DNS_CHECK",
    FileCheck: "FILE_CHECK",
    HttpCheck: "HTTP_GET",
    MiscCheck: "MISC_CHECK",
    PingCheck: "PING_CHECK",
    SmtpCheck: "SMTP_CHECK",
    TcpCheck: "TCP_CHECK",
    UdpCheck: "UDP_CHECK",
}

_PROTOCOLS = {
    0: "none",
    int(socket.IPPROTO_TCP): "tcp",
    int(socket.IPPROTO_UDP): "udp",
    int(socket.IPPROTO_SCTP): "sctp",
}


def service_name(service: CheckedService) -> str:
    """Returns `[10.7.0.100]:tcp:80`, `FWM 9`, or `[NAME]:0` for a group."""
    return f"[{service.group}]:0" if service.group else key_name(service.services[0].key)


def key_name(key: ServiceKey) -> str:
    if key.fwmark:
        return f"FWM {key.fwmark}"
    return f"[{ipaddress.ip_address(key.addr)}]:{_PROTOCOLS[key.protocol]}:{key.port}"


def server_name(service: CheckedService, key: ServerKey) -> str:
    """Returns `[10.7.0.11]:tcp:80`; the protocol is the service's."""
    protocol = next((one.key.protocol for one in service.services if not one.key.fwmark), 0)
    return f"[{ipaddress.ip_address(key.addr)}]:{_PROTOCOLS[protocol]}:{key.port}"


def check_name(check: Checker) -> str:
    """Returns the keyword of a check's block."""
    if isinstance(check, HttpCheck) and check.is_ssl:
        return "SSL_GET"
    return _KEYWORDS[type(check)]
