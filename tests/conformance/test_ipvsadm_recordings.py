"""What the real ipvsadm said, line for line: the recordings beside this file.

Packets are left out, so what shows traffic is compared only before the first one.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_balancer import FakeBalancer
from tests.ipvsadm_face import Face, FakeNames

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.json"))


def is_about_traffic(words: list[str]) -> bool:
    """Says whether a command prints what packets have done."""
    lists = words[0].startswith(("-L", "-l", "--list")) if words else True
    return lists and not {"--timeout", "--daemon"} & set(words)


def failures(scenario: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each command that answers otherwise than recorded."""
    balancer = FakeBalancer(interfaces=scenario.get("interfaces", ("d0", "d1")))
    names = FakeNames(scenario.get("hosts", {}), scenario.get("services", [["http", 80, "tcp"]]))
    face = Face(balancer, names)
    is_untouched = True
    for number, event in enumerate(scenario["events"]):
        is_untouched = is_untouched and event[0] not in ("pkt", "rpl", "wire")
        if event[0] != "cmd":
            continue
        words, status, output, error, stdin, shape = (event[1:] + [""] * 5)[:6]
        words = shlex.split(words) if isinstance(words, str) else words
        result = face(words, stdin or "")
        is_exact = not shape and (is_untouched or not is_about_traffic(words))
        got = (result.status, result.output if is_exact else None, result.error)
        wanted = (status, output if is_exact else None, error)
        if got != wanted:
            yield f"{number}: {words}: {got}, recorded {wanted}"


@pytest.mark.covers("C-340", "C-341", "C-343", "C-344", "C-345", "C-346", "C-347", "C-373")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_commands_answer_as_recorded(path: Path) -> None:
    assert list(failures(json.loads(path.read_text()))) == []
