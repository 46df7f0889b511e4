"""Exit statuses of broken files, as `keepalived -t` of 2.2.7 gave them.

`statuses.tsv` has one row for each seed of `tests.mutation`: keepalived's status, ours, and the
reason where they differ: what keepalived does there is a quirk that is not copied.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.mutation import WHOLE, mutated
from tests.unit.config_host import MemoryHost, complaints, read

ROWS = Path(__file__).parents[1] / "conformance/keepalived/statuses.tsv"
INTERFACES = frozenset(("lo", "eth0", "eth1", "eth2", "eth3"))


def rows() -> list[dict[str, str]]:
    with ROWS.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def host() -> MemoryHost:
    return MemoryHost(interfaces=INTERFACES, name="vm")


@pytest.mark.covers("CFG-11")
def test_whole_configuration_is_clean() -> None:
    loaded = read(WHOLE.read_text(), host())
    assert complaints(loaded) == []
    assert loaded.findings.exit_status() == 0


@pytest.mark.covers("CFG-01", "CFG-05", "CFG-06", "CFG-11")
def test_broken_file_ends_with_keepalived_s_status() -> None:
    wrong = []
    for row in rows():
        status = read(mutated(int(row["seed"])), host()).findings.exit_status()
        if status != int(row["lbfast"]):
            wrong.append((row["seed"], row["keepalived"], status))
    assert not wrong


def test_most_statuses_are_keepalived_s_own_and_others_have_a_reason() -> None:
    found = rows()
    differing = [row for row in found if row["keepalived"] != row["lbfast"]]
    assert len(differing) * 40 <= len(found)
    assert all(row["reason"] for row in differing)


def test_every_complaint_has_a_place_and_an_expectation() -> None:
    for seed in range(1, 101):
        for finding in read(mutated(seed), host()).findings:
            assert finding.found
            assert finding.expected
            assert finding.place.line >= 0
            assert finding.place.file
