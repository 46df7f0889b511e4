"""Runs the benches: every bench/bench_*.py, or those whose name contains an argument.

Each is a script for one question whose last line is its figure, `name value unit`; this repeats
the figures at the end and exits 1 if a script failed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(script: Path) -> str | None:
    """Run one bench with its output passed on; return its last line, None if it failed."""
    last = ""
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return last if process.returncode == 0 else None


def main(words: list[str]) -> int:
    scripts = sorted((ROOT / "bench").glob("bench_*.py"))
    chosen = [path for path in scripts if all(word in path.stem for word in words)]
    if not chosen:
        print(f"bench: none called {' '.join(words)!r}; known:", file=sys.stderr)
        print(*(f"  {path.stem}" for path in scripts), sep="\n", file=sys.stderr)
        return 2
    figures = {}
    for script in chosen:
        print(f"== {script.stem}", flush=True)
        figures[script.stem] = run(script)
    print("== figures")
    for name, figure in figures.items():
        print(figure if figure is not None else f"{name} failed")
    return 1 if None in figures.values() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
