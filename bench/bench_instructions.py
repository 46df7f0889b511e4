"""How many user-space instructions does a packet take, from the ring to a frame ready to go?

The data path runs over frames prepared in memory, in batches of 64, without rings and system
calls; two run lengths, the difference divided by the packets.  1,000 established flows, UDP in
60-byte frames (IPv6: 62) or TCP in 54, one service, three real servers (round robin), or ten
thousand of each; counted by perf(1) or, where there is no counter (most virtual machines), by
valgrind.

    bench_instructions.py                     the table; last line: the figure
    bench_instructions.py run CASE PACKETS    one run, to be counted
    bench_instructions.py profile CASE        where the instructions go (callgrind_annotate)
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lbfast.control.tables import Engine
from lbfast.replay import network
from lbfast.replay.network import D0, D0_MAC, D1, D1_MAC, packed

FLOWS, PREPARED, SHORT, LONG = 1000, 24_000, 8_000, 24_000
TCP, UDP = 6, 17
SYN, ACK = 0x02, 0x10
MASQ, TUNNEL, DROUTE, FULLNAT = 0, 2, 3, 5
MANY = 10_000
Frame = tuple[int, bytes, bytes]  # interface, virtio-net header, Ethernet frame
NOW_NS = 1_000_000_000_000
PORT = 9


@dataclass(frozen=True, slots=True)
class Case:
    """A forwarding method, a family, which way the packets go, whether their checksum is left to
    the device, and the protocol: TCP's requests only, as no server takes part in its handshake."""

    method: int
    is_v6: bool
    reply: bool = False
    services: int = 1
    servers: int = 3
    partial: bool = False
    protocol: int = UDP

    @property
    def vnet(self) -> bytes:
        """The virtio-net header; empty: the checksum is finished."""
        if not self.partial:
            return b""
        start, offset = 54 if self.is_v6 else 34, 16 if self.protocol == TCP else 6
        return struct.pack("=BBHHHH", 1, 0, 0, 0, start, offset)

    @property
    def client(self) -> bytes:
        return packed("fd00:1::1" if self.is_v6 else "10.1.0.1")

    @property
    def vip(self) -> bytes:
        return packed("fd00:9::1" if self.is_v6 else "10.9.0.1")

    @property
    def ether_type(self) -> bytes:
        return b"\x86\xdd" if self.is_v6 else b"\x08\x00"

    def server(self, number: int) -> bytes:
        """Return the address of a real server, counted from 1."""
        return packed("fd00:2::" if self.is_v6 else "10.2.0.0")[:-2] + number.to_bytes(2, "big")


CASES = {
    "dr-v4": Case(DROUTE, False),
    "dr-v6": Case(DROUTE, True),
    "nat-request-v4": Case(MASQ, False),
    "nat-reply-v4": Case(MASQ, False, reply=True),
    "nat-request-v6": Case(MASQ, True),
    "nat-reply-v6": Case(MASQ, True, reply=True),
    "tun-v4": Case(TUNNEL, False),
    "tun-v6": Case(TUNNEL, True),
    "fullnat-request-v4": Case(FULLNAT, False),
    "fullnat-reply-v4": Case(FULLNAT, False, reply=True),
    "fullnat-reply-v6": Case(FULLNAT, True, reply=True),
    "dr-v4-partial": Case(DROUTE, False, partial=True),
    "nat-request-v4-partial": Case(MASQ, False, partial=True),
    "nat-reply-v6-partial": Case(MASQ, True, reply=True, partial=True),
    "tun-v4-partial": Case(TUNNEL, False, partial=True),
    "dr-v4-tcp": Case(DROUTE, False, protocol=TCP),
    "dr-v4-tcp-partial": Case(DROUTE, False, partial=True, protocol=TCP),
    "dr-v4-many": Case(DROUTE, False, False, MANY, MANY),
    "nat-request-v4-many": Case(MASQ, False, False, MANY, MANY),
    "nat-reply-v4-many": Case(MASQ, False, True, MANY, MANY),
    "tun-v4-many": Case(TUNNEL, False, False, MANY, MANY),
}


def ones_sum(data: bytes) -> int:
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF


def packet(src: bytes, dst: bytes, sport: int, dport: int) -> bytes:
    """Return an IP packet of 46 bytes (IPv6: 48) with UDP and right checksums."""
    payload = b"\0" * (18 if len(src) == 4 else 0)
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return with_ip(src, dst, UDP, udp, 6)


def segment(src: bytes, dst: bytes, sport: int, dport: int, flags: int) -> bytes:
    """Return an IP packet of 40 bytes (IPv6: 60) with TCP, no data and right checksums."""
    tcp = struct.pack(">HHIIBBHI", sport, dport, 1, 1, 0x50, flags, 100, 0)
    return with_ip(src, dst, TCP, tcp, 16)


def with_ip(src: bytes, dst: bytes, protocol: int, l4: bytes, at: int) -> bytes:
    """Put an IP header in front; at: where in l4 its checksum goes, which is 0 as yet."""
    pseudo = ones_sum(src + dst + struct.pack(">HH", protocol, len(l4)) + l4)
    l4 = l4[:at] + struct.pack(">H", 0xFFFF - pseudo or 0xFFFF) + l4[at + 2 :]
    if len(src) == 16:
        return struct.pack(">IHBB", 6 << 28, len(l4), protocol, 64) + src + dst + l4
    head = struct.pack(">BBHIBB", 0x45, 0, 20 + len(l4), 0, 64, protocol)
    return head + struct.pack(">H", 0xFFFF - ones_sum(head + src + dst)) + src + dst + l4


def made(case: Case, src: bytes, dst: bytes, ports: tuple[int, int], flags: int) -> bytes:
    """Return a packet of the case's protocol; flags: of TCP."""
    if case.protocol == TCP:
        return segment(src, dst, *ports, flags)
    return packet(src, dst, *ports)


def requests(case: Case, flags: int = ACK) -> list[Frame]:
    """Return a request of each flow; flags: of TCP."""
    head = D0_MAC + network.ROUTER_MAC + case.ether_type
    return [
        (D0, case.vnet, head + made(case, case.client, case.vip, (1024 + flow, PORT), flags))
        for flow in range(FLOWS)
    ]


def replies(case: Case, engine: Engine) -> list[Frame]:
    """Return a reply of each connection's real server: to the client, by FULLNAT to the local
    address and port."""
    head = D1_MAC + network.server_mac(1) + case.ether_type
    found = []
    for row in sorted(engine.connections()[0], key=lambda row: row[3]):
        dst, dport = row[12:14] if case.method == FULLNAT else row[2:4]
        found.append((D1, case.vnet, head + made(case, row[6], dst, (PORT, dport), ACK)))
    return found


def measured(case: Case, engine: Engine) -> list[Frame]:
    """Return the frames whose cost is asked for, in an engine where the connections are there."""
    return replies(case, engine) if case.reply else requests(case)


def opening(case: Case) -> list[list[Frame]]:
    """Return the lots of frames that make the connections: afterwards they are established."""
    first = [requests(case, SYN)] if case.protocol == TCP else []
    return [*first, requests(case)]


def engine(case: Case) -> Engine:
    """Return an engine with one service and its real servers in a known network."""
    made = Engine(seed=1, now_ns=NOW_NS, services=case.services)
    network.build(made, network.MTU)
    af = int(socket.AF_INET6 if case.is_v6 else socket.AF_INET)
    mask = 128 if case.is_v6 else 0xFFFFFFFF
    for other in range(1, case.services):
        made.service_put((af, case.protocol, case.vip, PORT + other, 0), b"rr", 0, 0, mask, b"")
    key = (af, case.protocol, case.vip, PORT, 0)
    made.service_put(key, b"rr", 0, 0, mask, b"")
    if case.method == FULLNAT:
        made.laddr_add(key, case.server(0xFF00))
    for number in range(1, case.servers + 1):
        server = case.server(number)
        made.neigh_set(D1, server, network.server_mac(number & 0xFF))
        made.server_put(key, (af, server, PORT), case.method, 1, 0, 0, 0, 0, 0)
    return made


def run(case: Case, packets: int) -> None:
    """Make the connections, then run the packets; SystemExit unless all were sent."""
    from lbfast._fastpath import bench

    made = engine(case)
    opened = [bench(made, lot, FLOWS, FLOWS, NOW_NS)["sent"] for lot in opening(case)]
    verdicts = bench(made, measured(case, made), PREPARED, packets, NOW_NS)
    if set(opened) != {FLOWS} or verdicts["sent"] != packets:
        raise SystemExit(f"not all were sent: {opened}, {verdicts}, {made.reasons()}")


def command(name: str, packets: int) -> list[str]:
    return [sys.executable, __file__, "run", name, str(packets)]


def environment() -> dict[str, str]:
    """Return an environment in which two runs differ in nothing but the packets."""
    root = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": root}


def has_counter() -> bool:
    """Whether perf(1) can count instructions here."""
    if shutil.which("perf") is None:
        return False
    probe = ["perf", "stat", "-x,", "-e", "instructions:u", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stderr.split(",")[0].isdigit()


def count(words: list[str], by_perf: bool) -> int:
    """Return the user-space instructions of a command."""
    if by_perf:
        tool = ["perf", "stat", "-x,", "-e", "instructions:u"]
        pattern = r"^(\d+),"
    else:
        tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        pattern = r"Collected : (\d+)"
    done = subprocess.run(
        [*tool, *words], capture_output=True, text=True, check=True, env=environment()
    )
    found = re.search(pattern, done.stderr, re.MULTILINE)
    if found is None:
        raise RuntimeError(done.stderr[-500:])
    return int(found[1])


def per_packet(case: str, by_perf: bool) -> float:
    """Return the instructions a packet: a short run and a long one, counted side by side, as who
    else is at work changes nothing."""
    with ThreadPoolExecutor() as pool:
        short, long = pool.map(
            lambda packets: count(command(case, packets), by_perf), (SHORT, LONG)
        )
    return (long - short) / (LONG - SHORT)


def table(by_perf: bool) -> Iterator[tuple[str, float]]:
    """Yield every case with its instructions a packet."""
    for name in CASES:
        yield name, per_packet(name, by_perf)


def profile(name: str) -> None:
    """Print where the instructions of a long run are."""
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/out"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-instr=no"]
        tool += ["--toggle-collect=__pyx_f_6lbfast_9_fastpath_frames_run*"]
        subprocess.run([*tool, *command(name, LONG)], check=True, env=environment())
        subprocess.run(["callgrind_annotate", "--auto=yes", "--threshold=95", out], check=True)


def main(words: list[str]) -> int:
    if words[:1] == ["run"]:
        run(CASES[words[1]], int(words[2]))
        return 0
    if words[:1] == ["profile"]:
        profile(words[1])
        return 0
    by_perf = has_counter()
    if not by_perf and shutil.which("valgrind") is None:
        print("neither a counter for perf stat -e instructions:u nor valgrind", file=sys.stderr)
        return 1
    print(f"counted by {'perf stat' if by_perf else 'valgrind'}; {FLOWS} flows, batches of 64")
    figures = {}
    for name, figure in table(by_perf):
        figures[name] = figure
        print(f"{name:<20} {figure:8.2f}", flush=True)
    print(f"instructions-per-packet {figures['dr-v4']:.2f} instructions (DR, IPv4)")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main(sys.argv[1:]))
