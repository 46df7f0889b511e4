"""What an engine's memory takes before and after there are connections."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from bench.lookup import NOW_NS, balanced, filled
from lbfast.control import arena
from lbfast.control.tables import Engine, Tables, open_engine, read_listing

CONNECTIONS = 1 << 20
MIB = 1 << 20
EMPTY_MIB = 14


def region(fd: int) -> int:
    """Bytes that the file takes, not those that it would if all of it were written."""
    return os.fstat(fd).st_blocks * 512


def anonymous() -> int:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_large_table_takes_nothing_before_it_is_used(fd: int) -> None:
    before = anonymous()
    engine = Engine(conns=20 * CONNECTIONS, fd=fd, now_ns=NOW_NS)
    assert engine.table_size >= 40 * CONNECTIONS
    assert anonymous() - before < EMPTY_MIB * MIB
    assert region(fd) < MIB


def test_ipv4_connections_touch_no_record_but_their_own(fd: int) -> None:
    engine = balanced(Engine(conns=CONNECTIONS, fd=fd, now_ns=NOW_NS))
    empty, own = region(fd), anonymous()
    filled(engine, 0, 100_000)
    assert anonymous() - own < 64 * 100_000 + EMPTY_MIB * MIB
    assert 64 * 100_000 <= region(fd) - empty < 64 * 100_000 + 2 * MIB
    rows = b"".join(Tables(engine).listing(with_engines=True))
    assert rows.count(b"\n") == sum(1 for _ in Tables(engine).connections()) == 100_000
    assert sum(block.count(b"\n") for block in read_listing(fd, with_engines=False)) == 100_000
    # listing maps the file; nothing of it was read that is not a connection
    assert region(fd) - empty < 64 * 100_000 + 2 * MIB


def test_attaching_takes_no_more_than_there_was(fd: int) -> None:
    sizes: dict[str, Any] = {"conns": CONNECTIONS, "fd": fd, "now_ns": NOW_NS}
    filled(balanced(Engine(**sizes)), 0, 10_000)
    before = region(fd)
    assert Engine(**sizes).found["conns"] == 10_000
    # all services and servers are looked at; connections, only as far as there ever were any
    assert region(fd) - before < 8 * MIB


def test_table_of_any_size_is_attached_whole(fd: int) -> None:
    for conns in (1, 63, 64, 32_767, 32_768, 40_000):
        os.ftruncate(fd, 0)
        sizes = (conns, 3, 2)
        made = open_engine(fd, sizes, workers=1, boot_id=b"x", now_ns=NOW_NS)
        filled(balanced(made), 0, conns)
        again = open_engine(fd, (9, 9, 9), workers=1, boot_id=b"x", now_ns=NOW_NS)
        assert again.found == {"services": 1, "dests": 3, "conns": conns, "broken": 0}
        assert arena.sizes_in(fd) == (arena.LAYOUT_VERSION, *sizes)
