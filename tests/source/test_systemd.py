"""The units of systemd: what they call is there, and systemd understands them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lbfast.cli.main import WORDS

UNITS = sorted(Path("packaging/systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_unit_calls_words_that_exist(unit: Path) -> None:
    called = re.findall(r"^Exec\w+=/usr/bin/lbfast (\w+)", unit.read_text(), re.MULTILINE)
    assert set(called) <= set(WORDS)
    assert called or unit.name == "lbfast-rules.service"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong_but_missing_programs(unit: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [verify, "verify", *map(str, UNITS)], capture_output=True, text=True, check=False
    )
    complaints = [
        line
        for line in done.stderr.splitlines()
        if unit.name in line and "is not executable" not in line
    ]
    assert not complaints
