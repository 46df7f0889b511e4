"""What is said of a process that ended before it was ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbfast.selfcall import COMMAND
from netns.process import Process, signal_name, title


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("kill -BUS $$", "sh was killed by SIGBUS, nothing on stderr"),
        ("echo bad luck >&2; exit 3", "sh ended with 3: bad luck"),
    ],
    ids=["by a signal, silent", "by itself, with words"],
)
def test_end_before_the_line_is_said(script: str, sentence: str, tmp_path: Path) -> None:
    process = Process(["sh", "-c", script], tmp_path / "it")
    with pytest.raises(RuntimeError) as caught:
        process.wait_for_line("ready", 10)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ([*COMMAND, "run", "--workers", "2"], "lbfast run"),
        (["ip", "netns", "exec", "lb1-director", *COMMAND, "run"], "lbfast run"),
        (["taskset", "-c", "0", "/build/generate", "flood", "l0"], "generate flood"),
        (["nginx", "-c", "/etc/nginx.conf"], "nginx"),
    ],
    ids=["lbfast", "in a namespace", "held to a core", "with an option"],
)
def test_title_leaves_out_what_starts_it(argv: list[str], name: str) -> None:
    assert title(argv) == name


def test_signal_without_a_name_has_its_number() -> None:
    assert (signal_name(7), signal_name(40)) == ("SIGBUS", "signal 40")
