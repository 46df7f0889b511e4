"""Real servers that can be told how to answer, and that write down what they are asked.

    python -m tests.e2e.checkservers DIRECTORY ADDRESS...

Reads DIRECTORY/mode before each answer: `ok`, `status` (302), `body` (another page), `silent`,
`close`.  Writes DIRECTORY/heard: a line for each request with the client's address, the kind and
the bytes in hexadecimal.  HTTP on TCP 8080, SMTP on TCP 25, DNS on UDP 53, a silent UDP port 99,
and an answering one, 98.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

PAGE = b"all is well\n"
ANY = "0.0.0.0"


class Servers:
    """All servers of one host."""

    def __init__(self, directory: Path, addresses: Sequence[str]) -> None:
        self.directory, self.addresses = directory, addresses
        self.held: list[asyncio.StreamWriter] = []

    def mode(self) -> str:
        return (self.directory / "mode").read_text().strip()

    def hear(self, client: str, kind: str, data: bytes) -> None:
        with (self.directory / "heard").open("a") as file:
            file.write(f"{client} {kind} {data.hex()}\n")

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mode = self.mode()
        if mode != "close":
            try:
                asked = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                asked = b""
            if asked:
                self.hear(writer.get_extra_info("peername")[0], "http", asked)
            if mode == "silent":
                self.held.append(writer)
                return
            code = b"302 Found" if mode == "status" else b"200 OK"
            body = b"something else\n" if mode == "body" else PAGE
            writer.write(b"HTTP/1.0 %s\r\nContent-Type: text/plain\r\n\r\n%s" % (code, body))
        writer.close()

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        writer.write(b"220 here\r\n" if self.mode() == "ok" else b"554 not now\r\n")
        while line := await reader.readline():
            self.hear(client, "smtp", line)
            writer.write(b"250 yes\r\n")
        writer.close()

    async def start(self) -> None:
        await asyncio.start_server(self.http, ANY, 8080)
        await asyncio.start_server(self.smtp, ANY, 25)
        loop = asyncio.get_running_loop()
        for address in self.addresses:  # an answer must come from the address that was asked
            for kind, port in (("dns", 53), ("quiet", 99), ("echo", 98)):
                await loop.create_datagram_endpoint(
                    partial(Datagrams, self, kind), local_addr=(address, port)
                )
        ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        ping.setblocking(False)
        loop.add_reader(ping, self.ping, ping)

    def ping(self, sock: socket.socket) -> None:
        data, (client, _) = sock.recvfrom(4096)
        self.hear(client, "ping", data[20:])


class Datagrams(asyncio.DatagramProtocol):
    """A UDP server; its DNS says NXDOMAIN unless all is well."""

    def __init__(self, servers: Servers, kind: str) -> None:
        self.servers, self.kind = servers, kind

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.servers.hear(addr[0], self.kind, data)
        if self.kind == "dns":
            code = 0 if self.servers.mode() == "ok" else 3
            self.transport.sendto(data[:2] + bytes((0x81, 0x80 | code)) + data[4:], addr)
        elif self.kind == "echo" and self.servers.mode() == "ok":
            self.transport.sendto(b"pong", addr)


async def main(directory: str, *addresses: str) -> None:
    await Servers(Path(directory), addresses).start()
    print("servers: ready", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
