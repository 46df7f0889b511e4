"""Runs the works of the bench house: all, or those named; a table at the end.

    bench.py [--quick] [--only WORD]... [--out DIR] [WORK]...

Each work writes DIR/WORK.json when it is done: bench/results, with --quick build/bench/results.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import plots, rows, table  # noqa: E402
from bench.plan import Plan, Work, all_works, narrowed, unknown_words  # noqa: E402
from bench.say import say  # noqa: E402
from bench.stopping import Stopped, stoppable  # noqa: E402

# what the world does to a work, in a sentence
FAILURES = (OSError, RuntimeError, subprocess.SubprocessError)
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
    if found:
        rows.write(sheet, plan.out)
    over = f", {took - plan.seconds:.0f} s over its share" if took > plan.seconds else ""
    say(f"== {work.name}: {len(found)} rows in {took:.0f} s of {plan.seconds:.0f}{over}")
    return sheet


def run_all(
    chosen: Sequence[Work], args: argparse.Namespace, out: Path
) -> tuple[list[rows.Row], list[str]]:
    """Run works one after another; return their rows, and the works that failed."""
    found: list[rows.Row] = []
    failed = []
    for work in chosen:
        say(f"== {work.name}")
        seconds = work.quick_seconds if args.quick else work.seconds
        try:
            found += measure(work, Plan(args.quick, out, seconds, tuple(args.only))).rows
        except FAILURES as error:
            say(f"{work.name}: {error}")
            failed.append(work.name)
        except Exception:  # a mistake in a work: must not take the others with it
            traceback.print_exc()
            failed.append(work.name)
    return found, failed


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
    if wrong := unknown_words(known.values(), args.only):
        say(f"bench: {wrong}")
        return 2
    chosen, without = narrowed([known[name] for name in args.works or known], args.only)
    if without:
        say(f"bench: left out, no such subject to choose: {', '.join(w.name for w in without)}")
    out = args.out or (QUICK_RESULTS if args.quick else RESULTS)
    found, failed = run_all(chosen, args, out)
    print(table.render(found))
    draw(out)
    say(
        f"bench: {len(found)} rows in {out}" + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed or not found else 0


def stopped_or_done(words: Sequence[str]) -> int:
    """Run main; a signal ends it with a sentence, and leaves nothing running."""
    try:
        with stoppable():
            return main(words)
    except Stopped as stop:
        status, sentence = stop.status, f"bench: {stop}; files of finished works stay"
    say(sentence)  # out of the handler: what the works had open is closed by then
    return status


if __name__ == "__main__":
    sys.exit(stopped_or_done(sys.argv[1:]))
