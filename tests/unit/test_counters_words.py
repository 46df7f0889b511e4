"""The words of `lbfast counters`."""

from __future__ import annotations

import pytest

from lbfast.cli import counters
from tests.fake_balancer import FakeBalancer


def test_each_counter_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert counters.main([], FakeBalancer) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["packets", "sent", "7"], ["dropped", "no-server", str(1 << 40)]]


def test_words_are_refused_and_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert counters.main(["--zero"], FakeBalancer) == 2
    assert "'--zero' unknown" in capsys.readouterr().err
    assert counters.main(["--help"], FakeBalancer) == 0
    assert capsys.readouterr().out.startswith("usage: lbfast counters")
