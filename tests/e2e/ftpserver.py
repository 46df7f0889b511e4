"""A small FTP server for one test: every way to open a data connection, one file.

python -m tests.e2e.ftpserver ADDRESS FILE
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path
from typing import Any

READY = "ftp server listens"


class Control:
    """One control connection."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self.sock, self.data = sock, data
        self.here: str = sock.getsockname()[0]
        self.family = sock.family
        self.listener: socket.socket | None = None
        self.target: tuple[str, int] | None = None

    def say(self, text: str) -> None:
        self.sock.sendall(f"{text}\r\n".encode())

    def run(self) -> None:
        self.say("220 ready")
        with (
            self.sock,
            contextlib.suppress(OSError),
            self.sock.makefile(encoding="ascii") as lines,
        ):
            for line in lines:
                word, _, rest = line.strip().partition(" ")
                answer = getattr(self, f"do_{word.lower()}", None)
                self.say(answer(rest) if answer else "200 ok")
                if word == "QUIT":
                    return

    def do_user(self, _: str) -> str:
        return "230 welcome"

    def do_pasv(self, _: str) -> str:
        port = self._listen()
        numbers = self.here.replace(".", ",")
        return f"227 Entering Passive Mode ({numbers},{port >> 8},{port & 255})."

    def do_epsv(self, _: str) -> str:
        return f"229 Entering Extended Passive Mode (|||{self._listen()}|)"

    def do_port(self, rest: str) -> str:
        numbers = rest.split(",")
        self.target = (".".join(numbers[:4]), int(numbers[4]) << 8 | int(numbers[5]))
        return "200 ok"

    def do_eprt(self, rest: str) -> str:
        _, _, address, port, _ = rest.split(rest[0])
        self.target = (address, int(port))
        return "200 ok"

    def do_retr(self, _: str) -> str:
        self.say("150 here it comes")
        with self._open() as sock:
            sock.sendall(self.data)
        return "226 done"

    def _listen(self) -> int:
        self.target = None
        self.listener = socket.create_server((self.here, 0), family=self.family)
        port: int = self.listener.getsockname()[1]
        return port

    def _open(self) -> socket.socket:
        if self.target is None:
            assert self.listener is not None
            with self.listener:
                return self.listener.accept()[0]
        sock = socket.socket(self.family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.here, 20))
        sock.connect(self.target)
        return sock


def serve(listener: socket.socket, data: bytes) -> None:
    while True:
        sock: Any = listener.accept()[0]
        threading.Thread(target=Control(sock, data).run, daemon=True).start()


def main(argv: list[str]) -> None:
    address, path = argv
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 21), family=family)
    print(READY, flush=True)
    serve(listener, Path(path).read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
