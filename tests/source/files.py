"""The files that the rules of the source are about: what git knows, and what it would add."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked() -> list[Path]:
    """Return every file of the project, relative to its root, that exists."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = sorted({Path(name) for name in listing.split("\0") if name})
    return [path for path in paths if (ROOT / path).is_file()]


def with_suffix(*suffixes: str) -> list[Path]:
    """Return the tracked files whose name ends in one of `suffixes`."""
    return [path for path in tracked() if path.suffix in suffixes]


def text(path: Path) -> str:
    """Return the text of a tracked file."""
    return (ROOT / path).read_text(encoding="utf-8")
