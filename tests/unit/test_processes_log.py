"""Where the processes' log lines go, and in which form."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbfast.processes import log


@pytest.fixture
def no_handlers() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("no_handlers")
def test_log_lines_go_to_a_file_in_the_manner_of_the_system_s_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.set_up(log.LogSettings(file=str(path)), "Keepalived_vrrp")
    logging.getLogger("lbfast").warning("(V) Entering MASTER STATE")
    line = path.read_text()
    assert line.endswith(f"Keepalived_vrrp[{os.getpid()}]: (V) Entering MASTER STATE\n")


@pytest.fixture
def system_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_handlers: None
) -> Iterator[socket.socket]:
    """A socket in the place of /dev/log."""
    path = tmp_path / "log"
    monkeypatch.setattr(log, "SYSTEM_LOG", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(path))
        reader.settimeout(5)
        yield reader


SYSTEM_LINE = r"<{}>[A-Z][a-z][a-z] [ 123]\d \d\d:\d\d:\d\d {}\[{}\]: {}"


@pytest.mark.parametrize(
    ("level", "facility", "number"),
    [
        (logging.INFO, "daemon", 30),
        (logging.WARNING, "daemon", 28),
        (logging.ERROR, "local3", 19 * 8 + 3),
        (logging.CRITICAL, "user", 10),
    ],
)
def test_line_to_the_system_s_log_is_as_syslog_writes_it(
    system_log: socket.socket, level: int, facility: str, number: int
) -> None:
    settings = log.LogSettings(facility=facility, suffix="_lab")
    log.set_up(settings, "Keepalived_vrrp")
    logging.getLogger("lbfast.vrrp").log(level, "(V) %s", "gone")
    found = system_log.recv(500).decode()
    name = "Keepalived_vrrp_lab"
    assert re.fullmatch(SYSTEM_LINE.format(number, name, os.getpid(), r"\(V\) gone"), found)


def test_system_s_log_that_comes_back_gets_lines_again(
    system_log: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    path = system_log.getsockname()
    log.set_up(log.LogSettings(facility="daemon"), "Keepalived")
    logging.getLogger("lbfast").info("one")
    assert b"one" in system_log.recv(500)
    system_log.close()
    logging.getLogger("lbfast").info("lost")
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(path)
        logging.getLogger("lbfast").info("two")
        assert b"two" in again.recv(500)
    assert not capsys.readouterr().err


def test_system_s_log_that_does_not_read_holds_nobody_up(system_log: socket.socket) -> None:
    log.set_up(log.LogSettings(facility="daemon"), "Keepalived")
    waits = []
    for number in range(40):  # more than the socket holds (net.unix.max_dgram_qlen is 10 to 512)
        before = time.monotonic()
        logging.getLogger("lbfast").info("line %d %s", number, "x" * 60_000)
        waits.append(time.monotonic() - before)
    assert sum(wait > 0.019 for wait in waits[20:]) < 10, "it was waited for with every line"
    assert b"line 0" in system_log.recv(100)
    for _ in range(2):  # what it has got, until there is room
        system_log.recv(100)
    logging.getLogger("lbfast").info("again")
    while b"again" not in system_log.recv(100):
        pass


@pytest.mark.usefixtures("system_log")
@pytest.mark.parametrize(
    ("settings", "heard"),
    [
        (log.LogSettings(facility="daemon"), False),
        (log.LogSettings(facility="daemon", console=True), True),
        (log.LogSettings(), True),
        (log.LogSettings(is_silent=True), False),
    ],
)
def test_terminal_hears_when_it_is_asked_to_or_nobody_else_does(
    settings: log.LogSettings, heard: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up(settings, "Keepalived")
    logging.getLogger("lbfast").info("here")
    assert ("lbfast: here" in capsys.readouterr().err) == heard


def test_details_are_information_as_keepalived_s_are(system_log: socket.socket) -> None:
    settings = log.LogSettings(logging.DEBUG, facility="daemon")
    log.set_up(settings, "Keepalived")
    logging.getLogger("lbfast").debug("a detail")
    assert system_log.recv(1024).startswith(b"<30>")
