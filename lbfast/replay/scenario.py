"""Runs a scenario's events against the data path, the tables and the ipvsadm words."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import shlex
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from lbfast.cli import ipvsadm
from lbfast.control.tables import Engine, Tables
from lbfast.errors import KernelError, WireError
from lbfast.model import Connection, ServiceKey
from lbfast.replay import network, packets
from lbfast.replay.host import Host
from lbfast.replay.network import Sent
from lbfast.replay.packets import ICMP, ICMPV6, TCP, Packet

START_NS = 1_000_000_000_000
SECOND_NS = 1_000_000_000
ESTIMATION_S, TRASH_S = 2, 60
TIMERS_NS = 50_000_000  # how often a worker runs its timers
PLENTY = 1 << 40  # pages of free memory
SPENT_S = {"wire": 0.2, "sync": 0.15, "syncout": 3.6, "drop": 0.12}
PROTOCOL_NAMES = {0: "ip", socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp",
                  socket.IPPROTO_SCTP: "sctp"}  # fmt: skip
VLAN_TAG = 4
IPIP, IPV6, GRE, UDP = 4, 41, 47, 17

Event = list[Any]


def run(scenario: dict[str, Any]) -> dict[str, Any]:
    """Returns the scenario with the result of every event filled in.

    WireError where a value is not of the kind that its place takes.
    """
    with _located("its beginning"):
        director = Director(scenario)
    events = []
    for number, event in enumerate(scenario["events"], 1):
        with _located(f"event {number}"):
            events.append(director.play(event))
    return {**scenario, "events": events}


@contextlib.contextmanager
def _located(place: str) -> Iterator[None]:
    """Says where in a scenario a value is malformed."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError, struct.error) as e:
        raise WireError(
            f"scenario, {place}: {e}, expected what tests/conformance/replays has"
        ) from e


def mark_rule(mark: dict[str, Any]) -> tuple[Any, ...]:
    """A mark rule of the scenario as the engine takes it."""
    dst = ipaddress.ip_network(mark["dst"])
    af = socket.AF_INET if dst.version == 4 else socket.AF_INET6
    protocol = packets.PROTOCOLS[mark["proto"]] if "proto" in mark else 0
    port = mark.get("dport")
    ports = (0, 65535) if port is None else (int(port), int(port))
    target = (dst.network_address.packed, dst.prefixlen)
    return (mark["mark"], int(af), protocol, 0, b"", 0, *target, (0, 65535), ports)


def endpoint(text: str) -> tuple[bytes, int]:
    addr, _, port = text.rpartition(":")
    return ipaddress.ip_address(addr.strip("[]")).packed, int(port)


def shown(addr: bytes, port: int) -> str:
    text = str(ipaddress.ip_address(addr))
    return f"[{text}]:{port}" if len(addr) == 16 else f"{text}:{port}"


class Director:
    """One director in its network, with a clock of its own."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.now_ns = START_NS
        self.engine = Engine(conns=1 << 16, seed=1, now_ns=START_NS)
        self.tables = Tables(self.engine)
        mtu = int(scenario.get("mtu", network.MTU))
        network.build(self.engine, mtu)
        self.host = Host(mtu)
        self.engine.set_setting("ftp_helper", scenario.get("app") == "ftp")
        self.engine.marks_replace([mark_rule(m) for m in scenario.get("marks", [])])
        for name, value in scenario.get("sysctl", {}).items():
            self.tables.set_sysctl(name, str(value))
        self.players: dict[str, Callable[[Event], Event]] = {
            "cmd": self._cmd,
            "pkt": self._pkt,
            "rpl": self._rpl,
            "cnt": self._cnt,
            "con": self._con,
            "wait": self._wait,
            "sysctl": self._sysctl,
            "wire": self._wire,
        }

    def play(self, event: Event) -> Event:
        """Returns the event with its result."""
        word = event[0]
        if word not in self.players:
            raise WireError(f"event {word!r} unknown, expected one of {', '.join(self.players)}")
        return self.players[word](event)

    # ---- time

    def _pass(self, seconds: float) -> None:
        """Lets time pass: the timers, the estimators and the trash get their turns."""
        end = self.now_ns + round(seconds * SECOND_NS)
        while self.now_ns < end:
            self.now_ns = min(end, (self.now_ns // TIMERS_NS + 1) * TIMERS_NS)
            self.engine.process([], self.now_ns)
            second, rest_ns = divmod(self.now_ns, SECOND_NS)
            if rest_ns == 0:
                if second % ESTIMATION_S == 0:
                    self.engine.estimate()
                self.engine.defend(PLENTY)
                if second % TRASH_S == 0:
                    self.engine.trash(self.now_ns)

    def _wait(self, event: Event) -> Event:
        self._pass(event[1])
        return event

    # ---- words and settings

    def _cmd(self, event: Event) -> Event:
        out, err = io.StringIO(), io.StringIO()
        stdin = io.StringIO(event[5] if len(event) > 5 and event[5] else "")
        argv = ["ipvsadm", *shlex.split(event[1])]
        status = ipvsadm.main(argv, lambda: self.tables, stdin=stdin, stdout=out, stderr=err)
        answer = ["cmd", event[1], status, out.getvalue(), err.getvalue()]
        return answer + ([event[5]] if len(event) > 5 else [])

    def _sysctl(self, event: Event) -> Event:
        try:
            self.tables.set_sysctl(event[1], str(event[2]))
        except KernelError as e:
            raise WireError(f"sysctl {event[1]}: {e}") from None
        return event

    # ---- packets

    def _send(self, side: str, packet: bytes) -> list[Sent]:
        """Sends a packet to the director; returns every packet that leaves it."""
        if side == "real" and len(packet) > self.host.mtu[network.D1] + VLAN_TAG:
            return []  # a veth takes no more than its MTU in, either
        before = self.engine.verdicts()["ignore"]
        out: list[Sent] = []
        for kind, ifindex, _, data in self.engine.process(
            [network.frame(side, packet)], self.now_ns
        ):
            if kind == 1:
                out += self.host.receive(data[14:])
            else:
                out.append(network.sent(ifindex, data))
        if self.engine.verdicts()["ignore"] > before:
            out += self.host.receive(packet)
        return out

    def _wire(self, event: Event) -> Event:
        out = self._send(event[1], bytes.fromhex(event[2]))
        self._pass(SPENT_S["wire"])
        return [*event[:3], [[s.to, s.packet.hex()] for s in out]]

    def _packet(self, event: Event, side: str, say: Callable[[Sent], str]) -> Event:
        protocol, src, dst, flags = event[1:5]
        options = event[5] if len(event) > 6 else {}
        packet = packets.build(protocol, endpoint(src), endpoint(dst), flags, options)
        words = [say(s) for s in self._send(side, packet)]
        if not words:
            self._pass(SPENT_S["drop"])
        return [*event[:-1], "+".join(words) or "drop"]

    def _pkt(self, event: Event) -> Event:
        return self._packet(event, "client", request_word)

    def _rpl(self, event: Event) -> Event:
        return self._packet(event, "real", reply_word)

    # ---- tables

    def _cnt(self, event: Event) -> Event:
        table = {}
        for state in self.tables.services():
            table[service_word(state.service.key)] = {
                shown(s.server.key.addr, s.server.key.port): [
                    s.server.weight, s.active, s.inactive
                ]
                for s in state.servers
            }  # fmt: skip
        return ["cnt", table]

    def _con(self, event: Event) -> Event:
        return ["con", sorted(connection_row(c) for c in self.tables.connections())]


def service_word(key: ServiceKey) -> str:
    if key.fwmark:
        return f"fwm {key.fwmark}"
    return f"{PROTOCOL_NAMES[key.protocol]} {shown(key.addr, key.port)}"


def connection_row(c: Connection) -> list[Any]:
    row: list[Any] = [
        PROTOCOL_NAMES[c.protocol],
        shown(c.caddr, c.cport),
        shown(c.vaddr, c.vport),
        shown(c.daddr, c.dport),
        c.state,
        c.expires_s,
    ]
    if c.pe_name:
        row.append(f"{c.pe_name} {c.pe_data.decode(errors='surrogateescape')}")
    return row


# ---- the word for where a packet went


def error_word(p: Packet) -> str:
    kind, code = p.payload[0], p.payload[1]
    if kind == (3 if p.version == 4 else 1):
        return f"unreach/{kind}.{code}"
    return f"icmp/{kind}.{code}"


def request_word(s: Sent) -> str:
    """Says where a packet of the clients' side went (or what came back)."""
    p = packets.parse(s.packet)
    if p is None:
        return "malformed"
    if s.to == "client":
        if p.protocol in (ICMP, ICMPV6):
            return error_word(p)
        if p.protocol == TCP and p.payload[13] & 4:
            return "rst"
        return shown(p.dst, p.dport)
    return shown(*_server_of(s, p))


def _server_of(s: Sent, p: Packet) -> tuple[bytes, int]:
    """The real server's address and the port that the packet carries."""
    if p.protocol in (IPIP, IPV6):
        inner = packets.parse(p.payload)
        return p.dst, inner.dport if inner else 0
    if p.protocol == GRE:
        inner = packets.parse(p.payload[8 if p.payload[0] & 0x80 else 4 :])
        return p.dst, inner.dport if inner else 0
    number = int(s.to.partition(":")[2])
    addr = network.packed(f"10.2.0.{number}" if p.version == 4 else f"fd00:2::{number:x}")
    return addr, p.dport


def reply_word(s: Sent) -> str:
    """Says what the client saw of a packet of the servers' side (or what came back)."""
    p = packets.parse(s.packet)
    if p is None:
        return "malformed"
    if p.protocol in (ICMP, ICMPV6):
        return error_word(p)
    if s.to != "client" and p.protocol == TCP and p.payload[13] & 4:
        return "rst"
    return shown(p.src, p.sport)
