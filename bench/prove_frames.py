"""Claim on bad input: any bytes at all are dropped, given back or sent, never a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from bench.lab import ROOT, result

FRAMES = 100_000


def fuzz_short() -> Iterator[dict[str, object]]:
    """A tenth of a million random and mutated frames; `make fuzz` is the long form."""
    words = [sys.executable, str(ROOT / "tools/fuzz.py"), "--frames", str(FRAMES)]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    said = (done.stdout + done.stderr).strip().splitlines()[-1:]
    crashed = int(done.returncode != 0)
    peer = "tools/fuzz.py"
    last = " ".join(said)
    yield result(
        "fuzz-short", crashed, "crashes", "0", peer, not crashed, frames=FRAMES, said=last
    )


CLAIMS = {"fuzz-short": fuzz_short}
TIMELESS = tuple(CLAIMS)
