"""Times of the parts of the data path, by pytest-benchmark (bench/parts)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.bench_instructions import FLOWS
from bench.others import beside
from bench.plan import Plan
from bench.program import ROOT
from bench.rows import Row, interval, marked

NAME = "parts"
SECONDS, QUICK_SECONDS = 15.0, 7.0
QUICK = "parse or checksum or dr-v4 or nat-request-v4"


def run(plan: Plan) -> Iterator[Row]:
    """Yield the time of each part a frame; RuntimeError with pytest's words if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "parts.json")
        words = [sys.executable, "-m", "pytest", "-q", str(ROOT / "bench/parts")]
        words += ["--benchmark-enable", "--benchmark-only", f"--benchmark-json={out}"]
        words += ["-k", QUICK] if plan.quick else []
        run_pytest = partial(subprocess.run, words, cwd=ROOT, capture_output=True, text=True)
        done, others = beside(run_pytest)
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-500:])
        found = json.loads(out.read_text())["benchmarks"]
    for each in found:
        times = interval([seconds * 1e9 / FLOWS for seconds in each["stats"]["data"]])
        row = Row(
            work=NAME,
            case=each["name"].removeprefix("test_"),
            subject="lbfast",
            metric="time",
            unit="ns/frame",
            median=times.median,
            low=times.low,
            high=times.high,
            rounds=each["stats"]["rounds"],
        )
        yield marked(row, others)
