"""Which values a checker ends up with: its own, the real server's, the virtual server's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from lbfast.model.check import (
    CheckedServer,
    CheckedService,
    Checker,
    CheckSettings,
    DnsCheck,
    Endpoint,
    HttpCheck,
    MiscCheck,
    NetworkChecker,
    Timing,
)

DELAY_LOOP_S = 60.0
CONNECT_TIMEOUT_S = 5.0
HTTP_DELAY_BEFORE_RETRY_S = 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of one checker with nothing left open, in seconds."""

    delay_loop_s: float = DELAY_LOOP_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    retry: int = 1
    delay_before_retry_s: float = 1.0
    warmup_s: float = DELAY_LOOP_S
    alpha: bool = False


def first(*values: T | None) -> T | None:
    """Returns the first value that was said."""
    return next((value for value in values if value is not None), None)


def given(value: T | None, default: T) -> T:
    return default if value is None else value


def merge(*levels: Timing) -> Timing:
    """Returns the timing of several levels, the innermost first."""
    return Timing(
        delay_loop_s=first(*(level.delay_loop_s for level in levels)),
        connect_timeout_s=first(*(level.connect_timeout_s for level in levels)),
        retry=first(*(level.retry for level in levels)),
        delay_before_retry_s=first(*(level.delay_before_retry_s for level in levels)),
        warmup_s=first(*(level.warmup_s for level in levels)),
        alpha=first(*(level.alpha for level in levels)),
    )


def schedule_of(service: CheckedService, server: CheckedServer, checker: Checker) -> Schedule:
    """Returns the times that hold for a checker (spec 3.1)."""
    timing = merge(checker.timing, server.timing, service.timing)
    delay_loop_s = given(timing.delay_loop_s, DELAY_LOOP_S)
    retry, delay_before_retry_s = 1, 1.0
    if isinstance(checker, HttpCheck):
        delay_before_retry_s = HTTP_DELAY_BEFORE_RETRY_S
    elif isinstance(checker, DnsCheck):
        retry, delay_before_retry_s = 3, delay_loop_s
    elif isinstance(checker, MiscCheck):
        retry = 0
    return Schedule(
        delay_loop_s=delay_loop_s,
        connect_timeout_s=given(timing.connect_timeout_s, CONNECT_TIMEOUT_S),
        retry=given(timing.retry, retry),
        delay_before_retry_s=given(timing.delay_before_retry_s, delay_before_retry_s),
        warmup_s=given(timing.warmup_s, delay_loop_s),
        alpha=given(timing.alpha, False),
    )


def resolve(
    service: CheckedService, server: CheckedServer, checker: Checker, settings: CheckSettings
) -> Checker:
    """Returns the checker with everything that its outcome depends on filled in, but its times.

    Two checks of one real server that come out equal here see the same thing.
    """
    log_all = given(checker.log_all_failures, settings.checker_log_all_failures)
    filled = replace(checker, timing=Timing(), log_all_failures=log_all)
    if isinstance(filled, NetworkChecker):
        filled = replace(filled, endpoint=_target(filled.endpoint, server))
    if isinstance(filled, HttpCheck):
        host = filled.virtualhost or server.virtualhost or service.virtualhost
        filled = replace(filled, virtualhost=host)
    return filled


def _target(endpoint: Endpoint, server: CheckedServer) -> Endpoint:
    key = server.server.key
    return replace(
        endpoint,
        connect_ip=endpoint.connect_ip or key.addr,
        connect_port=endpoint.connect_port or key.port,
    )


def inhibited(service: CheckedService, server: CheckedServer) -> bool:
    """Says whether a failure sets the weight to 0 instead of removing the server.

    A sorry server that is one of the real servers shares that setting (spec 3.9).
    """
    own = given(server.inhibit_on_failure, service.inhibit_on_failure)
    sorry = service.sorry
    return own or (sorry is not None and sorry.inhibit and sorry.server.key == server.server.key)
