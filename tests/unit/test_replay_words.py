"""`lbfast replay`: a scenario that is none is answered by one sentence."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from lbfast.cli.main import main


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ([], "standard input: no scenario, expected an object with a list of events"),
        ({"events": 3}, "standard input: no scenario, expected an object with a list of events"),
        ({"events": [["frob"]]}, "event 'frob' unknown, expected one of cmd, pkt,"),
        ({"events": [3]}, "scenario, event 1: "),
        ({"events": [[]]}, "scenario, event 1: "),
        ({"events": [[[]]]}, "scenario, event 1: "),
        ({"events": [["wait", 1], ["wait"]]}, "scenario, event 2: "),
        ({"events": [["wait", "x"]]}, "scenario, event 1: "),
        ({"events": [["wait", 1e400]]}, "scenario, event 1: "),
        ({"events": [["cmd", 3]]}, "scenario, event 1: "),
        ({"events": [["wire", "client", "xyz"]]}, "scenario, event 1: "),
        (
            {"events": [["pkt", "tcp", "10.1.0.1:99999", "10.9.0.1:80", "S", ""]]},
            "scenario, event",
        ),
        ({"events": [["pkt", "tcp", "here", "there", "S", ""]]}, "scenario, event 1: "),
        ({"events": [["sysctl", "frob", 1]]}, "sysctl frob: "),
        ({"events": [], "mtu": "x"}, "scenario, its beginning: "),
        ({"events": [], "marks": [{}]}, "scenario, its beginning: "),
        ({"events": [], "sysctl": 3}, "scenario, its beginning: "),
    ],
)
def test_scenario_that_is_none_is_told(
    scenario: Any,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(scenario)))
    assert main(["lbfast", "replay"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"lbfast: {sentence}")
    assert said.err.count("\n") == 1
