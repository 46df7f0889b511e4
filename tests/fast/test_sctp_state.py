"""SCTP: which chunk moves an association from where to where (spec 4.6)."""

from __future__ import annotations

import struct
from collections import deque

import pytest
from scapy.layers.inet import IP
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from tests.fast import director as d

VIP, SERVER, CLIENT = "10.9.0.1", "10.2.0.5", "10.1.0.7"
STATES = (
    "NONE", "INIT1", "INIT", "CSENT", "CREPL", "CWAIT", "COOKIE", "CECHO", "EST", "SSENT", "SRECV",
    "SACK", "REJ", "CLOSED",
)  # fmt: skip
TIMEOUT_S = dict.fromkeys(STATES, 61) | {"INIT1": 4, "REJ": 4, "EST": 900}
EVENTS = {
    "DATA": 0, "INIT": 1, "I-ACK": 2, "C-ECHO": 10, "C-ACK": 11, "SHUT": 7, "S-ACK": 8,
    "S-COMPL": 14, "ERROR": 9, "ABORT": 6,
}  # fmt: skip
# from: what each event leads to, only where that is another state
INPUT = """
NONE: DATA=EST INIT=INIT1 I-ACK=CWAIT C-ECHO=CREPL C-ACK=EST SHUT=SRECV S-ACK=CLOSED
NONE: S-COMPL=CLOSED ERROR=CLOSED ABORT=CLOSED
INIT1: INIT=INIT I-ACK=CWAIT C-ECHO=INIT S-ACK=INIT S-COMPL=CLOSED ABORT=CLOSED
INIT: I-ACK=CWAIT S-COMPL=CLOSED ABORT=CLOSED
CSENT: C-ECHO=CREPL ABORT=CLOSED
CREPL: ABORT=CLOSED
CWAIT: I-ACK=COOKIE ABORT=REJ
COOKIE: ABORT=CLOSED
CECHO: C-ACK=EST ERROR=CLOSED ABORT=CLOSED
EST: SHUT=SRECV ABORT=CLOSED
SSENT: S-ACK=CLOSED ABORT=CLOSED
SRECV: ABORT=CLOSED
SACK: S-ACK=CLOSED S-COMPL=CLOSED ABORT=CLOSED
REJ: INIT=INIT ABORT=CLOSED
CLOSED: INIT=INIT
"""
OUTPUT = """
INIT1: INIT=CWAIT I-ACK=CSENT C-ECHO=CECHO C-ACK=EST SHUT=SSENT S-ACK=SACK ERROR=CLOSED ABORT=REJ
INIT: INIT=CWAIT I-ACK=CSENT C-ECHO=CECHO C-ACK=EST SHUT=SSENT S-ACK=SACK ERROR=CLOSED
INIT: ABORT=CLOSED
CSENT: INIT=CWAIT C-ECHO=CECHO C-ACK=EST SHUT=SSENT S-ACK=SACK ERROR=CLOSED ABORT=CLOSED
CREPL: INIT=CWAIT C-ECHO=CECHO C-ACK=EST SHUT=SSENT S-ACK=SACK ERROR=CLOSED ABORT=CLOSED
CWAIT: C-ECHO=CECHO C-ACK=EST SHUT=SSENT ABORT=CLOSED
COOKIE: INIT=CWAIT C-ECHO=CECHO C-ACK=EST SHUT=SSENT ABORT=CLOSED
CECHO: INIT=CWAIT C-ACK=EST SHUT=SSENT ABORT=CLOSED
EST: SHUT=SSENT ABORT=CLOSED
SSENT: INIT=CWAIT S-ACK=SACK ABORT=CLOSED
SRECV: INIT=CWAIT S-ACK=SACK ABORT=CLOSED
SACK: INIT=CWAIT ABORT=CLOSED
REJ: INIT=CWAIT ABORT=CLOSED
CLOSED: INIT=CWAIT
"""
INPUT_ONLY = """
NONE: DATA=EST INIT=INIT1 I-ACK=CECHO C-ECHO=EST C-ACK=EST SHUT=SRECV S-ACK=CLOSED
NONE: S-COMPL=CLOSED ERROR=CLOSED ABORT=CLOSED
INIT1: INIT=INIT I-ACK=CECHO C-ECHO=EST S-ACK=INIT S-COMPL=CLOSED ABORT=CLOSED
INIT: I-ACK=CECHO C-ECHO=EST S-COMPL=CLOSED ABORT=CLOSED
CECHO: C-ACK=EST ABORT=CLOSED
EST: SHUT=SRECV S-ACK=CLOSED ABORT=CLOSED
SRECV: S-COMPL=CLOSED ABORT=CLOSED
CLOSED: INIT=INIT
"""


def table(text: str) -> dict[tuple[str, str], str]:
    """Return (state, event) -> state for every state that the text names."""
    moves: dict[tuple[str, str], str] = {}
    for line in text.strip().splitlines():
        state, _, words = line.partition(": ")
        for event in EVENTS:
            moves.setdefault((state, event), state)
        moves |= {(state, w.split("=")[0]): w.split("=")[1] for w in words.split()}
    return moves


Step = tuple[str, str]  # side and event


def starts(state: str, side: str, event: str) -> bool:
    """Say whether the chunk may come, no association being there or one that is."""
    return state != "NONE" or (side == "client" and event != "ABORT")


def paths(tables: dict[str, dict[tuple[str, str], str]]) -> dict[str, list[Step]]:
    """Return the shortest way to every state, from an association's first packet on."""
    known: dict[str, list[Step]] = {"NONE": []}
    queue = deque(["NONE"])
    while queue:
        state = queue.popleft()
        for side, moves in tables.items():
            for event in EVENTS:
                to = moves.get((state, event))
                if to is None or to in known or not starts(state, side, event):
                    continue
                known[to] = [*known[state], (side, event)]
                queue.append(to)
    return known


TWO_WAY = {"client": table(INPUT), "real": table(OUTPUT)}
ONE_WAY = {"client": table(INPUT_ONLY)}


def chunk(kind: int, value: bytes = b"", length: int | None = None) -> bytes:
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, 0, size) + value + bytes(-len(value) % 4)


def request(port: int, chunks: bytes) -> Packet:
    return IP(src=CLIENT, dst=VIP) / SCTP(sport=port, dport=99) / Raw(chunks)


def reply(port: int, chunks: bytes) -> Packet:
    return IP(src=SERVER, dst=CLIENT) / SCTP(sport=99, dport=port) / Raw(chunks)


KEY = (2, d.SCTP, bytes((10, 9, 0, 1)), 99, 0)


@pytest.fixture
def nat() -> d.Director:
    director = d.Director()
    assert director.service(d.SCTP, VIP, 99, [(SERVER, 99)]) == KEY
    return director


def moved(director: d.Director, port: int, steps: list[Step]) -> str:
    """Send these chunks as one association; returns the state that it is in then."""
    for side, event in steps:
        if side == "client":
            assert director.client(request(port, chunk(EVENTS[event])))
        else:
            assert director.real(reply(port, chunk(EVENTS[event])))
    return STATES[director.row(f"{CLIENT}:{port}").state]


@pytest.mark.covers("C-179", "C-180")
@pytest.mark.parametrize(
    ("method", "tables"),
    [
        pytest.param(d.MASQ, TWO_WAY, id="both directions seen"),
        pytest.param(d.DROUTE, ONE_WAY, id="only the client seen"),
    ],
)
def test_every_chunk_moves_every_state_as_the_table_says(
    method: int, tables: dict[str, dict[tuple[str, str], str]]
) -> None:
    director = d.Director(sloppy_sctp=1, conn_reuse_mode=0)
    director.service(d.SCTP, VIP, 99, [(SERVER, 99)], method=method)
    port = 1000
    ways = paths(tables)
    assert set(ways) == (set(STATES) if method == d.MASQ else {s for s, _ in table(INPUT_ONLY)})
    for state, way in ways.items():
        for side, moves in tables.items():
            for event in EVENTS:
                if not starts(state, side, event):
                    continue
                port += 1
                expected = moves.get((state, event), state)
                assert moved(director, port, [*way, (side, event)]) == expected, (state, event)
                left_s = director.row(f"{CLIENT}:{port}").left_ms // 1000
                assert left_s == TIMEOUT_S[expected]


@pytest.mark.covers("C-181")
@pytest.mark.parametrize("cookie", [10, 11])
@pytest.mark.parametrize(
    ("behind", "state"),
    [
        pytest.param(chunk(6), "CLOSED", id="an abort counts"),
        pytest.param(chunk(0, b"x" * 12), "INIT", id="data does not"),
        pytest.param(chunk(0, b"x" * 12) + chunk(6), "INIT", id="nor an abort behind data"),
        pytest.param(chunk(6)[:2], "INIT", id="nor half an abort"),
    ],
)
def test_abort_right_behind_a_cookie_is_the_event(
    nat: d.Director, cookie: int, behind: bytes, state: str
) -> None:
    moved(nat, 5000, [("client", "INIT"), ("client", "INIT")])
    nat.client(request(5000, chunk(cookie, b"abc") + behind))
    assert STATES[nat.row(f"{CLIENT}:5000").state] == state


def test_abort_is_sought_behind_the_length_that_the_cookie_claims(nat: d.Director) -> None:
    moved(nat, 5000, [("client", "INIT"), ("client", "INIT")])
    nat.client(request(5000, chunk(10, length=3) + chunk(6)))
    nat.client(request(5000, chunk(10, length=9) + chunk(6)))
    assert STATES[nat.row(f"{CLIENT}:5000").state] == "INIT"
    nat.client(request(5000, chunk(10, length=5) + chunk(9) + chunk(6)))
    assert STATES[nat.row(f"{CLIENT}:5000").state] == "CLOSED"


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 12, 13, 15, 99, 192, 255])
def test_chunks_that_are_no_control_chunks_are_data(kind: int) -> None:
    director = d.Director(sloppy_sctp=1)
    director.service(d.SCTP, VIP, 99, [(SERVER, 99)])
    director.client(request(5000, chunk(kind)))
    assert STATES[director.row(f"{CLIENT}:5000").state] == "EST"


def test_packet_without_a_whole_chunk_leaves_the_state(nat: d.Director) -> None:
    moved(nat, 5000, [("client", "INIT")])
    nat.wait(2)
    assert nat.client(request(5000, b"\x06\0\0"))
    assert nat.real(reply(5000, b""))
    row = nat.row(f"{CLIENT}:5000")
    assert (STATES[row.state], row.left_ms // 1000) == ("INIT1", 4)


@pytest.mark.covers("C-060")
@pytest.mark.parametrize(
    ("sloppy", "kind", "taken"),
    [
        pytest.param(0, 1, True, id="init"),
        pytest.param(0, 10, False, id="cookie"),
        pytest.param(0, 0, False, id="data"),
        pytest.param(0, 6, False, id="abort"),
        pytest.param(1, 10, True, id="sloppy cookie"),
        pytest.param(1, 0, True, id="sloppy data"),
        pytest.param(1, 6, False, id="sloppy abort"),
    ],
)
def test_first_chunk_decides_whether_an_association_is_made(
    sloppy: int, kind: int, taken: bool
) -> None:
    director = d.Director(sloppy_sctp=sloppy)
    director.service(d.SCTP, VIP, 99, [(SERVER, 99)])
    (out,) = director.client(request(5000, chunk(kind)))
    assert out.to == ("real:5" if taken else "host")
    assert len(director.rows()) == taken


def test_packet_without_a_chunk_makes_no_association(nat: d.Director) -> None:
    assert nat.client(request(5000, b"\1\0\0")) == []
    assert nat.engine.reasons() == {"no-ports": 1}


def test_init_on_a_closed_association_starts_anew(nat: d.Director) -> None:
    nat.server(KEY, "10.2.0.6", 99)
    (first,) = nat.client(request(5000, chunk(1)))
    (again,) = nat.client(request(5000, chunk(1)))
    assert again.to == first.to
    nat.client(request(5000, chunk(6)))
    (data,) = nat.client(request(5000, chunk(0)))
    assert data.to == first.to
    (other,) = nat.client(request(5000, chunk(1)))
    assert {first.to, other.to} == {"real:5", "real:6"}
    assert STATES[nat.row(f"{CLIENT}:5000").state] == "INIT1"


def test_established_associations_are_active(nat: d.Director) -> None:
    moved(nat, 5000, [("client", "INIT"), ("real", "I-ACK"), ("client", "C-ECHO")])
    assert nat.counts(KEY) == [(0, 1, 0)]
    nat.real(reply(5000, chunk(11)))
    assert nat.counts(KEY) == [(1, 0, 0)]
    nat.client(request(5000, chunk(7)))
    assert nat.counts(KEY) == [(0, 1, 0)]


def test_abort_of_a_real_server_is_not_answered_unreachable(nat: d.Director) -> None:
    nat.engine.set_setting("nat_icmp_send", 1)
    (told,) = nat.real(reply(6000, chunk(0)))
    assert (told.to, told.packet.payload.name) == ("real:5", "ICMP")
    (back,) = nat.real(reply(6000, chunk(6)))
    assert back.to == "host"
