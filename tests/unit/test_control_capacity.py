"""Which table sizes a machine can hold, and which numbers `lbfast run` takes."""

from __future__ import annotations

import os

import pytest

from lbfast.control import arena, capacity
from lbfast.control.capacity import GIB, Sizes
from lbfast.control.tables import open_engine
from lbfast.daemon import main
from lbfast.errors import ControlError

USUAL = Sizes(1 << 20, 1 << 15, 1 << 14)


def test_usual_sizes_fit_into_a_small_machine() -> None:
    capacity.check(USUAL, GIB // 4, GIB // 2)


def test_what_the_tmpfs_cannot_hold_is_refused_with_both_numbers() -> None:
    wanted = Sizes(1 << 28, 1 << 14, 1 << 12)
    with pytest.raises(ControlError) as refused:
        capacity.check(wanted, 6 * GIB, 12 * GIB)
    assert str(refused.value) == (
        "--connections 268435456, --servers 16384, --services 4096 need 16.0 GiB, "
        "the machine has 6.0 GiB free in the tmpfs of its arenas"
    )


def test_what_the_memory_cannot_hold_is_refused() -> None:
    wanted = Sizes(1 << 26, 1 << 14, 1 << 12)
    capacity.check(wanted, 6 * GIB, 12 * GIB)
    with pytest.raises(ControlError, match=r"need 8\.0 GiB, .* 7\.0 GiB free in its memory"):
        capacity.check(wanted, 6 * GIB, 7 * GIB)


def test_free_memory_is_read_in_bytes() -> None:
    assert 0 < capacity.available() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("more", [Sizes(64, 1 << 16, 64), Sizes(64, 64, 1 << 16)])
def test_estimate_is_that_of_the_arena(more: Sizes) -> None:
    """Local addresses, which nobody has to use, and counters are the difference."""
    small = Sizes(64, 64, 64)
    grown = _arena_bytes(more) - _arena_bytes(small)
    estimate = more.arena_bytes - small.arena_bytes
    assert estimate * 0.8 < grown < estimate * 1.2


def _arena_bytes(sizes: Sizes) -> int:
    fd = os.memfd_create("arena")
    try:
        open_engine(
            fd,
            (sizes.connections, sizes.servers, sizes.services),
            workers=1,
            boot_id=arena.boot_id(),
            now_ns=1 << 40,
        )
        assert arena.sizes_in(fd) == (arena.LAYOUT_VERSION, 64, sizes.servers, sizes.services)
        assert arena.is_of_this_boot(fd)
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def test_arena_of_another_boot_is_known_by_its_header() -> None:
    fd = os.memfd_create("arena")
    try:
        assert not arena.is_of_this_boot(fd)
        open_engine(fd, (64, 64, 64), workers=1, boot_id=b"another", now_ns=1 << 40)
        assert not arena.is_of_this_boot(fd)
    finally:
        os.close(fd)


def test_sizes_that_are_not_used_are_named() -> None:
    assert capacity.unused(USUAL, USUAL) == []
    assert capacity.unused(Sizes(100000, 16, 8), Sizes(8, 16, 8)) == [
        "the table that is there has 8 connections, --connections 100000 is not used: "
        "stop with SIGTERM, then start again"
    ]


@pytest.mark.parametrize(
    ("option", "most"),
    [("workers", 16), ("connections", 1 << 28), ("servers", 1 << 20), ("services", 1 << 20)],
)
def test_a_number_out_of_range_is_told_its_own_range(
    option: str, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("0", str(most + 1), "many"):
        with pytest.raises(SystemExit):
            main([f"--{option}", number])
        sentence = f"lbfast run: --{option}: {number!r} is no number from 1 to {most}\n"
        assert capsys.readouterr().err == sentence
