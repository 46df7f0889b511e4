"""Whether tables of the sizes asked for fit into this machine's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lbfast.errors import ControlError

# bytes of each record in the arena with its counters for every worker, and what the process keeps
# beside it; what only IPv6, FULLNAT or extensions touch is left out
CONNECTION_BYTES, BESIDE_BYTES = 64, 64
SERVER_BYTES, SERVICE_BYTES = 1280, 1536
GIB = 1 << 30
MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many records each table holds."""

    connections: int
    servers: int
    services: int

    @property
    def arena_bytes(self) -> int:
        """What full tables take on the tmpfs."""
        return (
            self.connections * CONNECTION_BYTES
            + self.servers * SERVER_BYTES
            + self.services * SERVICE_BYTES
        )

    @property
    def total_bytes(self) -> int:
        """What they take together with the process."""
        return self.arena_bytes + self.connections * BESIDE_BYTES

    def words(self) -> str:
        """Returns the options that ask for them."""
        return (
            f"--connections {self.connections}, --servers {self.servers}, "
            f"--services {self.services}"
        )


def available() -> int:
    """Returns the bytes of memory that processes may still take."""
    lines = MEMORY.read_text().splitlines()
    rows = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(rows["MemAvailable"].split()[0]) * 1024


def check(sizes: Sizes, tmpfs: int, memory: int) -> None:
    """Raises ControlError when full tables do not fit; `tmpfs`, `memory`: bytes that are free."""
    for need, has, what in (
        (sizes.arena_bytes, tmpfs, "the tmpfs of its arenas"),
        (sizes.total_bytes, memory, "its memory"),
    ):
        if need > has:
            raise ControlError(
                f"{sizes.words()} need {need / GIB:.1f} GiB, "
                f"the machine has {has / GIB:.1f} GiB free in {what}"
            )


def unused(asked: Sizes, there: Sizes) -> list[str]:
    """Returns a sentence on each size that was asked for and that the tables there do not have."""
    return [
        f"the table that is there has {getattr(there, name)} {name}, "
        f"--{name} {getattr(asked, name)} is not used: stop with SIGTERM, then start again"
        for name in ("connections", "servers", "services")
        if getattr(asked, name) != getattr(there, name)
    ]
