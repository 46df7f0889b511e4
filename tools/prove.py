"""Measures the claims of the project: one JSON line each, exit 1 unless all hold.

A claim script is bench/prove_*.py with `CLAIMS`, a mapping from a claim's name to a function that
measures it and yields {"claim", "value", "unit", "bound", "peer", "ok"}, once or for each variant.
Without an argument all are measured, else those that are named.  Claims that measure no time
are named in the script's `TIMELESS`: they need not be alone on the machine.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.alone import LockError, alone  # noqa: E402
from bench.others import Watch  # noqa: E402
from bench.say import say  # noqa: E402
from bench.stopping import Stopped, stoppable  # noqa: E402

AGAIN = "measure it again when nothing else runs"
FIELDS = ("claim", "value", "unit", "bound", "peer", "ok")
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """How a claim is measured, and whether it is about time."""

    measure: Callable[[], Iterable[Result]]
    is_timed: bool = True


class ProveError(Exception):
    """An unknown claim, or two of one name."""


def load(folder: Path) -> dict[str, Claim]:
    """Return every claim of the scripts in `folder`, by name."""
    claims: dict[str, Claim] = {}
    for path in sorted(folder.glob("prove_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        twice = claims.keys() & module.CLAIMS.keys()
        if twice:
            raise ProveError(f"{path.name}: {', '.join(sorted(twice))} defined before")
        timeless = getattr(module, "TIMELESS", ())
        for name, run in module.CLAIMS.items():
            claims[name] = Claim(run, is_timed=name not in timeless)
    return claims


def measure(name: str, claim: Claim) -> Iterator[Result]:
    """Yield the claim's results, fields checked; a failure is a result that is not ok.

    `others` in a result: the cores that other processes used since the claim began, on average.
    """
    empty: Result = dict.fromkeys(FIELDS) | {"claim": name, "ok": False}
    count, watch = 0, Watch()
    try:
        for result in claim.measure():
            count += 1
            missing = [field for field in FIELDS if field not in result]
            others = {"others": round(watch.cores(), 2)}
            yield empty | result | others | {"ok": bool(result.get("ok")) and not missing}
        if not count:
            yield empty | {"error": "measured nothing"}
    except Exception as error:  # one claim that cannot be measured must not hide the others
        yield empty | {"error": f"{type(error).__name__}: {error}"}


def choose(claims: dict[str, Claim], names: Sequence[str]) -> dict[str, Claim]:
    """Return all claims, or those that are named; ProveError with the known names."""
    for name in names:
        if name not in claims:
            known = ", ".join(sorted(claims)) or "none yet"
            raise ProveError(f"claim {name!r} unknown; known: {known}")
    return {name: claims[name] for name in names} or claims


def main(arguments: list[str]) -> int:
    try:
        chosen = choose(load(ROOT / "bench"), arguments)
        is_timed = any(claim.is_timed for claim in chosen.values())
        with stoppable(), alone(" ".join(["prove", *arguments])) if is_timed else nullcontext():
            return measure_all(chosen)
    except (ProveError, LockError) as error:
        print(f"prove: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"prove: {stopped}", file=sys.stderr)
        return stopped.status


def measure_all(chosen: dict[str, Claim]) -> int:
    """Print a line for each result; return the status."""
    ok = True
    for name, claim in chosen.items():
        watch = Watch()
        for result in measure(name, claim):
            print(json.dumps(result), flush=True)
            ok = ok and result["ok"]
        if claim.is_timed and (cores := watch.loud()):
            say(f"prove: {name}: others used {cores:.2f} cores meanwhile; {AGAIN}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
