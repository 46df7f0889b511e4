"""How the tmpfs behind the arena is mounted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lbfast.control import arena


class Kernel:
    """Stands for libc: refuses to mount with what it does not know."""

    def __init__(self, unknown: bytes, error: int = errno.EINVAL) -> None:
        self.unknown, self.error = unknown, error
        self.asked: list[bytes] = []

    def mount(self, name: bytes, at: bytes, kind: bytes, flags: int, options: bytes) -> int:
        self.asked.append(options)
        return -1 if self.unknown in options else 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(arena, "MOUNT_POINT", tmp_path / "arena")
    return tmp_path / "arena"


def mounted(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(arena, "_libc", kernel)
    monkeypatch.setattr("ctypes.get_errno", lambda: kernel.error)
    arena._mount()
    return kernel.asked


def test_arena_is_mounted_with_huge_pages(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mounted(Kernel(b"never asked"), monkeypatch) == [b"mode=0700,huge=within_size"]
    assert place.is_dir()


@pytest.mark.usefixtures("place")
def test_kernel_without_huge_pages_mounts_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = mounted(Kernel(b"huge="), monkeypatch)
    assert asked == [b"mode=0700,huge=within_size", b"mode=0700"]


@pytest.mark.usefixtures("place")
def test_what_may_not_mount_uses_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(mounted(Kernel(b"mode", errno.EPERM), monkeypatch)) == 2
    with pytest.raises(OSError, match="mounting"):
        mounted(Kernel(b"mode", errno.ENOMEM), monkeypatch)


@pytest.fixture
def files(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory, where it does not have to be mounted."""
    monkeypatch.setattr(arena, "_mount", lambda: place.mkdir(exist_ok=True))
    monkeypatch.setattr(arena, "enter_lasting_mount_namespace", lambda: None)
    return place


def test_a_start_that_did_not_end_leaves_no_arena(files: Path) -> None:
    assert arena.find_file("d") == -1
    os.close(arena.make_file("d"))  # and killed
    assert len(list(files.iterdir())) == 1
    assert arena.find_file("d") == -1
    assert list(files.iterdir()) == []


def test_a_finished_arena_is_found_until_it_is_removed(files: Path) -> None:
    made = arena.make_file("d")
    arena.finish_file("d")
    found = arena.find_file("d")
    assert os.path.sameopenfile(made, found)
    os.close(made)
    os.close(found)
    arena.remove_file("d")
    assert list(files.iterdir()) == []


@pytest.mark.usefixtures("place")
def test_a_tmpfs_to_be_mounted_has_room_for_half_of_the_memory() -> None:
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    assert arena._room() == half
