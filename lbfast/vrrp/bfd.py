"""Bidirectional Forwarding Detection, asynchronous mode (RFC 5880), sans-IO.

```
0                   1                   2                   3
+-------+---------+---+-+-+-+-+-+-+---------------+---------------+
| Vers  |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
+-------+---------+---+-+-+-+-+-+-+---------------+---------------+
| my discriminator | your discriminator | desired min TX interval |
| required min RX interval | required min echo RX interval (0)     |
+------------------------------------------------------------------+
```
Intervals are microseconds on the wire; `now` is monotonic nanoseconds.
"""

from __future__ import annotations

import enum
import random
import struct
from dataclasses import dataclass

from lbfast.errors import WireError
from lbfast.model.vrrp import BfdInstance

PORT, MULTIHOP_PORT = 3784, 4784
_PACKET = struct.Struct("!BBBBIIIII")
_VERSION = 1
_POLL, _FINAL, _AUTH, _MULTIPOINT = 0x20, 0x10, 0x04, 0x01
_NS_PER_US = 1000
_SLOWEST_US = 1_000_000  # at least, while a session is not up (RFC 5880 6.8.3)
_EXPIRED, _NEIGHBOR_DOWN, _ADMIN = 1, 3, 7  # diagnostics
_REASONS = {_EXPIRED: "the neighbour is silent", _NEIGHBOR_DOWN: "the neighbour says so"}


class BfdState(enum.IntEnum):
    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


@dataclass(frozen=True, slots=True)
class Control:
    """A control packet."""

    state: BfdState
    multiplier: int
    mine: int
    yours: int
    min_tx_us: int
    min_rx_us: int
    diagnostic: int = 0
    is_poll: bool = False
    is_final: bool = False


def encode(packet: Control) -> bytes:
    flags = (_POLL if packet.is_poll else 0) | (_FINAL if packet.is_final else 0)
    return _PACKET.pack(
        _VERSION << 5 | packet.diagnostic,
        packet.state << 6 | flags,
        packet.multiplier,
        _PACKET.size,
        packet.mine,
        packet.yours,
        packet.min_tx_us,
        packet.min_rx_us,
        0,
    )


def decode(data: bytes) -> Control:
    """Read a packet; WireError for what RFC 5880 6.8.6 says must be discarded."""
    if len(data) < _PACKET.size or not _PACKET.size <= data[3] <= len(data):
        raise WireError(f"BFD: {len(data)} bytes, expected at least 24 and what byte 3 says")
    first, second, multiplier, _, mine, yours, min_tx, min_rx, _ = _PACKET.unpack_from(data)
    state = BfdState(second >> 6)
    if first >> 5 != _VERSION or not multiplier or not mine:
        raise WireError("BFD: another version, no multiplier or no discriminator")
    if second & (_AUTH | _MULTIPOINT):
        raise WireError("BFD: authentication or multipoint, expected neither")
    if not yours and state > BfdState.DOWN:
        raise WireError("BFD: a session without our discriminator")
    poll, final = bool(second & _POLL), bool(second & _FINAL)
    return Control(state, multiplier, mine, yours, min_tx, min_rx, first & 0x1F, poll, final)


# state, what the neighbour says -> state (RFC 5880 6.8.6)
#              neighbour:  ADMIN_DOWN     DOWN           INIT           UP
_NEXT: dict[BfdState, tuple[BfdState, BfdState, BfdState, BfdState]] = {
    BfdState.DOWN: (BfdState.DOWN, BfdState.INIT, BfdState.UP, BfdState.DOWN),
    BfdState.INIT: (BfdState.DOWN, BfdState.INIT, BfdState.UP, BfdState.UP),
    BfdState.UP: (BfdState.DOWN, BfdState.DOWN, BfdState.UP, BfdState.UP),
}


class Session:
    """One session with one neighbour; what it returns is to be sent."""

    def __init__(self, config: BfdInstance, discriminator: int, now_ns: int) -> None:
        self.config = config
        self.mine = discriminator
        self.state = BfdState.DOWN
        self.diagnostic = 0
        self._yours = 0
        self._their_rx_us = 1
        self._is_polling = False
        self.expires_at: int | None = None
        self.send_at: int | None = None if config.passive else now_ns

    @property
    def is_up(self) -> bool:
        return self.state is BfdState.UP

    @property
    def reason(self) -> str:
        """Return why the session is down, empty if it never was up."""
        return _REASONS.get(self.diagnostic, "")

    @property
    def deadline(self) -> int | None:
        times = (self.expires_at, self.send_at)
        return min((at for at in times if at is not None), default=None)

    def _own_tx_us(self) -> int:
        """Return the desired interval: slow until the session is up."""
        config = self.config
        return config.min_tx_us if self.is_up else max(config.idle_tx_us, _SLOWEST_US)

    def _plan(self, now_ns: int) -> None:
        """Plan the next packet, up to a quarter earlier than the interval (6.8.7)."""
        if self._their_rx_us == 0:
            self.send_at = None
            return
        highest = 0.9 if self.config.multiplier == 1 else 1.0
        interval_us = max(self._own_tx_us(), self._their_rx_us)
        jitter = random.uniform(0.75, highest)
        self.send_at = now_ns + int(interval_us * jitter) * _NS_PER_US

    def _packet(self, *, is_final: bool = False) -> bytes:
        return encode(
            Control(
                self.state,
                self.config.multiplier,
                self.mine,
                self._yours,
                self._own_tx_us(),
                self.config.min_rx_us,
                self.diagnostic,
                self._is_polling and not is_final,
                is_final,
            )
        )

    def on_packet(self, packet: Control, now_ns: int) -> list[bytes]:
        """Take a packet that was found to be of this session."""
        if packet.yours not in (0, self.mine):
            return []
        self._yours = packet.mine
        changes_pace = self._their_rx_us != packet.min_rx_us
        self._their_rx_us = packet.min_rx_us
        if packet.is_final:
            self._is_polling = False
        before = self.state
        self.state = _NEXT[before][packet.state]
        if before is BfdState.UP and not self.is_up:
            self.diagnostic = _NEIGHBOR_DOWN
        if self.is_up and before is not BfdState.UP:
            self.diagnostic, self._is_polling = 0, True
        detect_us = packet.multiplier * max(self.config.min_rx_us, packet.min_tx_us)
        self.expires_at = now_ns + detect_us * _NS_PER_US
        if self.state is not before or changes_pace or self.send_at is None:
            self._plan(now_ns)
        answers = [self._packet()] if self.state is not before else []
        return [*answers, self._packet(is_final=True)] if packet.is_poll else answers

    def on_timer(self, now_ns: int) -> list[bytes]:
        """Do what is due."""
        if self.expires_at is not None and self.expires_at <= now_ns:
            self.expires_at = None
            if self.state is not BfdState.DOWN:
                self.state, self.diagnostic = BfdState.DOWN, _EXPIRED
                self._yours, self._is_polling = 0, False
                if self.config.passive:
                    self.send_at = None
        if self.send_at is not None and self.send_at <= now_ns:
            self._plan(now_ns)
            return [self._packet()]
        return []

    def farewell(self) -> bytes:
        """Return the packet that says the session ends on purpose."""
        self.state, self.diagnostic = BfdState.ADMIN_DOWN, _ADMIN
        return self._packet()
