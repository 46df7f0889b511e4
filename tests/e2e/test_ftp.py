"""FTP through NAT as clients do it: every way to open the data connection, by several workers."""

from __future__ import annotations

import ftplib
import hashlib
import sys
from functools import partial
from pathlib import Path

import pytest

from netns import basic
from netns.inside import inside
from netns.ownership import NAMESPACES
from tests.e2e.client import endpoint
from tests.e2e.conftest import Directors, Networks
from tests.e2e.ftpserver import READY

ROOT = Path(__file__).resolve().parents[2]
SIZE = 3_000_000
SESSIONS = 4


class Client(ftplib.FTP):
    """An FTP client that goes where a 227 says, and can be told which commands to use."""

    def __init__(self, where: str, *, passive: bool, extended: bool) -> None:
        super().__init__(timeout=10)
        self.trust_server_pasv_ipv4_address = True
        self.connect(where)
        self.set_pasv(passive)
        self.extended = extended
        self.went: set[str] = set()

    def makepasv(self) -> tuple[str, int]:
        assert self.sock is not None
        if self.extended:
            host, port = ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        else:
            host, port = ftplib.parse227(self.sendcmd("PASV"))
        self.went.add(host)
        return host, port

    def sendport(self, host: str, port: int) -> str:
        return self.sendeprt(host, port) if self.extended else super().sendport(host, port)


def transfer(where: str, *, passive: bool, extended: bool) -> tuple[list[str], set[str]]:
    """Fetch the file three times in each of some sessions; returns hashes, data addresses."""
    hashes: list[str] = []
    clients = [Client(where, passive=passive, extended=extended) for _ in range(SESSIONS)]
    for _ in range(3):
        for client in clients:
            digest = hashlib.sha256()
            client.retrbinary("RETR file", digest.update)
            hashes.append(digest.hexdigest())
    for client in clients:
        assert client.sendcmd("NOOP") == "200 ok"
        client.quit()
    return hashes, {host for client in clients for host in client.went}


@pytest.mark.covers("C-262")
@pytest.mark.parametrize("workers", [1, 3])
def test_every_way_to_open_a_data_connection_through_nat(
    network: Networks, director: Directors, workers: int
) -> None:
    net = network(basic.topology("nat"))
    file = net.scratch / "file"
    file.write_bytes(bytes(range(256)) * (SIZE // 256))
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    balancer = director(net, "director", "--workers", str(workers))
    for family in (4, 6):
        service = endpoint(basic.VIP[family], 21)
        balancer.typed(f"ipvsadm -A -t {service} -s rr")
        for name in ("rs1", "rs2"):
            rip = basic.rip("nat", name, family)
            words = [sys.executable, "-m", "tests.e2e.ftpserver", rip, str(file)]
            server = net.start(name, words, f"ftp-{name}-{family}", {"PYTHONPATH": str(ROOT)})
            server.wait_for_line(READY)
            balancer.typed(f"ipvsadm -a -t {service} -r {endpoint(rip, 21)} -m")
    for family, extended, passive in (
        (4, False, True), (4, True, True), (4, False, False), (4, True, False),
        (6, True, True), (6, True, False),
    ):  # fmt: skip
        vip = basic.VIP[family]
        work = partial(transfer, vip, passive=passive, extended=extended)
        hashes, went = inside(NAMESPACES / net.namespace("client1"), work)
        assert hashes == [expected] * 3 * SESSIONS
        assert went == ({vip} if passive else set())
