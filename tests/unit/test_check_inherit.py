"""Which values a checker ends up with."""

from __future__ import annotations

from typing import Any

import pytest

from lbfast.check.inherit import inhibited, resolve, schedule_of
from lbfast.model.check import (
    CheckedService,
    Checker,
    CheckSettings,
    DnsCheck,
    Endpoint,
    HttpCheck,
    MiscCheck,
    SmtpCheck,
    SorryServer,
    TcpCheck,
    Timing,
    Url,
)
from tests.checklab import packed, real, script, server, service

FIELDS = ("delay_loop_s", "connect_timeout_s", "retry", "delay_before_retry_s", "warmup_s")
HTTP = HttpCheck(urls=(Url("/"),))


@pytest.mark.covers("CHK-07")
@pytest.mark.parametrize(
    ("checker", "expected"),
    [
        pytest.param(TcpCheck(), (60, 5, 1, 1, 60), id="TCP_CHECK"),
        pytest.param(HTTP, (60, 5, 1, 3, 60), id="HTTP_GET"),
        pytest.param(SmtpCheck(), (60, 5, 1, 1, 60), id="SMTP_CHECK"),
        pytest.param(DnsCheck(), (60, 5, 3, 60, 60), id="DNS_CHECK"),
        pytest.param(MiscCheck(script=script("x")), (60, 5, 0, 1, 60), id="MISC_CHECK"),
    ],
)
def test_defaults_of_each_kind(checker: Checker, expected: tuple[float, ...]) -> None:
    schedule = schedule_of(service(), server("10.7.0.11"), checker)
    assert tuple(getattr(schedule, name) for name in FIELDS) == expected
    assert not schedule.alpha


def test_dns_waits_a_delay_loop_between_retries_and_warmup_is_the_delay_loop() -> None:
    outer = service(timing=Timing(delay_loop_s=7))
    schedule = schedule_of(outer, server("10.7.0.11"), DnsCheck())
    assert (schedule.delay_before_retry_s, schedule.warmup_s) == (7, 7)


@pytest.mark.covers("CHK-07")
@pytest.mark.parametrize("name", [*FIELDS, "alpha"])
def test_inner_value_wins(name: str) -> None:
    def level(value: float | None) -> Timing:
        values: dict[str, Any] = {name: value}
        return Timing(**values)

    def effective(inner: float | None, middle: float | None, outer: float | None) -> Any:
        checker = TcpCheck(timing=level(inner))
        middle_server = server("10.7.0.11", timing=level(middle))
        return getattr(schedule_of(service(timing=level(outer)), middle_server, checker), name)

    assert effective(2, 3, 4) == 2
    assert effective(None, 3, 4) == 3
    assert effective(None, None, 4) == 4
    assert effective(0, 3, 4) == 0


@pytest.mark.covers("CHK-09")
def test_check_goes_to_the_server_unless_it_says_where() -> None:
    settings = CheckSettings()
    plain = resolve(service(), server("10.7.0.11"), TcpCheck(), settings)
    assert isinstance(plain, TcpCheck)
    assert plain.endpoint == Endpoint(packed("10.7.0.11"), 80)
    own = TcpCheck(endpoint=Endpoint(packed("10.9.9.9"), 8080, bind_port=7))
    there = resolve(service(), server("10.7.0.11"), own, settings)
    assert isinstance(there, TcpCheck)
    assert there.endpoint == own.endpoint


def test_equal_checks_of_one_server_are_the_same_whatever_their_times() -> None:
    settings = CheckSettings()
    one = resolve(service(), server("10.7.0.11"), TcpCheck(timing=Timing(retry=3)), settings)
    other = resolve(service(), server("10.7.0.11"), TcpCheck(), settings)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.covers("CHK-11")
@pytest.mark.parametrize(
    ("check", "rs", "vs", "expected"),
    [("a", "b", "c", "a"), ("", "b", "c", "b"), ("", "", "c", "c"), ("", "", "", "")],
)
def test_virtual_host_comes_from_the_innermost_block(
    check: str, rs: str, vs: str, expected: str
) -> None:
    http = HttpCheck(urls=(Url("/"),), virtualhost=check)
    found = resolve(
        service(virtualhost=vs), server("10.7.0.11", virtualhost=rs), http, CheckSettings()
    )
    assert isinstance(found, HttpCheck)
    assert found.virtualhost == expected


def test_logging_of_all_failures_is_inherited_from_the_settings() -> None:
    settings = CheckSettings(checker_log_all_failures=True)
    assert resolve(service(), server("10.7.0.11"), TcpCheck(), settings).log_all_failures
    quiet = TcpCheck(log_all_failures=False)
    assert not resolve(service(), server("10.7.0.11"), quiet, settings).log_all_failures


@pytest.mark.parametrize(
    ("outer", "own", "expected"),
    [
        pytest.param(service(), None, False, id="off by default"),
        pytest.param(service(inhibit_on_failure=True), None, True, id="from the service"),
        pytest.param(service(inhibit_on_failure=True), False, False, id="own off wins"),
        pytest.param(service(), True, True, id="own on"),
        pytest.param(
            service(sorry=SorryServer(real("10.7.0.11"), inhibit=True)),
            None,
            True,
            id="the sorry server is this server",
        ),
        pytest.param(
            service(sorry=SorryServer(real("10.7.0.12"), inhibit=True)),
            None,
            False,
            id="the sorry server is another",
        ),
    ],
)
def test_inhibit_on_failure(outer: CheckedService, own: bool | None, expected: bool) -> None:
    assert inhibited(outer, server("10.7.0.11", inhibit_on_failure=own)) is expected
