"""`make bench` as a whole: its folders, what is left standing there, what it says at the end."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from bench import alone, plots, rows
from bench.others import Watch
from bench.plan import Plan, Work
from bench.program import ROOT
from bench.rows import Row
from lbfast.errors import ControlError
from tools import bench as tool

Runner = Callable[[Plan], Iterator[Row]]


def row(metric: str) -> Row:
    return Row(
        work="http", case="new connections", subject="lbfast-dr", metric=metric, unit="us",
        median=1.0, low=1.0, high=1.0, rounds=1,
    )  # fmt: skip


def rate_and_cost(_: Plan) -> Iterator[Row]:
    yield from map(row, ("rate", "cost of balancing"))


def rate_alone(plan: Plan) -> Iterator[Row]:
    plan.lose(["x: haproxy: every turn disturbed"])
    yield row("rate")


def nothing(plan: Plan) -> Iterator[Row]:
    plan.lose(["x: lbfast-dr: every turn disturbed"])
    yield from ()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run a work in a house whose folders are below tmp_path."""
    monkeypatch.setattr(tool, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tool, "QUICK_RESULTS", tmp_path / "quick")
    monkeypatch.setattr(plots, "DOCS", tmp_path / "docs")
    monkeypatch.setenv(alone.VARIABLE, str(tmp_path / "lock"))

    def run(work: Runner, *words: str) -> int:
        known = {"http": Work("http", 9, 9, work, ("lbfast-dr",))}
        monkeypatch.setattr(tool, "all_works", lambda: known)
        return tool.main(words)

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.svg")} if folder.is_dir() else set()


def test_picture_without_rows_is_not_left_beside_newer_results(
    house: Callable[..., int], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    assert house(rate_and_cost, "--out", str(out)) == 0
    assert names(out) == {"bench-requests.svg", "bench-cost.svg"}
    assert house(rate_alone, "--out", str(out)) == 0
    assert names(out) == {"bench-requests.svg"}
    assert house(nothing, "--out", str(out)) == 1
    assert names(out) == {"bench-requests.svg"}  # as is the file of the results


@pytest.mark.parametrize("words", [("--quick",), ("--only", "dr"), ("--out",)])
def test_docs_are_for_whole_runs_alone(
    house: Callable[..., int], tmp_path: Path, words: tuple[str, ...]
) -> None:
    out = [str(tmp_path / "results")] if words == ("--out",) else []
    assert house(rate_and_cost, *words, *out) == 0
    assert not (tmp_path / "docs").exists()
    assert (tmp_path / "results").exists() == bool(out)
    assert house(rate_and_cost) == 0
    assert names(tmp_path / "docs") == {"bench-requests.svg", "bench-cost.svg"}


def test_what_was_left_out_is_printed_at_the_end(
    house: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert house(rate_alone) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "left out of http: x: haproxy: every turn disturbed"


def test_work_of_which_nothing_is_left_has_failed(
    house: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert house(nothing) == 1
    said = capsys.readouterr()
    assert "failed: http\n" in said.err
    assert "left out of http: x: lbfast-dr: every turn disturbed" in said.out


@pytest.mark.parametrize("below", ["file/x", "file"])
def test_folder_that_cannot_be_made_is_refused_before_measuring(
    house: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    def never(_: Plan) -> Iterator[Row]:
        pytest.fail("measured")

    (tmp_path / "file").touch()
    assert house(never, "--out", str(tmp_path / below)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bench: --out {tmp_path / below}: ")
    assert said.endswith("; expected a folder, or a place for one\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--only", "--out"])
def test_empty_words_are_refused_before_measuring(
    house: Callable[..., int], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as end:
        house(rate_alone, option, "")
    assert end.value.code == 2
    assert f"argument {option}: '' is no word" in capsys.readouterr().err


def test_folder_that_takes_no_file_is_refused_before_measuring(
    house: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert house(rate_alone, "--out", "/proc/self") == 2
    assert capsys.readouterr().err.endswith("; expected a folder to write to\n")


def test_a_work_named_twice_is_done_once(house: Callable[..., int], tmp_path: Path) -> None:
    turns = []

    def counted(plan: Plan) -> Iterator[Row]:
        turns.append(plan)
        yield from rate_alone(plan)

    assert house(counted, "http", "http") == 0
    assert len(turns) == 1


def test_results_that_were_cut_short_are_passed_over(
    house: Callable[..., int], tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/lookup.json").write_text('{"work": "look')
    assert house(rate_alone) == 0
    assert names(tmp_path / "docs")


def test_what_the_engine_is_refused_is_said_in_a_sentence(
    house: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: Plan) -> Iterator[Row]:
        raise ControlError("arena bench-1: Permission denied")
        yield

    assert house(refused) == 1
    said = capsys.readouterr().err
    assert "http: arena bench-1: Permission denied\n" in said
    assert "Traceback" not in said


def test_results_name_the_seed(house: Callable[..., int], tmp_path: Path) -> None:
    seeds = []
    for words in ((), (), ("--seed", "7")):
        assert house(rate_alone, *words) == 0
        seeds.append(rows.read(tmp_path / "results/http.json").seed)
    assert seeds[0] != seeds[1]
    assert seeds[2] == 7


def test_rows_beside_the_load_of_others_are_marked_and_told(
    house: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def loud(plan: Plan) -> Iterator[Row]:
        yield from (row("rate"), rows.marked(row("cost of balancing"), 1.5))

    assert house(loud) == 0
    said = capsys.readouterr().out
    cores = rows.this_machine().cores
    assert said.splitlines()[-1] == (
        f"http: no quiet turns for 1 of 2 rows, marked (!): others used up to 1.50 of {cores} "
        "cores meanwhile; run it again when nothing else runs"
    )
    assert said.count("lbfast-dr (!) ") == 1
    assert house(rate_alone) == 0
    assert "(!)" not in capsys.readouterr().out


def test_results_say_what_others_used(
    house: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "cores", lambda _: 0.1234)
    assert house(rate_alone) == 0
    assert rows.read(tmp_path / "results/http.json").machine.others == 0.123


def test_pictures_of_older_results_stay_as_they_are(
    house: Callable[..., int], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    assert house(rate_alone, "--out", str(out)) == 0
    bulk = msgspec.structs.replace(row("rate"), work="bulk")
    older = msgspec.structs.replace(rows.read(out / "http.json"), work="bulk", rows=[bulk])
    rows.write(older, out)
    drawn = plots.draw_all([older], out)
    for path in drawn:
        path.write_text("drawn by an older version")
    assert house(rate_alone, "--out", str(out)) == 0
    assert {path.read_text() for path in drawn} == {"drawn by an older version"}


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_results_that_cannot_be_written_leave_the_older_ones(
    house: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "x"
    assert house(rate_and_cost, "--out", str(out)) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert house(rate_alone, "--out", str(out)) == 1
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    said = capsys.readouterr()
    assert (
        f"bench: {out}/http.json: not written: No space left on device; what was there before "
        "is unchanged\n"
    ) in said.err
    assert said.err.endswith(f"bench: 0 rows in {out}; failed: http\n")
    assert "Traceback" not in said.err
    assert "http: new connections: rate, us" in said.out


def test_figures_that_cannot_be_printed_are_told_and_kept(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tools import bench as tool; "
        "from tests.unit import test_bench_run as t; "
        "work = tool.Work('http', 9, 9, t.rate_alone, ('lbfast-dr',)); "
        "tool.all_works = lambda: {'http': work}; "
        "sys.exit(tool.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", program, "--out", str(tmp_path)]
    with Path("/dev/full").open("w") as full_disk:
        done = subprocess.run(
            words,
            stdout=full_disk,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, alone.VARIABLE: str(tmp_path / "lock")},
        )
    assert done.returncode == 1
    said = "bench: standard output: No space left on device; the figures are not printed\n"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert rows.read(tmp_path / "http.json").rows


def test_lock_that_cannot_be_had_is_a_sentence(
    house: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(alone.VARIABLE, str(tmp_path / "none/lock"))
    assert house(rate_alone) == 2
    assert capsys.readouterr().err == (
        f"bench: lock {tmp_path}/none/lock: No such file or directory; expected a file to write "
        "to\n"
    )
