"""Which checks are run and when, what a reload keeps, and a balancer that comes and goes."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from lbfast.check import service as checker
from lbfast.check.running import RunningCheck
from lbfast.errors import ControlError
from lbfast.model.check import (
    BfdCheck,
    CheckConfiguration,
    CheckSettings,
    HttpCheck,
    Regex,
    TcpCheck,
    Timing,
    Url,
)
from tests.checklab import real, server, service, vip
from tests.checkservice import (
    BAD,
    DOWN,
    FAST,
    OK,
    RS,
    UP,
    Listener,
    Recorder,
    answering,
    at_once,
    endpoint,
    go,
    one,
    running,
    until,
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)


def test_equal_checks_of_one_server_are_run_once_for_all_services() -> None:
    async def test() -> None:
        listener = await Listener().open()
        check = TcpCheck(endpoint=endpoint(listener.port))
        other = one(check, services=(vip("10.7.0.101"), vip("10.7.0.102")), group="G")
        async with running(one(check), other) as (checks, table):
            assert len(checks.checks) == 1
            await listener.close()
            await table.lines_are(DOWN, DOWN, DOWN)

    go(test())


def test_checks_with_other_times_are_run_apart() -> None:
    async def test() -> None:
        check = TcpCheck(endpoint=endpoint(9), timing=Timing(retry=7))
        async with running(one(TcpCheck(endpoint=endpoint(9)), check)) as (checks, _):
            assert len(checks.checks) == 2

    go(test())


@pytest.mark.covers("CHK-03")
@pytest.mark.parametrize("warmup_s", [0.0, 10.0])
def test_first_attempts_are_spread_over_the_warmup(
    warmup_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "FIRST_S", 1.0)

    async def test() -> list[float]:
        now = asyncio.get_running_loop().time()
        timing = replace(FAST, warmup_s=warmup_s)
        servers = [server(f"10.7.0.{number}", TcpCheck()) for number in range(1, 101)]
        async with running(service(*servers, timing=timing)) as (checks, _):
            found = []
            for check in checks.checks.values():
                assert isinstance(check, RunningCheck)
                assert check._timer is not None
                found.append(check._timer.when() - now)
            return found

    delays = sorted(asyncio.run(test()))
    assert 1.0 <= delays[0] <= delays[-1] <= 1.0 + warmup_s + 1.0
    assert (delays[-1] - delays[0] > 4) is (warmup_s == 10)


def test_check_that_cannot_be_made_is_dropped_with_a_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        http = HttpCheck(urls=(Url("/", regex=Regex("(")),))
        async with running(one(http)) as (checks, table):
            assert checks.checks == {}
            assert table.weights() == {RS: 1}

    go(test())
    assert "checker dropped" in caplog.text


@pytest.mark.covers("CHK-36")
def test_all_failures_are_logged_on_demand(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def test(log_all: bool) -> int:
        caplog.clear()
        listener = await Listener(answering(lambda: text)).open()
        text = OK
        http = HttpCheck(
            urls=(Url("/"),),
            endpoint=endpoint(listener.port),
            timing=Timing(retry=3),
            log_all_failures=log_all,
        )
        async with running(one(http)) as (_, table):
            await listener.came(2)
            text = BAD
            await table.lines_are(DOWN)
        await listener.close()
        return caplog.text.count("status code 500")

    assert asyncio.run(test(False)) == 1
    assert asyncio.run(test(True)) >= 4
    failed = [line for line in caplog.messages if "status code 500" in line]
    name = f"HTTP_GET on service [{RS}]:tcp:80 of [10.7.0.100]:tcp:80 failed: "
    assert all(line.startswith(name) for line in failed)


# the balancer


def test_balancer_that_was_away_gets_the_table_as_it_ought_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checker, "_RESTORE_S", 0.05)

    async def test() -> None:
        listener = await Listener().open()
        checked = server(RS, TcpCheck(endpoint=endpoint(listener.port)))
        config = service(checked, server("10.7.0.12"), timing=FAST)
        async with running(config) as (checks, table):
            table.failure = ControlError("away")
            await listener.close()
            await until(lambda: "TCP_CHECK = down" in checks.dump())
            assert table.weights() == {RS: 1, "10.7.0.12": 1}
            table.table.clear()
            table.servers.clear()
            table.failure = None
            await table.lines_are("NEW_DEST 10.7.0.12 weight 1")

    go(test())


def test_large_table_is_restored_in_slices() -> None:
    async def test() -> None:
        servers = [server(f"10.8.{n >> 8}.{n & 255}") for n in range(1, 501)]
        async with running(service(*servers)) as (checks, table):
            table.table.clear()
            table.servers.clear()
            checks.restore()
            assert len(table.lines) < 100  # the rest follows while the loop runs
            await until(lambda: len(table.weights()) == 500)

    go(test())


def test_server_that_somebody_deleted_or_added_meanwhile_is_no_trouble() -> None:
    async def test() -> None:
        listener = await Listener().open()
        key = vip().key
        async with running(one(TcpCheck(endpoint=endpoint(listener.port)))) as (checks, table):
            (state,) = table.service(key).servers
            table.servers[key].clear()
            await listener.close()
            await until(lambda: "TCP_CHECK = down" in checks.dump())
            table.servers[key].append(replace(state, server=replace(state.server, weight=9)))
            await listener.open()
            await table.lines_are(f"SET_DEST {RS} weight 1")
            await listener.close()

    go(test())


def test_service_that_is_there_already_is_taken_over() -> None:
    async def test() -> None:
        table = Recorder()
        table.add_service(replace(vip(), scheduler="wlc"))
        async with running(one(), balancer=table):
            assert table.table[vip().key].scheduler == "rr"
            assert table.weights() == {RS: 1}

    go(test())


def test_resumed_start_takes_a_missing_server_for_down() -> None:
    async def test() -> None:
        listener = await Listener().open()
        check = TcpCheck(endpoint=endpoint(listener.port))
        other = server("10.7.0.12", TcpCheck(endpoint=endpoint(listener.port)))
        config = service(server(RS, check), other, timing=replace(FAST, warmup_s=0.0))
        table = Recorder()
        async with running(service(other), balancer=table) as (first, _):
            for each in first.checks.values():  # as if it had been killed
                each.stop()
            second = checker.HealthChecks()
            await second.start(CheckConfiguration((config,)), table, resume=True)
            assert table.weights() == {"10.7.0.12": 1}
            await table.lines_are("SET_DEST 10.7.0.12 weight 1", UP)
            await second.stop()
        await listener.close()

    go(test())


def test_resumed_start_removes_what_is_left_of_before() -> None:
    async def test() -> None:
        table = Recorder()
        table.add_service(vip())
        table.add_server(vip().key, real("10.7.0.200"))
        table.add_server(vip().key, real(RS))
        checks = checker.HealthChecks()
        await checks.start(CheckConfiguration((one(),)), table, resume=True)
        assert table.weights() == {RS: 1}
        await checks.stop()

    go(test())


def test_start_and_stop_flush_where_the_settings_say_so() -> None:
    async def test() -> None:
        table = Recorder()
        table.add_service(vip("10.9.9.9"))
        settings = CheckSettings(lvs_flush=True)
        async with running(one(), settings=settings, balancer=table):
            assert list(table.table) == [vip().key]
        assert not table.table
        table.add_service(vip("10.9.9.9"))
        async with running(one(), balancer=table):
            pass
        assert list(table.table) == [vip("10.9.9.9").key]
        settings = CheckSettings(lvs_flush_on_stop="all")
        async with running(one(), settings=settings, balancer=table):
            pass
        assert not table.table

    go(test())


def test_large_table_lets_the_loop_run_and_keeps_the_order() -> None:
    async def test() -> None:
        servers = [server(f"10.8.{n >> 8}.{n & 255}", BfdCheck(name="b")) for n in range(1, 501)]
        checks, table = checker.HealthChecks(), Recorder()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            if turns == 3:  # a result comes while the table is still being filled
                checks.bfd("b", is_up=False)
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)
        await checks.start(CheckConfiguration((service(*servers),)), table)
        assert turns >= 10
        added = [line.split()[0] for line in table.lines]
        assert added == ["NEW_DEST"] * 500 + ["DEL_DEST"] * 500
        assert table.weights() == {}
        await checks.stop()

    go(test())


def test_no_descriptor_is_left_open() -> None:
    async def test() -> None:
        listener = await Listener().open()
        before = set(os.listdir("/proc/self/fd"))
        kinds = [TcpCheck(endpoint=endpoint(listener.port)), TcpCheck(endpoint=endpoint(1))]
        async with running(one(*kinds, timing=replace(FAST, delay_loop_s=0.001))):
            await listener.came(100)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= len(before))
        await listener.close()

    go(test())


def test_stop_may_keep_the_table() -> None:
    async def test() -> None:
        checks, table = checker.HealthChecks(), Recorder()
        await checks.start(CheckConfiguration((one(),)), table)
        await checks.stop(keep_table=True)
        assert table.weights() == {RS: 1}

    go(test())


# reload


@pytest.mark.covers("SIG-04")
def test_reload_leaves_equal_checks_alone_and_keeps_the_state_of_others() -> None:
    async def test() -> None:
        listener = await Listener().open()
        steady = server("10.7.0.12", TcpCheck(endpoint=endpoint(listener.port)))
        failing = server(RS, TcpCheck(endpoint=endpoint(1)))
        config = service(steady, failing, timing=FAST)
        async with running(config) as (checks, table):
            await table.lines_are(DOWN)
            before = dict(checks.checks)
            slow = replace(failing, timing=Timing(delay_loop_s=30))
            new = service(steady, slow, timing=FAST)
            old = CheckConfiguration((config,))
            await checks.reload(old, CheckConfiguration((new,)))
            assert table.lines == []
            assert len(set(before) & set(checks.checks)) == 1
            for key in set(before) & set(checks.checks):
                assert checks.checks[key] is before[key]
            changed = next(check for key, check in checks.checks.items() if key not in before)
            assert not changed.is_up
            count = len(listener.peers)
            await listener.came(count + 2)
        await listener.close()

    go(test())


def test_reload_removes_services_and_adds_others() -> None:
    async def test() -> None:
        old = one(TcpCheck(endpoint=endpoint(1), timing=Timing(delay_loop_s=60, warmup_s=60)))
        new = replace(old, services=(vip("10.7.0.101"),))
        async with running(old) as (checks, table):
            await checks.reload(CheckConfiguration((old,)), CheckConfiguration((new,)))
            assert list(table.table) == [vip("10.7.0.101").key]
            assert len(checks.checks) == 1

    go(test())


@pytest.mark.parametrize(("log_all", "lines"), [(False, {1}), (True, {4, 5})])
def test_trouble_of_our_own_is_said_when_it_begins(
    log_all: bool, lines: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        bound = endpoint(1, bindto=bytes((192, 0, 2, 1)))  # no address of this host
        check = TcpCheck(endpoint=bound, log_all_failures=log_all)
        attempts: list[object] = []
        async with running(one(check)) as (checks, table):
            (run,) = checks.checks.values()
            assert isinstance(run, RunningCheck)
            attempt = run._attempt

            def counted(*words: object) -> object:
                attempts.append(words)
                return attempt(*words)  # type: ignore[arg-type]

            run._attempt = counted  # type: ignore[assignment]
            await until(lambda: len(attempts) == 5)
            assert table.lines == []

    go(test())
    said = [one for one in caplog.messages if "no connection to" in one]
    assert len(said) in lines
    name = f"TCP_CHECK on service [{RS}]:tcp:80 of [10.7.0.100]:tcp:80: "
    assert all(line.startswith(name) for line in said)


def test_bfd_session_takes_a_server_down_and_up() -> None:
    async def test() -> None:
        async with running(one(BfdCheck(name="b"))) as (checks, table):
            checks.bfd("other", is_up=False)
            assert table.lines == []
            checks.bfd("b", is_up=False)
            assert table.lines == [DOWN]
            assert "BFD session b is down" in checks.dump()
            checks.bfd("b", is_up=True)
            assert table.lines == [DOWN, UP]

    go(test())
