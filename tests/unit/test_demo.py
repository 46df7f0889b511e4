"""The demo's judgement: what is right, what is promised, what is missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from lbfast.demos import picture
from lbfast.demos.scene import PROGRAMS, WEIGHTS, Plot, missing_programs
from lbfast.demos.traffic import Download, judge, promised, settled_stats
from netns import basic

EVEN = dict.fromkeys(basic.REAL_SERVERS, 1)


def page(host: str, client: str = "10.1.0.11", server: str = "10.2.0.100") -> str:
    return f"{host} {client} 40000 {server} 80"


@pytest.mark.parametrize(
    ("weights", "requests", "shares"),
    [
        pytest.param(EVEN, 12, {"rs1": 4, "rs2": 4, "rs3": 4}, id="rr is even"),
        pytest.param(WEIGHTS, 12, {"rs1": 6, "rs2": 4, "rs3": 2}, id="wrr goes by weight"),
    ],
)
def test_promise_of_a_scheduler(
    weights: dict[str, int], requests: int, shares: dict[str, int]
) -> None:
    assert promised(weights, requests) == shares


def test_even_right_answers_are_right() -> None:
    pages = [("client1", page(host)) for host in basic.REAL_SERVERS]
    assert judge(Plot("dr", 4), "rr", EVEN, pages).is_right


@pytest.mark.parametrize(
    ("method", "answer", "sentence"),
    [
        pytest.param("dr", page("rs1", client="10.2.0.2"), "rs1 saw 10.2.0.2", id="client lost"),
        pytest.param("dr", page("rs1", server="10.2.0.11"), "asked as 10.2.0.11", id="VIP lost"),
        pytest.param("nat", page("rs1"), "asked as 10.2.0.100", id="VIP kept by NAT"),
        pytest.param("tun", "curl: (7) refused", "answered 'curl: (7) refused'", id="no answer"),
        pytest.param("tun", "", "answered ''", id="nothing"),
        pytest.param("tun", page("director"), "answered 'director", id="the host answered"),
    ],
)
def test_wrong_answer_is_told(method: str, answer: str, sentence: str) -> None:
    spread = judge(Plot(method, 4), "rr", EVEN, [("client1", answer)] * 3)
    assert not spread.is_right
    assert sentence in spread.wrong[0]


def test_uneven_shares_are_not_right() -> None:
    spread = judge(Plot("dr", 4), "rr", EVEN, [("client1", page("rs1"))] * 3)
    assert spread.wrong == ()
    assert not spread.is_right
    assert spread.counts == {"rs1": 3, "rs2": 0, "rs3": 0}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", basic.METHODS)
def test_picture_names_every_address(method: str, family: int) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(picture.topology(Plot(method, family)))
    shown = console.export_text()
    addresses = [basic.rip(method, name, family) for name in basic.REAL_SERVERS]
    for address in (*addresses, basic.VIP[family], Plot(method, family).client("client2")):
        assert address in shown
    lengths = {len(line) for line in shown.splitlines()}
    assert len(lengths) == 1, "the frame is straight"


def test_picture_of_a_wrong_spread_says_what_was_promised() -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(picture.spread(judge(Plot("dr", 4), "rr", EVEN, [("client1", page("rs1"))] * 3)))
    shown = console.export_text()
    assert "3 requests, rr: wrong" in shown
    assert "promised 1" in shown


def test_download_of_another_hash_is_told() -> None:
    text = picture.download(Download(100_000_000, 0.5, False)).plain
    assert text == "download: 100 MB in 0.50 s, 1,600 Mb/s, another SHA-256"


def test_missing_programs_are_named(tmp_path: Path) -> None:
    assert missing_programs(str(tmp_path)) == list(PROGRAMS)
    for name in PROGRAMS:
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "nginx").unlink()
    assert missing_programs(str(tmp_path)) == ["nginx"]


class Lagging:
    """A scene whose listing is late: each exact one is a row further."""

    def __init__(self, method: str, *rows: str) -> None:
        self.plot = Plot(method, 4)
        self.rows = [f"TCP  10.2.0.100:80 {row}\n  -> 10.3.0.11:80 {row}\n" for row in rows]
        self.exact = 0

    def ipvsadm(self, *words: str) -> str:
        if "--exact" in words:
            self.exact += 1
            return self.rows[self.exact - 1]
        return f"shown after {self.exact}"


@pytest.mark.parametrize(
    ("method", "looks"), [("nat", 3), ("dr", 2)], ids=["NAT waits for the bytes", "DR has none"]
)
def test_listing_is_shown_once_it_has_all_that_was_done(method: str, looks: int) -> None:
    rows = ("120 9 9 9 9", "121 9 9 9 1000", "121 9 9 9 5000")
    scene = Lagging(method, *rows)
    assert settled_stats(scene, 121, Download(5000, 1.0, True)) == f"shown after {looks}"
