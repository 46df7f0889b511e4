"""`lbfast genhash`: genhash's words and output."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lbfast.check.genhash import dump
from lbfast.cli.main import main

BODY = b"<html>ok</html>"
PAGE = b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + BODY


@contextmanager
def server(answer: bytes, asked: list[bytes]) -> Iterator[str]:
    """Answer one request; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as peer:
            asked.append(peer.recv(65536))
            peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield str(listener.getsockname()[1])
    thread.join()
    listener.close()


def genhash(*words: str) -> int:
    return main(["lbfast", "genhash", "-s", "127.0.0.1", *words])


def test_prints_the_md5_of_the_body(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bytes] = []
    with server(PAGE, asked) as port:
        assert genhash("-p", port, "-u", "/a b") == 0
    assert capsys.readouterr().out == hashlib.md5(BODY).hexdigest() + "\n"
    assert asked == [
        b"GET /a b HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\n"
        b"Host: 127.0.0.1:%s\r\n\r\n" % port.encode()
    ]


def test_takes_long_words_virtual_host_and_protocol() -> None:
    asked: list[bytes] = []
    with server(PAGE, asked) as port:
        words = ["--server", "127.0.0.1", "--port", port, "--url", "/", "--protocol", "1.1"]
        assert main(["genhash", *words, "--use-virtualhost", "www.example"]) == 0
    assert asked[0].startswith(b"GET / HTTP/1.1\r\n")
    assert b"Connection: close\r\nHost: www.example\r\n" in asked[0]


def test_verbose_shows_header_body_digest_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    with server(PAGE, []) as port:
        genhash("-p", port, "-u", "/", "-v")
    shown = capsys.readouterr().out
    row = "\n0000  3c 68 74 6d 6c 3e 6f 6b - 3c 2f 68 74 6d 6c 3e      <html>ok</html> \n"
    assert row in shown
    assert f"resulting ]-----------------------\n{hashlib.md5(BODY).hexdigest()}\n\n" in shown
    assert "\nServer: x" in shown
    assert "Global response time for [/] = " in shown


def test_dump_of_a_row() -> None:
    row = "0000  00 01 02 03 04 05 06 07 - 08 09 0a 0b 0c 0d 0e 0f   ................\n"
    assert dump(bytes(range(16))) == row
    assert dump(b"") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: -s/--server, -p/--port, -u/--url"),
        (["-s", "x", "-p", "1", "-u", "/"], "'x' is no IP address"),
        (["-s", "::1", "-p", "70000", "-u", "/"], "'70000' is no port"),
        (["-s", "::1", "-p", "1", "-u", "/", "-P", "2"], "invalid choice: '2'"),
        (["-s", "::1", "-p", "1", "-u", "/", "-m", "4294967296"], "no mark from 0 to 4294967295"),
        (["-s", "::1", "-p", "1", "-u", "/", "-m", "-1"], "no mark from 0 to 4294967295"),
        (["-s", "::1", "-p", "1", "-u", "/", "-t", "nan"], "no number above 0 up to 86400"),
        (["-s", "::1", "-p", "1", "-u", "/", "-t", "0"], "no number above 0 up to 86400"),
    ],
)
def test_wrong_words_end_with_1(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lbfast", "genhash", *words])
    assert ended.value.code == 1
    assert said in capsys.readouterr().err


def test_page_that_cannot_be_had_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    assert genhash("-p", port, "-u", "/") == 1
    with server(b"garbage", []) as port:
        assert genhash("-p", port, "-u", "/") == 1
    assert genhash("-p", port, "-u", "/", "-I") == 1
    refused, garbage, nameless = capsys.readouterr().err.splitlines()
    assert refused.endswith("failed: Connection refused")
    assert garbage == "lbfast: /: no header in the answer"
    assert "-I without -V" in nameless
