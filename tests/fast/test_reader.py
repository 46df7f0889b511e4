"""Connections read from the arena by another process than the director's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lbfast.control.server import ControlServer
from lbfast.control.tables import Engine, Tables, read_connections
from lbfast.errors import ControlError
from netns.wait import wait_for
from tests.control_lab import ControlLab
from tests.fake_balancer import FakeBalancer
from tests.fast.test_path_attach import lived

SIZES: dict[str, Any] = {"conns": 64, "dests": 16, "services": 8}


def shown(connections: Any) -> list[str]:
    return sorted(map(str, connections))


@pytest.mark.usefixtures("clock")
def test_reader_sees_what_the_director_sees(fd: int) -> None:
    world = lived(fd)
    own = shown(world.tables.connections())
    assert len(own) >= 9
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        assert shown(read_connections(reading)) == own
    finally:
        os.close(reading)


@pytest.mark.usefixtures("clock")
def test_reader_goes_on_where_it_stopped(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = lived(fd)
    monkeypatch.setattr("lbfast.control.tables.CHUNK", 2)
    assert shown(read_connections(fd)) == shown(world.tables.connections())


def test_connection_that_ends_meanwhile_is_not_shown(fd: int) -> None:
    world = lived(fd)
    reading = read_connections(fd)
    next(reading)
    world.wait(100_000)
    world.ask(4999)
    assert len(list(read_connections(fd))) == 1


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda fd: os.ftruncate(fd, 0), "no arena, or an empty one"),
        (lambda fd: os.pwrite(fd, b"\x63", 8), "arena of layout 99"),
        (lambda fd: os.pwrite(fd, b"x", 0), "arena of layout"),
        (lambda fd: os.ftruncate(fd, 1 << 16), "arena of another size"),
    ],
    ids=["empty", "another layout", "no arena", "cut short"],
)
def test_file_that_is_no_arena_is_refused(fd: int, damage: Any, sentence: str) -> None:
    Engine(**SIZES, fd=fd)
    damage(fd)
    with pytest.raises(ControlError, match=sentence):
        read_connections(fd)


@pytest.mark.usefixtures("clock")
def test_client_reads_the_arena_without_the_daemons_help(fd: int, tmp_path: Path) -> None:
    world = lived(fd)
    own = shown(Tables.connections(world.tables))
    balancer = FakeBalancer()  # has no connections: none of these can come from it
    lab = ControlLab(tmp_path / "control.sock", balancer)
    lab.server = ControlServer(balancer, lab.path, arena_fd=fd)
    with lab:
        client = lab.client()
        for _ in range(3):
            assert shown(client.connections()) == own
        assert client.table_size() == balancer.table_size()
        before = len(os.listdir("/proc/self/fd"))
        assert shown(client.connections()) == own
        # the server's thread may be about to close the file that it sent
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before, 5, "files to be closed")
        client.close()
