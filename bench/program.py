"""The benches' own programs in C, and where a program runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def program(name: str) -> str:
    """Compile bench/`name`.c if it changed; return the path of the program."""
    source, made = ROOT / "bench" / f"{name}.c", ROOT / "build" / "bench" / name
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        made.parent.mkdir(parents=True, exist_ok=True)
        fresh = made.with_name(f".{name}.{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(fresh), str(source)], check=True)
        fresh.replace(made)
    return str(made)


def core(number: int) -> int:
    """Return one of the cores that we may use, counted from 0 and again from the first."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % len(cores)]


def pinned(number: int, words: Sequence[str]) -> list[str]:
    """Return `words` as a command that stays on one core, where there is more than one."""
    return ["taskset", "-c", str(core(number)), *words]
