"""Programs, files, addresses and notices of checks at work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lbfast.check import misc
from lbfast.check.service import HealthChecks
from lbfast.model.check import (
    CheckConfiguration,
    CheckSettings,
    FileCheck,
    MiscCheck,
    TcpCheck,
    Timing,
)
from lbfast.model.script import Script
from lbfast.model.vrrp import Fifo, TrackFile
from lbfast.notify.program import spawn
from tests.checklab import packed, server, service, vip
from tests.checkservice import (
    DOWN,
    FAST,
    RS,
    UP,
    Listener,
    Recorder,
    at_once,
    endpoint,
    go,
    one,
    running,
    until,
)

Step = Callable[[], Awaitable[None]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)


def shell(command: str, *words: str) -> Script:
    return Script(("/bin/sh", "-c", command, "sh", *words))


@pytest.mark.covers("CHK-27", "QUO-13")
def test_misc_dynamic_weights_as_measured(tmp_path: Path) -> None:
    """Configured weight 5: exit 10 is 8, 2 is 0, 1 removes, 22 brings back with 20, 0 is 5."""
    status = tmp_path / "status"

    async def test() -> None:
        check = MiscCheck(script=shell('exit "$(cat "$1")"', str(status)), is_dynamic=True)
        config = service(server(RS, check, weight=5), server("10.7.0.12"), timing=FAST)
        async with running(config) as (_, table):
            for code, line in (
                (10, f"SET_DEST {RS} weight 8"),
                (2, f"SET_DEST {RS} weight 0"),
                (1, f"DEL_DEST {RS}"),
                (22, f"NEW_DEST {RS} weight 20"),
                (0, f"SET_DEST {RS} weight 5"),
            ):
                _write(status, str(code))
                await table.lines_are(line)

    _write(status, "0")
    go(test())


def _write(path: Path, text: str) -> None:
    """Replaces a file at once: a reader sees the old content or the new."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def test_reload_with_other_times_keeps_a_dynamic_weight() -> None:
    async def test() -> None:
        check = MiscCheck(script=shell("exit 10"), is_dynamic=True)
        config = service(server(RS, check, weight=5), timing=FAST)
        async with running(config) as (checks, table):
            await table.lines_are(f"SET_DEST {RS} weight 8")
            slow = replace(config, timing=replace(FAST, delay_loop_s=60, warmup_s=60))
            old, new = CheckConfiguration((config,)), CheckConfiguration((slow,))
            await checks.reload(old, new)
            assert table.lines == []
            heavier = replace(slow, servers=(server(RS, check, weight=6),))
            await checks.reload(new, CheckConfiguration((heavier,)))
            assert table.weights() == {RS: 8}  # the program says which weight, not how much more

    go(test())


@pytest.mark.covers("CHK-26")
def test_misc_without_dynamic_fails_on_any_status(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(one(MiscCheck(script=shell("exit 10")))) as (_, table):
            await table.lines_are(DOWN)

    go(test())


def test_misc_that_cannot_start_is_no_failure_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Script] = []
    path = tmp_path / "check"
    path.write_text("exit 1\n")  # for the kernel no program
    path.chmod(0o755)

    async def test() -> None:
        check = MiscCheck(script=Script((str(path),)))
        config = service(server(RS, check), timing=FAST)
        async with running(config) as (checks, table):
            await until(lambda: len(starts) == 5)
            assert table.lines == []
            assert "not started" in checks.dump()

    def counted(script: Script) -> object:
        starts.append(script)
        return spawn(script)

    monkeypatch.setattr(misc, "spawn", counted)
    go(test())
    (line,) = [line for line in caplog.messages if line.startswith("MISC_CHECK")]
    assert "has no #! line" in line


@pytest.mark.covers("CHK-29")
def test_misc_words_reach_the_program_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("a b", "$HOME", "`id`", "*")
    script = shell('out=$1; shift; printf "<%s>" "$@" >"$out.new"; mv "$out.new" "$out"',
                   str(out), *words)  # fmt: skip

    async def test() -> None:
        async with running(one(MiscCheck(script=script))):
            await until(out.exists)

    go(test())
    assert out.read_text() == "<a b><$HOME><`id`><*>"


@pytest.mark.covers("CHK-28")
def test_misc_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(misc, "KILL_AFTER_S", 0.2)
    pids = tmp_path / "pids"
    script = shell('trap "" TERM; sleep 600 & echo $$ $! >"$1"; wait; wait', str(pids))

    async def test() -> None:
        check = MiscCheck(script=script, timeout_s=0.3, timing=Timing(delay_loop_s=60))
        async with running(one(check)) as (checks, table):
            await table.lines_are(DOWN)
            assert "not finished within 0.3s" in checks.dump()

        await until(lambda: not any(map(_is_alive, pids.read_text().split())))

    go(test())


def _is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # whose parent has not looked yet


@pytest.mark.covers("CHK-28")
def test_misc_time_out_sends_term_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = shell('trap "echo term >$1; exit 0" TERM; sleep 600 & wait', str(out))

    async def test() -> None:
        check = MiscCheck(script=script, timeout_s=0.2, timing=Timing(delay_loop_s=60))
        async with running(one(check)) as (_, table):
            await table.lines_are(DOWN)  # although it exits with 0 then

    go(test())
    assert out.read_text() == "term\n"


def test_misc_period_counts_from_the_start(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = shell('date +%s%N >>"$1"; exec sleep 0.2', str(out))

    async def test() -> None:
        check = MiscCheck(script=script, timing=Timing(delay_loop_s=0.4))
        async with running(one(check)):
            await until(lambda: out.exists() and out.read_text().count("\n") >= 4)

    go(test())
    starts = [int(line) / 1e9 for line in out.read_text().split()]
    assert (starts[3] - starts[0]) / 3 < 0.55  # 0.6 if counted from the end


def test_stop_ends_a_program_that_runs(tmp_path: Path) -> None:
    out = tmp_path / "pid"

    async def test() -> None:
        check = MiscCheck(script=shell('echo $$ >"$1"; exec sleep 600', str(out)), timeout_s=300)
        async with running(one(check)):
            await until(lambda: out.exists() and out.read_text().endswith("\n"))

    go(test())
    with pytest.raises(ProcessLookupError):
        os.kill(int(out.read_text()), 0)


# files


@pytest.mark.covers("CHK-30")
def test_file_changes_the_weight_and_fails_the_server(tmp_path: Path) -> None:
    path = tmp_path / "track"

    async def test() -> None:
        config = service(
            server(RS, FileCheck(track_file="f"), weight=5), server("10.7.0.12"), timing=FAST
        )
        files = (TrackFile("f", str(path), weight=2, init_value=3),)
        async with running(config, track_files=files) as (_, table):
            assert path.read_text() == "3\n"
            assert table.weights()[RS] == 11
            path.write_text("-1\n")
            await table.lines_are(f"SET_DEST {RS} weight 3")
            path.unlink()
            await table.lines_are(f"SET_DEST {RS} weight 5")
            _write(path, "-9999999999")
            await table.lines_are(DOWN)
            _write(path, "1")
            await table.lines_are(f"NEW_DEST {RS} weight 7")

    go(test())


def test_file_with_weight_0_decides_alone(tmp_path: Path) -> None:
    path = tmp_path / "track"
    _write(path, "1")

    async def test() -> None:
        config = one(FileCheck(track_file="f", weight=0))
        files = (TrackFile("f", str(path)),)
        async with running(config, track_files=files) as (_, table):
            assert table.weights() == {}  # evaluated before anything else
            _write(path, "0")
            await table.lines_are(UP)

    go(test())


# suspended services


@pytest.mark.covers("CHK-35")
def test_ha_suspend_checks_only_while_the_address_is_here() -> None:
    here: set[bytes] = set()

    async def test() -> None:
        listener = await Listener().open()
        check = TcpCheck(endpoint=endpoint(listener.port))
        free = one(TcpCheck(endpoint=endpoint(listener.port)), services=(vip("10.7.0.101"),))
        held = one(check, ha_suspend=True, services=(vip(), vip("10.7.0.102")), group="G")

        def addresses() -> frozenset[bytes]:
            return frozenset(here)

        async with running(held, addresses=addresses) as (checks, table):
            due = asyncio.get_running_loop().time() + 0.3
            await until(lambda: asyncio.get_running_loop().time() > due)
            assert listener.peers == []
            assert table.weights() == {RS: 1}
            here.add(packed("10.7.0.102"))  # one of the group's addresses is enough
            checks._sources.addresses._changed()
            await listener.came(1)
        async with running(held, free, addresses=addresses) as (checks, _):
            assert len(checks.checks) == 2  # what can be suspended is not shared
        await listener.close()

    go(test())


# notices


@pytest.mark.covers("QUO-09", "QUO-11")
def test_scripts_fifo_and_mail_hear_of_a_failure(tmp_path: Path) -> None:
    log, pipe = tmp_path / "log", tmp_path / "pipe"
    log.touch()  # the first script may not have run yet when it is read

    def note(word: str) -> Script:
        return shell('echo "$1 $#" >>"$2"', word, str(log))

    async def test() -> str:
        checked = server(
            RS, TcpCheck(endpoint=endpoint(1)), notify_down=note("down"), notify_up=note("up")
        )
        config = replace(
            service(checked, timing=FAST), quorum_up=note("gained"), quorum_down=note("lost")
        )
        settings = CheckSettings(fifos=(Fifo(str(pipe)),))
        async with running(config, settings=settings) as (_, table):
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            await table.lines_are(DOWN)
            text = os.read(reader, 10_000).decode()
            os.close(reader)
            await until(lambda: log.read_text().count("\n") == 3)
            return text

    lines = asyncio.run(test()).splitlines()
    assert lines == [
        "VS [10.7.0.100]:tcp:80 UP",
        f"RS [{RS}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
        "VS [10.7.0.100]:tcp:80 DOWN",
    ]
    # they run side by side; nothing is appended to their words
    assert sorted(log.read_text().splitlines()) == ["down 2", "gained 2", "lost 2"]


def test_reload_keeps_a_fifo_open_and_opens_new_ones(tmp_path: Path) -> None:
    first, second = Fifo(str(tmp_path / "first")), Fifo(str(tmp_path / "second"))

    async def test() -> None:
        checks, config = HealthChecks(), one()
        old = CheckConfiguration((config,), CheckSettings(fifos=(first,)))
        await checks.start(old, Recorder())
        held = checks._world._fifos[first]
        new = CheckConfiguration((config,), CheckSettings(fifos=(first, second)))
        await checks.reload(old, new)
        assert checks._world._fifos[first] is held
        assert set(checks._world._fifos) == {first, second}
        await checks.stop()

    go(test())


def test_fifo_that_cannot_be_opened_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    async def test() -> None:
        settings = CheckSettings(fifos=(Fifo(str(tmp_path / "file")),))
        async with running(one(), settings=settings) as (_, table):
            assert table.weights() == {RS: 1}

    go(test())
    assert "is no FIFO" in caplog.text
