"""The kinds of checks: which machine judges them, and how one attempt is made."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from lbfast.check.base import Conversation, Probe, Report
from lbfast.check.datagram import Datagram
from lbfast.check.dns import DnsExchange, query
from lbfast.check.endpoint import target_of
from lbfast.check.http import HttpConversation, request
from lbfast.check.inherit import Schedule, given
from lbfast.check.misc import Run
from lbfast.check.pattern import matcher
from lbfast.check.ping import SOCKETS, PingExchange
from lbfast.check.smtp import SmtpConversation
from lbfast.check.state import Machine, RiseFall, UrlRound
from lbfast.check.stream import Stream
from lbfast.check.tcp import TcpConversation
from lbfast.check.tls import TlsConversation, make_context
from lbfast.check.udp import UdpExchange
from lbfast.model.check import (
    Checker,
    DnsCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    TlsFiles,
    UdpCheck,
    Url,
)

Attempt = Callable[[int, Report], Probe]  # of a URL's index; the probe is still to be started


class Surroundings:
    """What attempts need besides their check; the TLS context is made when first needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: TlsFiles) -> None:
        self.loop = loop
        self._files = tls
        self._tls: ssl.SSLContext | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = make_context(self._files)
        return self._tls


def make_machine(check: Checker, schedule: Schedule) -> Machine:
    if isinstance(check, HttpCheck):
        return UrlRound(schedule, len(check.urls), fast_recovery=check.fast_recovery)
    # keepalived's SMTP_CHECK alone has its retries from the first attempt on
    return RiseFall(schedule, retries_used=not isinstance(check, SmtpCheck))


def make_attempt(check: Checker, schedule: Schedule, around: Surroundings) -> Attempt:
    """Returns how to make one attempt of a check; ConfigError where it cannot be made at all."""
    return _ATTEMPTS[type(check)](check, schedule, around)


def _tcp(check: TcpCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(check.endpoint))
    conversation = TcpConversation()  # says nothing, so all attempts can share it
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Stream(around.loop, where, timeout_s, conversation, report)


def _smtp(check: SmtpCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(check.endpoint))
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Stream(
        around.loop, where, timeout_s, SmtpConversation(check.helo_name), report
    )


def _http(check: HttpCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(check.endpoint))
    conversations = [_conversation(check, url, around) for url in check.urls]
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Stream(around.loop, where, timeout_s, conversations[url](), report)


def _conversation(check: HttpCheck, url: Url, around: Surroundings) -> Callable[[], Conversation]:
    judge = matcher(url.regex) if url.regex is not None else None
    plain = partial(HttpConversation, request(check, url), url, judge)
    if not check.is_ssl:
        return plain
    name = ""
    if check.enable_sni:
        name = check.sni_name or url.virtualhost or check.virtualhost
    context, is_compliant = around.tls, check.tls_compliant
    return lambda: TlsConversation(context, name, plain(), is_compliant=is_compliant)


def _dns(check: DnsCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(check.endpoint))
    template = query(check.name, check.type)
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Datagram(
        around.loop, where, timeout_s, DnsExchange(template), report
    )


def _udp(check: UdpCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(check.endpoint))
    exchange = UdpExchange(check.payload, check.reply)  # keeps nothing, so all can share it
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Datagram(around.loop, where, timeout_s, exchange, report)


def _ping(check: PingCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    where = (check.endpoint, target_of(replace(check.endpoint, connect_port=0)))
    family = where[1].family
    timeout_s = schedule.connect_timeout_s
    return lambda url, report: Datagram(
        around.loop, where, timeout_s, PingExchange(family), report, SOCKETS[family]
    )


def _misc(check: MiscCheck, schedule: Schedule, around: Surroundings) -> Attempt:
    timeout_s = given(check.timeout_s, schedule.delay_loop_s)
    return lambda url, report: Run(around.loop, check, timeout_s, report)


_ATTEMPTS: dict[type[Checker], Callable[[Any, Schedule, Surroundings], Attempt]] = {
    TcpCheck: _tcp,
    HttpCheck: _http,
    SmtpCheck: _smtp,
    DnsCheck: _dns,
    UdpCheck: _udp,
    PingCheck: _ping,
    MiscCheck: _misc,
}
