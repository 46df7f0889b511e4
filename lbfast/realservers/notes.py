"""What was changed on a real server, noted before it is changed, so that it can be undone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from lbfast.errors import ControlError


@dataclass(frozen=True, slots=True)
class Vip:
    """A virtual address that this host accepts without telling the network."""

    address: str
    device: str
    label: str = ""  # IPv4: lo:0, lo:1, …
    own_address: bool = True  # put there by us; False where the administrator had it already
    own_route: bool = False

    @property
    def is_v6(self) -> bool:
        return ":" in self.address


@dataclass(frozen=True, slots=True)
class Setting:
    """A sysctl that we changed."""

    name: str
    before: str
    ours: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How tunnelled packets are unwrapped: kernel devices we raised, kinds done by us."""

    device: str
    kinds: tuple[str, ...] = ()  # of KINDS, unwrapped by our own process
    raised: tuple[str, ...] = ()
    addressed: tuple[str, ...] = ()  # kernel devices that got an address for rp_filter's sake


@dataclass(frozen=True, slots=True)
class Notes:
    """Everything that `lbfast realserver del` has to undo."""

    boot: str
    vips: tuple[Vip, ...] = ()
    settings: tuple[Setting, ...] = ()
    tunnel: Tunnel | None = None

    def vip(self, address: str) -> Vip | None:
        return next((vip for vip in self.vips if vip.address == address), None)

    def without(self, vip: Vip) -> Notes:
        return replace(self, vips=tuple(v for v in self.vips if v != vip))


def boot_id() -> str:
    """Return what names this run of the kernel; notes of another one hold nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class NotesFile:
    """The file that holds the notes; locked from opening to closing."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "realserver.json"
        self.pid_path = directory / "realserver.pid"
        self.log_path = directory / "realserver.log"

    def read(self) -> Notes:
        """Return the notes; empty ones if there are none or the machine was started since.

        ControlError if they cannot be understood: then nothing is touched.
        """
        try:
            notes = msgspec.json.decode(self.path.read_bytes(), type=Notes)
        except FileNotFoundError:
            return Notes(boot_id())
        except msgspec.DecodeError as error:
            raise ControlError(f"{self.path}: not what was written there: {error}") from error
        return notes if notes.boot == boot_id() else Notes(boot_id())

    def write(self, notes: Notes) -> None:
        """Replace the notes in one step; remove the file when there is nothing left to undo."""
        if not (notes.vips or notes.settings or notes.tunnel):
            self.path.unlink(missing_ok=True)
            return
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(notes))
        fresh.replace(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other calls of `lbfast realserver` out."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
