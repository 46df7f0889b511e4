"""Scenarios recorded from a real kernel with IPVS, played by the data path and the words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lbfast.replay.scenario import run
from tests.conformance.sameness import difference, shares_differ, stripped

REPLAYS = sorted((Path(__file__).parent / "replays").glob("*.json"))


def test_recordings_of_every_kind_are_there() -> None:
    kinds = {json.loads(path.read_text())["kind"] for path in REPLAYS}
    assert kinds == {"sched", "persist", "conn", "state", "expiry", "sysctl", "wire", "cli"}


@pytest.mark.parametrize("path", REPLAYS, ids=lambda path: path.stem)
def test_data_path_does_what_the_kernel_did(path: Path) -> None:
    scenario = json.loads(path.read_text())
    recorded = scenario["events"]
    played = run({**scenario, "events": [stripped(e) for e in recorded]})["events"]
    if scenario.get("compare") == "distribution":
        assert shares_differ(recorded, played) == ""
        return
    for number, (was, now) in enumerate(zip(recorded, played, strict=True)):
        assert difference(was, now) == "", f"event {number}"
