"""The results of the bench house as table and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import plots, table
from bench.rows import Interval, Machine, Row, Sheet


def row(subject: str, median: float, case: str = "new connections", **more: object) -> Row:
    fields = {"work": "http", "metric": "rate", "unit": "requests/s", "rounds": 7, "family": 4}
    fields |= {"low": median * 0.9, "high": median * 1.1, "case": case, **more}
    return Row(subject=subject, median=median, **fields)  # type: ignore[arg-type]


ROWS = [
    row("none", 5000.0),
    row("lbfast-nat", 4000.0, ratios={"haproxy": Interval(2.0, 1.9, 2.125)}),
    row("haproxy", 2000.0, remark="1 of 8 turns disturbed, not counted"),
    row("lbfast-nat", 20000.0, "kept connections"),
]


def sheet(rows: list[Row], quick: bool = False, **machine: object) -> Sheet:
    fields = {"kernel": "6.1", "cores": 2, "processor": "any", "load": 0.5, **machine}
    fields = {"began": "2026-11-21T20:55Z", "lbfast": "69621da", **fields}
    where = Machine(**fields)  # type: ignore[arg-type]
    return Sheet(work=rows[0].work, quick=quick, seconds=1.0, machine=where, rows=rows)


def test_same_rows_give_the_same_svg(tmp_path: Path) -> None:
    files = [plots.draw_all([sheet(ROWS)], tmp_path / name) for name in ("a", "b")]
    assert [path.name for path in files[0]] == ["bench-requests.svg", "bench-requests.png"]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    assert files[0][1].stat().st_size < 100_000


def test_picture_names_every_subject_and_panel(tmp_path: Path) -> None:
    text = plots.draw_all([sheet(ROWS)], tmp_path)[0].read_text()
    for words in ("none", "lbfast-nat", "haproxy", "new connections, IPv4", "requests/s"):
        assert f">{words}</text>" in text


def test_lookup_is_drawn_over_the_number_of_connections(tmp_path: Path) -> None:
    found = [
        row("lbfast", ns, f"{n:,} connections", work="lookup", metric="lookup", unit="ns")
        for n, ns in ((1_000_000, 90.0), (1_000, 30.0))
    ]
    assert [path.name for path in plots.draw_all([sheet(found)], tmp_path)] == [
        "bench-lookup.svg",
        "bench-lookup.png",
    ]
    assert plots.number_of(found[0].case) == 1_000_000
    with pytest.raises(ValueError, match="expected a number at its beginning"):
        plots.number_of("all connections")


@pytest.mark.parametrize("is_line", [False, True], ids=["bars", "lines"])
def test_picture_marks_what_was_measured_beside_the_load_of_others(
    tmp_path: Path, is_line: bool
) -> None:
    work = {"work": "lookup", "metric": "lookup"} if is_line else {}
    found = [row("haproxy", 2.0, "1,000 connections", **work)]
    found += [row("lbfast", 2.0, f"{n} connections", others=n / 10, **work) for n in (0, 15)]
    text = plots.draw_all([sheet(found)], tmp_path)[0].read_text()
    assert ">lbfast (!)</text>" in text
    assert ">haproxy</text>" in text


def test_table_sets_figures_beside_the_peers() -> None:
    text = table.render(ROWS)
    assert "http: new connections, IPv4: rate, requests/s" in text
    assert "/ haproxy" in text
    assert "2.00 (1.90-2.12)" in text
    assert "1 of 8 turns disturbed" in text
    assert text.count("rate, requests/s") == 2  # a table for each case


def test_line_names_the_peers_only() -> None:
    shown = row("lbfast-nat", 1.0, ratios={p: Interval(1, 1, 1) for p in ("none", "haproxy")})
    assert "of haproxy" in table.line(shown)
    assert "of none" not in table.line(shown)


def test_case_in_brackets_is_shown() -> None:
    text = table.render([row("lbfast", 1.0, f"transmit[{name}]") for name in ("dr-v4", "tun-v6")])
    assert "http: transmit[dr-v4], IPv4: rate" in text
    assert "http: transmit[tun-v6], IPv4: rate" in text


def test_one_round_has_no_interval() -> None:
    ratios = {"haproxy": Interval(2.0, 2.0, 2.0)}
    for rounds, shown in ((1, False), (2, True)):
        found = row("lbfast", 15.3, rounds=rounds, low=15.3, high=15.3, ratios=ratios)
        assert ("15.3 to 15.3" in table.render([found])) == shown
        assert ("(2.00-2.00)" in table.render([found])) == shown
        assert ("15.3 to 15.3" in table.line(found)) == shown
        assert ("2.000 to 2.000" in table.line(found)) == shown


@pytest.mark.parametrize(
    ("rounds", "heading"),
    [
        ((5, 2), "min to max"),
        ((6, 25), "95 % interval"),
        ((6, 5), "95 % interval; of < 6 rounds min to max"),
    ],
)
def test_interval_is_called_so_from_six_rounds_on(rounds: tuple[int, int], heading: str) -> None:
    found = [row(f"lbfast-{n}", 1.0, rounds=n) for n in rounds]
    columns = table.render(found).splitlines()[1]
    assert " ".join(columns.split()) == f"subject rounds median {heading}"
    assert [line.split()[:2] for line in table.render(found).splitlines()[2:4]] == [
        [f"lbfast-{n}", str(n)] for n in rounds
    ]


def test_pictures_of_a_work_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("requests", "cost", "bulk"):
        (tmp_path / f"bench-{name}.svg").touch()
        (tmp_path / f"bench-{name}.png").touch()
    plots.remove({"http"}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"bench-bulk.svg", "bench-bulk.png"}


@pytest.mark.parametrize(
    ("quick", "machine", "words"),
    [
        pytest.param(False, {}, "lbfast 69621da, 2026-11-21T20:55Z", id="commit and time"),
        pytest.param(
            True, {}, "lbfast 69621da, 2026-11-21T20:55Z, coarsely (--quick)", id="coarse"
        ),
        pytest.param(
            False,
            {"others": 0.5},
            "lbfast 69621da, 2026-11-21T20:55Z, others used 0.50 of 2 cores",
            id="beside others",
        ),
        pytest.param(False, {"others": 0.01}, "lbfast 69621da, 2026-11-21T20:55Z", id="quiet"),
    ],
)
def test_picture_says_what_was_measured_and_when(
    tmp_path: Path, quick: bool, machine: dict[str, object], words: str
) -> None:
    text = plots.draw_all([sheet(ROWS, quick, **machine)], tmp_path)[0].read_text()
    assert f">{words}</text>" in text
