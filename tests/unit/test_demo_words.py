"""`lbfast demo`: numbers that it does not take, each in a sentence with option and value."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from lbfast import demo


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--requests", "13"), "--requests 13: expected a multiple of 12"),
        (("--requests", "0"), "--requests 0: expected a multiple of 12"),
        (("--size", "0"), "--size 0: expected 1 to 10000 (MB)"),
        (("--size", "10001"), "--size 10001: expected 1 to 10000 (MB)"),
        (("--size", "501"), "--size 501: 1002 MB needed in "),
    ],
)
def test_number_is_refused(
    words: tuple[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = SimpleNamespace(free=1_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(demo, "_obstacle", lambda: "not to be played")
    with pytest.raises(SystemExit) as caught:
        demo.main(words)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_number_that_fits_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000_000))
    monkeypatch.setattr(demo, "_obstacle", lambda: "not to be played")
    assert demo.main(["--requests", "24", "--size", "500"]) == 2
    assert "not to be played" in capsys.readouterr().err
