"""A director without a network: one TCP service, clients that come and go, a clock to turn.

Everything passes the real data path as frames; the time is the trial's own, so a run repeats.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from typing import Any

from lbfast.control.tables import Engine, Tables
from lbfast.model import AF_INET, Method, RealServer, ServerKey, ServiceKey, VirtualService

CLIENTS, SERVERS = 2, 3  # interfaces
VIP, PORT = "10.255.0.1", 80
TCP, FIN, SYN, ACK = 6, 1, 2, 16
_MAC = bytes.fromhex("020000000001")
_GATEWAY = "10.254.0.1"
_SECOND = 10**9
_UNICAST, _LOCAL, _LINK_UP = 1, 2, 1
_TABLE_LOCAL, _TABLE_MAIN = 0, 1
_WIRE = 0


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


class Trial:
    """Real servers by IPv4 address and weight behind one service at 10.255.0.1:80.

    `scheduler`: a class as `lbfast.lab.Scheduler`, the capsule of a compiled one, or the name of
    a built-in one.  The server that is named last is the head of the list.
    """

    def __init__(
        self,
        scheduler: Any,
        servers: Mapping[str, int],
        *,
        connections: int = 65536,
    ) -> None:
        self.now_ns = _SECOND
        self.engine = Engine(
            conns=connections, dests=max(64, 2 * len(servers)), services=4, seed=1,
            now_ns=self.now_ns,
        )  # fmt: skip
        self.tables = Tables(self.engine)
        self._key = ServiceKey(AF_INET, TCP, _packed(VIP), PORT)
        self._world()
        name = scheduler
        if not isinstance(scheduler, str):
            name = self.tables.add_scheduler(getattr(scheduler, "name", ""), scheduler)
        self.tables.add_service(VirtualService(self._key, name))
        for address, weight in servers.items():
            self.tables.add_server(self._key, self._server(address, weight))

    def _world(self) -> None:
        """Gives the director two links, its address and a gateway on either side."""
        for ifindex in (CLIENTS, SERVERS):
            self.engine.link_set(ifindex, _MAC, 1500, _LINK_UP)
            self.engine.neigh_set(ifindex, _packed(_GATEWAY), _MAC)
        gateway = _packed(_GATEWAY)
        self.engine.route_add(_TABLE_LOCAL, _packed(VIP), 32, _LOCAL, 1)
        self.engine.route_add(_TABLE_MAIN, bytes(4), 0, _UNICAST, SERVERS, gateway)

    def _server(self, address: str, weight: int) -> RealServer:
        return RealServer(ServerKey(AF_INET, _packed(address), PORT), Method.MASQ, weight)

    # ---- what happens

    def connect(self, client: str, port: int) -> str | None:
        """A client opens a connection; returns its server's address, None if it was refused."""
        outs = self._send(client, port, SYN)
        if not outs or outs[0][30:34] == _packed(client):
            return None  # nothing, or the answer that nobody is there
        return str(ipaddress.IPv4Address(outs[0][30:34]))

    def close(self, client: str, port: int) -> None:
        """The client closes it: it is inactive, and ends two minutes later."""
        self._send(client, port, FIN | ACK)

    def weigh(self, address: str, weight: int) -> None:
        """Changes a server's weight; 0 quiesces it."""
        self.tables.edit_server(self._key, self._server(address, weight))

    def remove(self, address: str) -> None:
        """Removes a server; its connections go on."""
        self.tables.delete_server(self._key, self._server(address, 0).key)

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self.now_ns += int(seconds * _SECOND)
        self.engine.process([], self.now_ns)

    def load(self) -> dict[str, tuple[int, int]]:
        """Returns each server's active and inactive connections."""
        return {
            str(ipaddress.IPv4Address(s.server.key.addr)): (s.active, s.inactive)
            for s in self.tables.service(self._key).servers
        }

    def _send(self, client: str, port: int, flags: int) -> list[bytes]:
        frame = _MAC + _MAC + b"\x08\x00" + _segment(_packed(client), port, flags)
        outs = self.engine.process([(CLIENTS, b"", frame)], self.now_ns)
        return [out for kind, _, _, out in outs if kind == _WIRE]


def _segment(src: bytes, sport: int, flags: int) -> bytes:
    """Returns a TCP segment to the service; the data path leaves its own checksum alone."""
    tcp = struct.pack("!HHIIBBHHH", sport, PORT, 1000, 0, 0x50, flags, 8192, 0, 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, TCP, 0) + src + _packed(VIP)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", check) + head[12:] + tcp
