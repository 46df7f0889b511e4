"""Rows of `ipvsadm -Lnc` made where the connections are, beside those of cli/format.py."""

from __future__ import annotations

import os
import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from lbfast._fastpath import Reader
from lbfast.cli.format import Columns, Style, connection_row, connection_title
from lbfast.cli.ipvsadm import main
from lbfast.control.server import ControlServer
from lbfast.control.states import SCTP, cells
from lbfast.control.states import TCP as TCP_STATES
from lbfast.control.tables import Engine, Tables, read_connections, read_listing
from netns.wait import wait_for
from tests.control_lab import ControlLab
from tests.fake_balancer import FakeBalancer
from tests.fast import fulllab
from tests.fast.path import VIP, Lab
from tests.fast.test_path_attach import lived


def by_format(connections: Any, columns: Columns = Columns.NORMAL) -> str:
    return "".join(connection_row(c, Style(columns)) for c in connections)


def by_engine(tables: Tables, columns: Columns = Columns.NORMAL) -> str:
    blocks = tables.listing(with_engines=columns is Columns.PERSISTENT_CONN)
    return b"".join(blocks).decode()


COLUMNS = pytest.mark.parametrize("columns", [Columns.NORMAL, Columns.PERSISTENT_CONN])


@COLUMNS
@pytest.mark.usefixtures("clock")
def test_listing_of_many_kinds_is_the_formatters(fd: int, columns: Columns) -> None:
    tables = lived(fd).tables
    expected = by_format(tables.connections(), columns)
    assert expected.count("\n") == 13
    assert (" sip " in expected) == (columns is Columns.PERSISTENT_CONN)
    assert by_engine(tables, columns) == expected
    rows = read_listing(fd, with_engines=columns is Columns.PERSISTENT_CONN)
    assert b"".join(rows).decode() == by_format(read_connections(fd), columns)


def test_listing_of_any_addresses_and_ports_is_the_formatters() -> None:
    world, rng = Lab(), random.Random(5)
    for line in (
        f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r 10.2.0.1:8 -m",
        f"-A -u {VIP}:9 -s rr", f"-a -u {VIP}:9 -r 10.2.0.255:65535 -i",
        "-A -t [fd00:9::1]:80 -s rr", "-a -t [fd00:9::1]:80 -r [fd00:2::4]:80 -g",
    ):  # fmt: skip
        world.words(line)
    for _ in range(300):
        port = rng.choice((1, 80, rng.randrange(1, 65536)))
        v4 = ".".join(str(rng.choice((1, 20, rng.randrange(1, 224)))) for _ in range(4))
        v6 = "2001:db8:" + ":".join(
            f"{rng.choice((0, 0, rng.randrange(65536))):x}" for _ in "6" * 6
        )
        world.send(IP(src=v4, dst=VIP) / TCP(sport=port, dport=80, flags="S"))
        world.send(IP(src=v4, dst=VIP) / UDP(sport=port, dport=9))
        world.send(IPv6(src=v6, dst="fd00:9::1") / TCP(sport=port, dport=80, flags="S"))
    expected = by_format(world.tables.connections())
    assert expected.count("\n") > 700
    assert by_engine(world.tables) == expected


def test_listing_names_the_local_side_of_fullnat() -> None:
    world = fulllab.lab("u")
    for v6 in (False, True):
        fulllab.ask(world, 4000, v6)
    expected = by_format(world.tables.connections())
    assert [len(row.split()) for row in expected.splitlines()] == [7, 7]
    assert by_engine(world.tables) == expected


def test_long_expiry_has_as_many_digits_as_it_takes() -> None:
    world = Lab()
    for line in (f"-A -u {VIP}:9 -s rr -p 86400", f"-a -u {VIP}:9 -r 10.2.0.1:9 -g"):
        world.words(line)
    world.ask(4000, dst=f"{VIP}:9", proto="udp")
    assert " 1440:00 " in by_engine(world.tables)
    assert by_engine(world.tables) == by_format(world.tables.connections())


def test_blocks_join_without_a_gap() -> None:
    world = Lab()
    for line in (f"-A -u {VIP}:9 -s rr", f"-a -u {VIP}:9 -r 10.2.0.1:9 -g"):
        world.words(line)
    packets = [IP(src="10.1.0.9", dst=VIP) / UDP(sport=port, dport=9) for port in range(1, 17001)]
    for packet in packets:
        world.send(packet)
    blocks = list(world.tables.listing(with_engines=False))
    assert len(blocks) == 2
    assert b"".join(blocks).decode() == by_format(world.tables.connections())


def test_names_are_those_of_the_states() -> None:
    text = cells().decode()
    words = [text[at : at + 12] for at in range(0, len(text), 12)]
    assert [w.strip() for w in words[: len(TCP_STATES)]] == list(TCP_STATES)
    assert [w.strip() for w in words[16 : 16 + len(SCTP)]] == list(SCTP)
    assert [w.strip() for w in words[32:]] == ["UDP", "NONE", "ASSURED"]
    assert all(len(w) == 12 and w.endswith(" ") for w in words)


def test_table_of_names_of_another_length_is_refused(fd: int) -> None:
    Engine(conns=64, dests=16, services=8, fd=fd)
    with pytest.raises(ValueError, match="names of 3 bytes, expected 420"):
        Reader(fd).text(0, 0, b"abc", False)


@pytest.mark.usefixtures("clock")
def test_words_list_from_the_arena(fd: int, tmp_path: Path) -> None:
    expected = by_format(lived(fd).tables.connections())
    balancer = FakeBalancer()  # has no connections: none of these can come from it
    lab = ControlLab(tmp_path / "control.sock", balancer)
    lab.server = ControlServer(balancer, lab.path, arena_fd=fd)
    with lab:
        client, output = lab.client(), StringIO()
        before = len(os.listdir("/proc/self/fd"))
        assert main(["ipvsadm", "-Lnc"], lambda: client, stdout=output) == 0
        assert output.getvalue() == connection_title(Style()) + expected
        # the server's thread may be about to close the file that it sent
        wait_for(lambda: len(os.listdir("/proc/self/fd")) < before, 5, "files to be closed")
