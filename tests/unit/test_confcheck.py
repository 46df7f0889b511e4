"""What `lbfast check` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbfast.cli.confcheck import main


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"virtual_server_\xf6\xff 10.1.1.1 80 {\n}\n", r"_\xf6\xff"),
        (b"virtual_server 10.1.1.\xc3\xb6 80 {\n}\n", "\xf6"),
        (rb"virtual_server_\udcf6 10.1.1.1 80 {" + b"\n}\n", r"\\udcf6"),
    ],
)
def test_bytes_that_are_no_utf8_are_shown_as_such(
    written: bytes, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_bytes(written)
    main([str(file)])
    said = capsys.readouterr().out
    assert shown in said
    assert r"\udcff" not in said
    said.encode()  # every terminal takes it
