"""Runs random and mutated frames through the data path, under AddressSanitizer with --asan.

Everything follows from the seed, so the same seed and as many frames repeat a crash.  The batch
that is being processed is kept in a file; if the process dies it stays as crash-SEED-BATCH.bin,
which --replay gives to a fresh director.
"""

from __future__ import annotations

import argparse
import marshal
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.append(str(ROOT))  # last: PYTHONPATH says which variant is meant

from lbfast import _fastpath  # noqa: E402
from lbfast.replay import network  # noqa: E402
from tools.fuzz_frames import Frame, Mutator, corpus  # noqa: E402
from tools.fuzz_world import VLAN_LINK, World  # noqa: E402

FOLDER = ROOT / "build/fuzz"
BATCH = 128
EDIT_EVERY = 16  # batches
LINKS = frozenset({0, network.D0, network.D1, VLAN_LINK})
MAX_OUT = 65600 + 96
RECORD = 16 << 20
Watch = Callable[[int, World, list[Frame]], None]


class FuzzError(Exception):
    """The data path said something that cannot be true."""


def check_outputs(outs: list[tuple[int, int, bytes, bytes]]) -> None:
    """Check what holds for any output whatever came in."""
    for kind, ifindex, vnet, frame in outs:
        if kind not in (0, 1) or ifindex not in LINKS:
            raise FuzzError(f"output of kind {kind} on interface {ifindex}")
        if len(vnet) != 10 or not 14 <= len(frame) <= MAX_OUT:
            raise FuzzError(f"output of {len(frame)} bytes, header of {len(vnet)}")


def fuzz(frames: int, seed: int, watch: Watch | None = None) -> World:
    """Run at least this many frames; returns the world they have left."""
    world = World(seed)
    mutator = Mutator(corpus(world.services), seed)
    for number in range(-(-frames // BATCH)):
        batch = mutator.batch(BATCH)
        if watch:
            watch(number, world, batch)
        if number % EDIT_EVERY == 0:
            world.edit()
        check_outputs(world.engine.process(batch, world.now_ns))
        world.tick(mutator.random.getrandbits(40))
    check_counters(world, -(-frames // BATCH) * BATCH)
    return world


def check_counters(world: World, frames: int) -> None:
    """Every frame has a verdict, every drop a reason."""
    verdicts = world.engine.verdicts()
    if sum(verdicts.values()) < frames:
        raise FuzzError(f"{frames} frames, verdicts only for {sum(verdicts.values())}")
    if sum(world.engine.reasons().values()) < verdicts["drop"]:
        raise FuzzError(f"{verdicts['drop']} drops, reasons {world.engine.reasons()}")


# ---------------------------------------------------------------- as a program


class Recorder:
    """Keeps the batch that is being processed where it outlives the process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w+b") as file:
            file.truncate(RECORD)
            self.memory = mmap.mmap(file.fileno(), RECORD)
        self.next_report = self.start = time.monotonic()

    def __call__(self, number: int, world: World, batch: list[Frame]) -> None:
        data = marshal.dumps((number, world.now_ns, batch))
        self.memory[: 4 + len(data)] = struct.pack("=I", len(data)) + data
        now = time.monotonic()
        if now >= self.next_report:
            self.next_report = now + 10
            self.report((number + 1) * BATCH)

    def report(self, frames: int) -> None:
        rate = frames / max(time.monotonic() - self.start, 0.001)
        print(f"fuzz: {frames:,} frames, {rate:,.0f} a second", file=sys.stderr, flush=True)


def read_record(path: Path) -> tuple[int, int, list[Frame]]:
    """Return (batch number, now, frames) as the recorder left them."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("=I", data)
    number, now_ns, batch = marshal.loads(data[4 : 4 + size])
    return number, now_ns, batch


def asan_environment() -> dict[str, str]:
    """Build the variant and return what makes a child use it."""
    subprocess.run([ROOT / "tools/build.sh", "asan"], check=True)
    compiler = os.environ.get("CC", "gcc").split()
    library = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "PYTHONPATH": str(ROOT / "build/asan/lib"),
    }


def run_child(arguments: argparse.Namespace) -> int:
    """Run the frames in a process of their own; keep its last batch if it dies."""
    record = FOLDER / f"batch-{os.getpid()}.bin"
    command = [sys.executable, __file__, "--record", str(record)]
    command += ["--frames", str(arguments.frames), "--seed", str(arguments.seed)]
    command += ["--asan"] if arguments.asan else []
    environment = os.environ | (asan_environment() if arguments.asan else {})
    status = subprocess.run(command, env=environment, check=False).returncode
    if status == 0:
        record.unlink()
        return 0
    if not record.exists():
        return 1
    number = read_record(record)[0]
    crash = FOLDER / f"crash-{arguments.seed}-{number}.bin"
    record.rename(crash)
    print(f"fuzz: died (status {status}) in batch {number} of seed {arguments.seed}: {crash}")
    print(f"fuzz: again with --seed {arguments.seed} --frames {(number + 1) * BATCH}")
    return 1


def run_here(arguments: argparse.Namespace) -> int:
    """Run the frames in this process and print what became of them."""
    if arguments.asan and "build/asan" not in _fastpath.__file__:
        raise FuzzError(f"{_fastpath.__file__} is not the ASan variant")
    watch = Recorder(arguments.record)
    world = fuzz(arguments.frames, arguments.seed, watch)
    watch.report(arguments.frames)
    print(f"verdicts {world.engine.verdicts()}")
    print(f"reasons {world.engine.reasons()}")
    rate = arguments.frames / (time.monotonic() - watch.start)
    print(f"fuzz_seed_{arguments.seed} {arguments.frames} frames survived, {rate:.0f} a second")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--asan", action="store_true", help="build and use the ASan variant")
    parser.add_argument("--replay", type=Path, help="give one kept batch to a fresh director")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        _, now_ns, batch = read_record(arguments.replay)
        check_outputs(World(arguments.seed).engine.process(batch, now_ns))
        return 0
    return run_here(arguments) if arguments.record else run_child(arguments)


if __name__ == "__main__":
    sys.exit(main())
