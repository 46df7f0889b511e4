"""Runs the works of the bench house: all, or those named; a table at the end.

    bench.py [--quick] [--only WORD]... [--out DIR] [WORK]...

Each work writes DIR/WORK.json when it is done: bench/results, with --quick or --only
build/bench/results.  Only a run of neither, and without --out, draws for docs/.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import plots, rows, table  # noqa: E402
from bench.alone import LockError, alone  # noqa: E402
from bench.others import Watch  # noqa: E402
from bench.plan import Plan, Work, all_works, narrowed, unknown_words  # noqa: E402
from bench.say import FAILURES, say  # noqa: E402
from bench.stopping import Stopped, stoppable  # noqa: E402

RESULTS, QUICK_RESULTS = ROOT / "bench/results", ROOT / "build/bench/results"


def measure(work: Work, plan: Plan) -> rows.Sheet:
    """Run one work to its end; what it raises passes through."""
    machine, watch = rows.this_machine(), Watch()
    found = []
    for row in work.run(plan):
        say(f"  {table.line(row)}")
        found.append(row)
    if not found and not plan.left_out:
        plan.lose([f"everything: no subject of {work.name} has a turn in such a run"])
    took = time.monotonic() - plan.began
    sheet = rows.Sheet(
        work=work.name,
        quick=plan.quick,
        seconds=round(took, 1),
        machine=msgspec.structs.replace(machine, others=round(watch.cores(), 3)),
        rows=found,
        left_out=plan.left_out,
        seed=plan.seed,
    )
    over = f", {took - plan.seconds:.0f} s over its share" if took > plan.seconds else ""
    say(f"== {work.name}: {len(found)} rows in {took:.0f} s of {plan.seconds:.0f}{over}")
    return sheet


def kept(sheet: rows.Sheet, out: Path) -> bool:
    """Write the file of a work that has rows; say why if that cannot be done."""
    try:
        if sheet.rows:
            rows.write(sheet, out)
    except OSError as error:
        path = rows.path_of(sheet.work, out)
        say(f"bench: {path}: not written: {error.strerror}; what was there before is unchanged")
        return False
    return True


def run_all(
    chosen: Sequence[Work], args: argparse.Namespace, out: Path
) -> tuple[list[rows.Sheet], list[str]]:
    """Run works one after another; return what they found, and the works that failed.

    A work of which everything was left out has failed too.
    """
    found: list[rows.Sheet] = []
    failed = []
    for work in chosen:
        say(f"== {work.name}")
        seconds = work.quick_seconds if args.quick else work.seconds
        try:
            plan = Plan(args.quick, out, seconds, tuple(args.only), seed=args.seed)
            found.append(measure(work, plan))
            is_lost = plan.left_out and not found[-1].rows
            failed += [work.name] if is_lost or not kept(found[-1], out) else []
        except FAILURES as error:
            say(f"{work.name}: {error}")
            failed.append(work.name)
        except Exception:  # a mistake in a work: must not take the others with it
            traceback.print_exc()
            failed.append(work.name)
    return found, failed


def draw(out: Path, folder: Path, fresh: Sequence[rows.Sheet]) -> bool:
    """Draw what was just written to `out`; return whether the files could be written.

    Beside the results no picture stays of what `fresh` no longer has.  Those of other works stay
    as they are: their results did.
    """
    files, is_written = list[Path](), True
    try:
        files = plots.draw_all(fresh, folder)
    except ModuleNotFoundError as error:
        say(f"bench: nothing drawn: {error}; pip install 'lbfast[plots]'")
    except OSError as error:
        say(f"bench: {folder}: pictures not drawn: {error.strerror}; the results are in {out}")
        is_written = False
    else:
        say(f"bench: drew {', '.join(path.name for path in files) or 'nothing'}")
    if folder == out:
        plots.remove({sheet.work for sheet in fresh}, folder, but=files)
    return is_written


def unusable(folder: Path) -> str:
    """Make a folder; return a sentence if it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder}: {error.strerror}; expected a folder, or a place for one"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder}: {error.strerror}; expected a folder to write to"
    return ""


def word(text: str) -> str:
    """Return an argument; argparse says of an empty one that it is invalid."""
    if not text:
        raise argparse.ArgumentTypeError("'' is no word")
    return text


def place(text: str) -> Path:
    return Path(word(text))


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; `seed` is the system's unless it is given."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure.")
    parser.add_argument("works", nargs="*", metavar="WORK", help="all without one")
    parser.add_argument("--quick", action="store_true", help="coarse figures, under two minutes")
    parser.add_argument(
        "--only", action="append", type=word, default=[], help="subjects with this word"
    )
    parser.add_argument("--out", type=place, help="the folder of the results")
    parser.add_argument("--seed", type=int, help="have the order of turns of an earlier run again")
    args = parser.parse_args(words)
    args.seed = secrets.randbits(32) if args.seed is None else args.seed
    return args


def main(words: Sequence[str]) -> int:
    args = parsed(words)
    known = all_works()
    if unknown := [name for name in args.works if name not in known]:
        say(f"bench: no work called {', '.join(unknown)}; known: {', '.join(known)}")
        return 2
    if wrong := unknown_words(known.values(), args.only):
        say(f"bench: {wrong}")
        return 2
    chosen, without = narrowed(
        [known[name] for name in dict.fromkeys(args.works or known)], args.only
    )
    if without:
        say(f"bench: left out, no such subject to choose: {', '.join(w.name for w in without)}")
    out = args.out or (QUICK_RESULTS if args.quick or args.only else RESULTS)
    if sentence := unusable(out):
        say(f"bench: --out {sentence}")
        return 2
    try:
        with alone(" ".join(["bench", *words])):
            sheets, failed = run_all(chosen, args, out)
            return report(sheets, failed, out, plots.DOCS if out is RESULTS else out)
    except LockError as error:
        say(f"bench: {error}")
        return 2


def report(sheets: Sequence[rows.Sheet], failed: Sequence[str], out: Path, folder: Path) -> int:
    """Print and draw what was found, and what was not; return the status."""
    found = [row for sheet in sheets for row in sheet.rows]
    is_told = printed("\n".join([table.render(found), *remarks(sheets)]))
    fresh = [sheet for sheet in sheets if sheet.rows and sheet.work not in failed]
    is_drawn = draw(out, folder, fresh) if fresh else True
    count = sum(len(sheet.rows) for sheet in fresh)
    say(f"bench: {count} rows in {out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 0 if fresh and not failed and is_told and is_drawn else 1


def remarks(sheets: Sequence[rows.Sheet]) -> Iterator[str]:
    """Yield a sentence on each work that found no quiet turns, and on all that was left out."""
    for sheet in sheets:
        if loud := [row.others for row in sheet.rows if row.others]:
            yield (
                f"{sheet.work}: no quiet turns for {len(loud)} of {len(sheet.rows)} rows, marked "
                f"{table.MARK.strip()}: others used up to {max(loud):.2f} of "
                f"{sheet.machine.cores} cores meanwhile; run it again when nothing else runs"
            )
        for what in sheet.left_out:
            yield f"left out of {sheet.work}: {what}"


def printed(text: str) -> bool:
    """Print the figures; say why if standard output takes no more."""
    try:
        print(text, flush=True)
    except OSError as error:
        say(f"bench: standard output: {error.strerror}; the figures are not printed")
        return False
    return True


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
