"""`lbfast bench reflector`: what it is told wrongly is answered in one sentence."""

from __future__ import annotations

import pytest

from lbfast import bench
from lbfast.errors import ControlError


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("lo",), "the following arguments are required: INTERFACE, SECONDS"),
        (("lo", "lo", "1"), "interface lo twice, expected two different ones"),
        (("lo", "l1", "0"), "SECONDS: '0' is no number above 0 up to 86400"),
        (("lo", "l1", "nan"), "SECONDS: 'nan' is no number above 0 up to 86400"),
        (("lo", "l1", "l2"), "SECONDS: 'l2' is no number above 0 up to 86400"),
    ],
)
def test_words_that_are_refused(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.main(["reflector", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"lbfast bench reflector: {sentence}\n"


def test_kind_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main([])
    sentence = "lbfast bench: the following arguments are required: KIND\n"
    assert capsys.readouterr().err == sentence


def test_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(ControlError, match="interface none-such: no such interface"):
        bench.main(["reflector", "none-such", "lo", "1"])
