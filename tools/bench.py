"""Runs the works of the bench house: all, or those named; a table at the end.

    bench.py [--quick] [--only WORD]... [--out DIR] [WORK]...

Each work writes DIR/WORK.json when it is done: bench/results, with --quick build/bench/results.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import plots, rows, table  # noqa: E402
from bench.plan import Plan, Work, all_works  # noqa: E402
from bench.say import say  # noqa: E402

RESULTS, QUICK_RESULTS = ROOT / "bench/results", ROOT / "build/bench/results"


def measure(work: Work, plan: Plan) -> rows.Sheet:
    """Run one work to its end and write its file; what it raises passes through."""
    machine = rows.this_machine()
    found = []
    for row in work.run(plan):
        say(f"  {table.line(row)}")
        found.append(row)
    took = time.monotonic() - plan.began
    sheet = rows.Sheet(
        work=work.name,
        quick=plan.quick,
        seconds=round(took, 1),
        machine=machine,
        rows=found,
        left_out=plan.left_out,
    )
    rows.write(sheet, plan.out)
    over = f", {took - plan.seconds:.0f} s over its share" if took > plan.seconds else ""
    say(f"== {work.name}: {len(found)} rows in {took:.0f} s of {plan.seconds:.0f}{over}")
    return sheet


def run_all(chosen: Sequence[Work], args: argparse.Namespace, out: Path) -> tuple[int, list[str]]:
    """Run works one after another; return how many rows there are, and the works that failed."""
    count, failed = 0, []
    for work in chosen:
        say(f"== {work.name}")
        seconds = work.quick_seconds if args.quick else work.seconds
        try:
            count += len(measure(work, Plan(args.quick, out, seconds, tuple(args.only))).rows)
        except Exception:  # one work that cannot be measured must not take the others with it
            traceback.print_exc()
            failed.append(work.name)
    return count, failed


def draw(out: Path) -> None:
    """Draw what the folder of the results holds: theirs for docs/, others beside themselves."""
    found = [row for sheet in rows.read_all(out) for row in sheet.rows]
    try:
        files = plots.draw_all(found, plots.DOCS if out == RESULTS else out)
    except ModuleNotFoundError as error:
        say(f"bench: nothing drawn: {error}; pip install 'lbfast[plots]'")
    else:
        say(f"bench: drew {', '.join(path.name for path in files) or 'nothing'}")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure.")
    parser.add_argument("works", nargs="*", metavar="WORK", help="all without one")
    parser.add_argument("--quick", action="store_true", help="coarse figures, under two minutes")
    parser.add_argument("--only", action="append", default=[], help="subjects with this word")
    parser.add_argument("--out", type=Path, help="the folder of the results")
    args = parser.parse_args(words)
    known = all_works()
    if unknown := [name for name in args.works if name not in known]:
        say(f"bench: no work called {', '.join(unknown)}; known: {', '.join(known)}")
        return 2
    chosen = [known[name] for name in args.works or known]
    out = args.out or (QUICK_RESULTS if args.quick else RESULTS)
    count, failed = run_all(chosen, args, out)
    sheets = [s for s in rows.read_all(out) if s.work in {work.name for work in chosen}]
    print(table.render([row for sheet in sheets for row in sheet.rows]))
    draw(out)
    say(f"bench: {count} rows in {out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
