"""A bench whose disk fills up: a sentence, nothing half-written, and what was there before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import alone, plots
from bench.plan import Plan, Work
from bench.rows import Row, read
from tools import bench as tool

SMALL_KIB = 8  # two pages: a file of results and a new version of it, and no picture


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "disk"
    made.mkdir()
    size = f"size={SMALL_KIB}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "bench-disk", str(made)], check=True)
    yield made
    subprocess.run(["umount", str(made)], check=True)


def run(patch: pytest.MonkeyPatch, out: Path, count: int) -> int:
    """Run a work with so many rows."""

    def work(_: Plan) -> Iterator[Row]:
        for number in range(count):
            yield Row(
                work="http", case=f"case {number}", subject="lbfast-dr", metric="rate",
                unit="requests/s", median=count, low=1.0, high=count + 1, rounds=6,
            )  # fmt: skip

    patch.setattr(tool, "all_works", lambda: {"http": Work("http", 9, 9, work, ("lbfast-dr",))})
    patch.setenv(alone.VARIABLE, str(out.parent / "lock"))
    return tool.main(["--out", str(out)])


def test_full_disk_is_told_and_leaves_what_was_there(
    disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, disk, 1) == 1
    said = capsys.readouterr().err
    assert (
        f"bench: {disk}: pictures not drawn: No space left on device; the results are in {disk}\n"
    ) in said
    assert said.endswith(f"bench: 1 rows in {disk}\n")
    assert [path.name for path in disk.iterdir()] == ["http.json"]

    assert run(monkeypatch, disk, 100) == 1
    said = capsys.readouterr().err
    assert f"bench: {disk}/http.json: not written: No space left on device" in said
    assert "Traceback" not in said
    assert [path.name for path in disk.iterdir()] == ["http.json"]
    assert len(read(disk / "http.json").rows) == 1


def test_picture_that_does_not_fit_leaves_no_half(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older pictures of the same work are no pictures of the new results."""
    for kind in plots.KINDS:
        plots.place(plots.PICTURES[2], kind, disk).touch()
    (disk / "bench-bulk.svg").touch()
    assert run(monkeypatch, disk, 1) == 1
    assert {path.name for path in disk.iterdir()} == {"http.json", "bench-bulk.svg"}
