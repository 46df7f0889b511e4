"""Programs, FIFOs and mails that tell the world of an event."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lbfast.errors import ConfigError
from lbfast.model.mail import Mail
from lbfast.model.script import Script
from lbfast.model.vrrp import Fifo
from lbfast.notify.fifo import EventFifo
from lbfast.notify.mail import Mailer, compose, send
from lbfast.notify.program import Program, Programs, spawn

TIMEOUT_S = 20


def run(script: Script, act: Callable[[Program], None] = lambda program: None) -> int:
    """Run a program under an event loop; return its status."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        act(Program(loop, spawn(script), ended.set_result))
        return await asyncio.wait_for(ended, TIMEOUT_S)

    return asyncio.run(main())


def shell(command: str, *words: str, user: str = "") -> Script:
    return Script(("/bin/sh", "-c", command, "sh", *words), user)


def test_program_gets_exactly_its_words(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("a b", "$HOME", "; touch x", "")
    script = shell('out=$1; shift; for w; do echo "<$w>"; done >$out', str(out), *words)
    assert run(script) == 0
    assert out.read_text() == "<a b>\n<$HOME>\n<; touch x>\n<>\n"


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_program_end_is_told_as_status_or_signal(command: str, status: int) -> None:
    assert run(shell(command)) == status


def test_signal_reaches_the_whole_group() -> None:
    script = shell("/bin/sleep 600 & wait")
    assert run(script, lambda program: program.signal(signal.SIGTERM)) == -signal.SIGTERM


def test_program_has_a_group_of_its_own_and_no_dangerous_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    out = tmp_path / "out"
    assert run(shell("ps -o pgid= $$ >$1; env >>$1; echo $$ >>$1", str(out))) == 0
    text = out.read_text()
    assert "LD_LIBRARY_PATH" not in text
    assert text.split()[0] == text.split()[-1]


def test_file_to_open_is_opened_and_nothing_of_it_runs(tmp_path: Path) -> None:
    file, sign = tmp_path / "healthy", tmp_path / "sign"
    for text in (f"touch {sign}\n", f"#!/bin/sh\ntouch {sign}\n"):
        file.write_text(text)
        file.chmod(0o777)
        assert run(Script((str(file),), is_opened=True)) == 0
        assert not sign.exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/no/such", 2), ("/dev/tcp/127.0.0.1/80", 2), ("/dev/null", 0), ("/", 0), ("/*; true", 2)],
)
def test_file_to_open_says_whether_it_could_be(path: str, status: int) -> None:
    assert run(Script((path,), is_opened=True)) == status


def test_file_that_cannot_be_opened_now_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    script = Script((str(tmp_path / "fifo"),), is_opened=True)
    assert run(script, lambda program: program.signal(signal.SIGTERM)) == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_file_is_opened_as_the_user_it_is_given(tmp_path: Path) -> None:
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    file = tmp_path / "healthy"
    file.touch()
    script = Script((str(file),), "nobody", is_opened=True)
    for mode, status in ((0o644, 0), (0o640, 2), (0o600, 2)):  # the group is root's too
        file.chmod(mode)
        assert run(script) == status


@pytest.mark.covers("CHK-29")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_program_runs_as_the_user_it_is_given(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    out.chmod(0o666)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    assert run(shell("id -u >$1; id -G >>$1", str(out), user="nobody")) == 0
    nobody = pwd.getpwnam("nobody")
    assert out.read_text() == f"{nobody.pw_uid}\n{nobody.pw_gid}\n"


def test_unknown_user_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no such account: .*no-such-user"):
        spawn(Script(("/bin/true",), "no-such-user"))


def test_program_that_cannot_start_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        Programs(asyncio.get_running_loop()).run(Script(("/no/such/program",)))

    asyncio.run(main())
    assert "/no/such/program: not started" in caplog.text


def test_fifo_is_made_and_carries_lines(tmp_path: Path) -> None:
    path = tmp_path / "events"
    fifo = EventFifo(asyncio.new_event_loop(), Fifo(str(path)))
    fifo.open()
    fifo.write("VS [10.7.0.100]:tcp:80 UP")  # nobody reads yet
    with open(path, "rb", buffering=0) as reader:
        assert reader.read(100) == b"VS [10.7.0.100]:tcp:80 UP\n"
    fifo.close()


def test_fifo_that_nobody_reads_never_blocks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = EventFifo(asyncio.new_event_loop(), Fifo(str(tmp_path / "events")))
    fifo.open()
    for _ in range(3000):
        fifo.write("x" * 99)
    fifo.close()
    assert caplog.text.count("events are lost") == 1


def test_path_that_is_no_fifo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no FIFO"):
        EventFifo(asyncio.new_event_loop(), Fifo(str(tmp_path / "file"))).open()


def test_fifo_script_gets_the_path_as_its_last_word(tmp_path: Path) -> None:
    path, out = tmp_path / "events", tmp_path / "out"
    os.mkfifo(out)
    script = shell('head -n 1 "$2" >"$1"', str(out))

    async def main() -> str:
        fifo = EventFifo(asyncio.get_running_loop(), Fifo(str(path), script=script))
        fifo.open()
        fifo.write("RS up")
        text = await asyncio.wait_for(asyncio.to_thread(out.read_text), TIMEOUT_S)
        fifo.close()
        return text

    assert asyncio.run(main()) == "RS up\n"


def mail_server(lines: list[bytes]) -> tuple[int, threading.Thread]:
    """Accept one mail on a port; keep the lines that were said."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as peer, peer.makefile("rwb") as file:
            file.write(b"220 mail\r\n")
            file.flush()
            in_data = False
            for line in file:
                lines.append(line)
                if in_data and line != b".\r\n":
                    continue
                in_data = line.upper() == b"DATA\r\n"
                code = b"221" if line.upper() == b"QUIT\r\n" else b"250"
                file.write(b"354 go\r\n" if in_data else code + b" ok\r\n")
                file.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], thread


@pytest.mark.covers("QUO-12")
def test_mail_is_said_as_keepalived_says_it() -> None:
    lines: list[bytes] = []
    port, thread = mail_server(lines)
    mail = Mail(("a@b.c", "d@e.f"), "x@y.z", "127.0.0.1", port, helo_name="me", router_id="LVS")
    send(mail, compose(mail, "Virtualserver [10.7.0.100]:tcp:80 - UP", "gained"))
    thread.join()
    said = [line.rstrip(b"\r\n").decode() for line in lines]
    assert [line.upper() for line in said[:5]] == [
        "HELO ME",
        "MAIL FROM:<X@Y.Z>",
        "RCPT TO:<A@B.C>",
        "RCPT TO:<D@E.F>",
        "DATA",
    ]
    assert "Subject: [LVS] Virtualserver [10.7.0.100]:tcp:80 - UP" in said
    assert [*said[-3:-1], said[-1].upper()] == ["=> gained <=", ".", "QUIT"]


@pytest.mark.covers("QUO-12")
def test_mail_without_server_or_recipients_is_not_sent() -> None:
    assert not Mailer(Mail(("a@b.c",))).is_on
    assert not Mailer(Mail(server="127.0.0.1")).is_on


def test_mail_that_cannot_be_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    mailer = Mailer(Mail(("a@b.c",), server="127.0.0.1", port=port))
    mailer.send("subject", "body")
    mailer.close()
    assert mailer._thread is not None
    mailer._thread.join(TIMEOUT_S)
    assert "not sent" in caplog.text
