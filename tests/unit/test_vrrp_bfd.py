"""BFD sessions: packets byte for byte, two of them over a simulated wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.errors import WireError
from lbfast.model.vrrp import BfdInstance
from lbfast.vrrp.bfd import BfdState, Control, Session, decode, encode

MS = 1_000_000
FAST = BfdInstance("x", bytes((10, 9, 0, 1)), min_rx_us=20_000, min_tx_us=20_000, multiplier=3)


def test_packet_is_as_the_standard_draws_it() -> None:
    packet = Control(BfdState.UP, 5, 0x01020304, 0x0A0B0C0D, 10_000, 20_000, 3, is_poll=True)
    assert encode(packet).hex() == (
        "23e005180102030 40a0b0c0d 00002710 00004e20 00000000".replace(" ", "")
    )
    assert decode(encode(packet)) == packet


@pytest.mark.parametrize(
    ("at", "value"), [(0, 0x40), (1, 0x04), (1, 0x01), (2, 0), (3, 23), (3, 25)]
)
def test_packet_that_must_be_discarded_is(at: int, value: int) -> None:
    good = bytearray(encode(Control(BfdState.DOWN, 5, 1, 0, 10, 10)))
    good[at] = value
    with pytest.raises(WireError, match="BFD"):
        decode(bytes(good))


@pytest.mark.parametrize("state", [BfdState.INIT, BfdState.UP])
def test_running_session_must_name_our_discriminator(state: BfdState) -> None:
    with pytest.raises(WireError, match="discriminator"):
        decode(encode(Control(state, 5, 1, 0, 10, 10)))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    try:
        packet = decode(data)
    except WireError:
        return
    assert (packet.mine, packet.multiplier) == (int.from_bytes(data[4:8], "big"), data[2])


class Wire:
    """Two sessions and the time; `is_cut` loses everything."""

    def __init__(self, a: BfdInstance = FAST, b: BfdInstance = FAST) -> None:
        self.ends = [Session(a, 11, 0), Session(b, 22, 0)]
        self.now = 0
        self.is_cut = False
        self.sent = [0, 0]

    def _deliver(self, sender: int, packets: list[bytes]) -> None:
        self.sent[sender] += len(packets)
        for packet in [] if self.is_cut else packets:
            other = 1 - sender
            answers = self.ends[other].on_packet(decode(packet), self.now)
            self._deliver(other, answers)

    def run(self, until: int) -> None:
        while True:
            deadlines = [end.deadline for end in self.ends]
            at, number = min(
                (until + 1 if at is None else at, n) for n, at in enumerate(deadlines)
            )
            if at > until:
                self.now = until
                return
            self.now = at
            self._deliver(number, self.ends[number].on_timer(at))

    def states(self) -> list[BfdState]:
        return [end.state for end in self.ends]


def test_session_comes_up_and_goes_fast() -> None:
    wire = Wire()
    wire.run(3000 * MS)
    assert wire.states() == [BfdState.UP, BfdState.UP]
    wire.sent = [0, 0]
    wire.run(4000 * MS)
    assert all(50 <= count <= 70 for count in wire.sent)  # 20 ms, up to a quarter early


def test_silence_is_noticed_after_the_multiplier() -> None:
    wire = Wire()
    wire.run(3000 * MS)
    wire.is_cut = True
    wire.run(wire.now + 39 * MS)
    assert wire.states() == [BfdState.UP, BfdState.UP]
    wire.run(wire.now + 22 * MS)
    assert wire.states() == [BfdState.DOWN, BfdState.DOWN]
    assert wire.ends[0].diagnostic == 1
    wire.is_cut = False
    wire.run(wire.now + 4000 * MS)
    assert wire.states() == [BfdState.UP, BfdState.UP]


def test_neighbour_that_says_goodbye_is_down_at_once() -> None:
    wire = Wire()
    wire.run(3000 * MS)
    first, second = wire.ends
    second.on_packet(decode(first.farewell()), wire.now)
    assert (second.state, second.diagnostic) == (BfdState.DOWN, 3)


def test_slow_neighbour_sets_the_pace() -> None:
    slow = BfdInstance("y", FAST.neighbor, min_rx_us=200_000, min_tx_us=20_000, multiplier=3)
    wire = Wire(FAST, slow)
    wire.run(3000 * MS)
    wire.sent = [0, 0]
    wire.run(5000 * MS)
    assert 10 <= wire.sent[0] <= 14
    assert wire.sent[1] > 90


def test_passive_session_waits_to_be_asked() -> None:
    passive = BfdInstance("y", FAST.neighbor, passive=True)
    assert Session(passive, 1, 0).deadline is None
    wire = Wire(FAST, passive)
    wire.run(3000 * MS)
    assert wire.states() == [BfdState.UP, BfdState.UP]


def test_packet_for_another_session_is_ignored() -> None:
    session = Session(FAST, 11, 0)
    assert session.on_packet(Control(BfdState.INIT, 3, 5, 12, 1, 1), 0) == []
    assert session.state is BfdState.DOWN


def test_poll_is_answered_once() -> None:
    session = Session(FAST, 11, 0)
    answers = session.on_packet(Control(BfdState.DOWN, 3, 5, 0, 1, 1, is_poll=True), 0)
    assert [decode(answer).is_final for answer in answers] == [False, True]
    again = session.on_packet(Control(BfdState.DOWN, 3, 5, 0, 1, 1, is_final=True), 1)
    assert again == []
