"""What the machines hear and what they ask the service to do; values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

NS_PER_US = 1000


class State(enum.StrEnum):
    """States of an instance; the last two exist for notifications only."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"
    STOP = "STOP"
    DELETED = "DELETED"


class Heard(enum.IntEnum):
    """How an advert compares with the receiver: by priority, then by source address."""

    ZERO = 0
    BELOW = 1
    EQUAL_BELOW = 2
    SAME = 3  # priority and address: our own packet, or a second router with our address
    EQUAL_ABOVE = 4
    ABOVE = 5


@dataclass(frozen=True, slots=True)
class SendAdvert:
    priority: int  # 0: the last one


@dataclass(frozen=True, slots=True)
class AddAddresses:
    """Put addresses, routes, rules and accept-mode filters in place."""


@dataclass(frozen=True, slots=True)
class RemoveAddresses:
    """Take them away again."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Send gratuitous ARPs or unsolicited NAs, `repeat` rounds over all addresses."""

    repeat: int
    elsewhere: bool = False  # on other interfaces that hold VIPs (`garp_extra_if`)


@dataclass(frozen=True, slots=True)
class Enter:
    """The instance has entered a state: notify."""

    state: State


@dataclass(frozen=True, slots=True)
class WantMaster:
    """A member of a sync group would lead; its group decides."""


@dataclass(frozen=True, slots=True)
class LowerHeard:
    """A master has answered a lower advert: notify."""


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    priority: int


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the log, without the instance's name."""

    text: str
    is_warning: bool = False


Action = (
    SendAdvert
    | AddAddresses
    | RemoveAddresses
    | Announce
    | Enter
    | WantMaster
    | LowerHeard
    | PriorityChanged
    | Say
)
Actions = list[Action]


@dataclass(slots=True)
class Counters:
    """What an instance has lived through (the numbers of the statistics dump)."""

    adverts_received: int = 0
    adverts_sent: int = 0
    became_master: int = 0
    released_master: int = 0
    zero_received: int = 0
    zero_sent: int = 0
    late: int = 0  # times a timer was served too late to be believed
    worst_late_ns: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> packets

    def clear(self) -> None:
        """Begin to count anew; who holds this object goes on with it."""
        fresh = Counters()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))
