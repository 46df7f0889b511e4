"""Every command of lbfast answers wrong words by one sentence of its own, and status 2."""

from __future__ import annotations

import pytest

from lbfast.cli.main import main
from lbfast.words import USAGE_STATUS


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("frob", "lbfast: unknown word 'frob', known: run, check,"),
        ("run --frob", "lbfast run: unrecognized arguments: --frob"),
        ("run --workers 17", "lbfast run: --workers: '17' is no number from 1 to 16"),
        ("run --rx-usecs -1", "lbfast run: --rx-usecs: '-1' is no number from 0 to 900"),
        ("run --toa maybe", "lbfast run: --toa: invalid choice: 'maybe' (choose from 'off',"),
        ("run -f", "lbfast run: -f/--use-file: expected one argument"),
        ("check -x", "lbfast check: unrecognized arguments: -x"),
        ("mark frob", "lbfast mark: 'frob' unknown, expected add,"),
        ("sysctl -x", "lbfast sysctl: '-x' unknown, expected -a, -n or -w"),
        ("counters all", "lbfast counters: 'all' unknown, expected no words"),
        ("replay FILE", "lbfast replay: 'FILE' unknown, expected a scenario as input alone"),
        ("realserver raise", "lbfast realserver: add|del|status: invalid choice: 'raise'"),
        ("realserver add here", "lbfast realserver: 'here' is no address, expected IPv4"),
        ("demo --family 5", "lbfast demo: --family: invalid choice: '5'"),
        ("demo --requests 7", "lbfast demo: --requests 7: expected a multiple of 12"),
        ("bench", "lbfast bench: the following arguments are required: KIND"),
    ],
)
def test_wrong_words_are_answered_by_one_sentence(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: int | str | None = main(["lbfast", *line.split()])
    except SystemExit as ended:
        status = ended.code
    assert status == USAGE_STATUS
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "word", ["run", "check", "mark", "sysctl", "counters", "replay", "realserver", "demo", "bench"]
)
def test_help_of_each_word_is_given(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: int | str | None = main(["lbfast", word, "--help"])
    except SystemExit as ended:
        status = ended.code
    assert status == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: lbfast {word}")
    assert said.err == ""


def test_endless_word_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lbfast", "counters", "x" * 100_000]) == USAGE_STATUS
    said = capsys.readouterr().err
    assert said.startswith("lbfast counters: 'xxx")
    assert said.endswith("xxx' unknown, expected no words\n")
    assert len(said) < 500
