"""When a master announces its addresses by gratuitous ARP or unsolicited NA (spec 4.4, 2.6)."""

from __future__ import annotations

from lbfast.model.vrrp import Garp
from lbfast.vrrp.actions import NS_PER_US, Announce


class GarpTimers:
    """The bursts still to come; times in monotonic nanoseconds."""

    __slots__ = ("extra_at", "garp", "refresh_at", "second_at", "second_repeat")

    def __init__(self, garp: Garp) -> None:
        self.garp = garp
        self.clear()

    def clear(self) -> None:
        """Forget everything: the instance leads no more."""
        self.second_at: int | None = None
        self.second_repeat = 0
        self.refresh_at: int | None = None
        self.extra_at: int | None = None

    def lead(self, now_ns: int) -> list[Announce]:
        """Return the burst of a new master and plan the following ones."""
        garp = self.garp
        self.clear()
        self._second(now_ns, garp.master_delay_us, garp.master_repeat)
        self.refresh_at = _after(now_ns, garp.refresh_us)
        self.extra_at = _after(now_ns, garp.extra_if_us)
        return [Announce(garp.master_repeat)]

    def insist(self, now_ns: int) -> list[Announce]:
        """Return the burst after a lower advert, and plan its repetition."""
        garp = self.garp
        if not garp.lower_prio_repeat:
            return []
        self._second(now_ns, garp.lower_prio_delay_us, garp.lower_prio_repeat)
        return [Announce(garp.lower_prio_repeat)]

    def _second(self, now_ns: int, delay_us: int, repeat: int) -> None:
        if delay_us:
            self.second_at, self.second_repeat = now_ns + delay_us * NS_PER_US, repeat

    @property
    def deadline(self) -> int | None:
        times = (self.second_at, self.refresh_at, self.extra_at)
        return min((at for at in times if at is not None), default=None)

    def due(self, now_ns: int) -> list[Announce]:
        """Return the bursts whose time has come, and plan periodic ones again."""
        found = []
        if self.second_at is not None and self.second_at <= now_ns:
            found.append(Announce(self.second_repeat))
            self.second_at = None
        if self.refresh_at is not None and self.refresh_at <= now_ns:
            found.append(Announce(self.garp.refresh_repeat))
            self.refresh_at = _after(now_ns, self.garp.refresh_us)
        if self.extra_at is not None and self.extra_at <= now_ns:
            found.append(Announce(1, elsewhere=True))
            self.extra_at = _after(now_ns, self.garp.extra_if_us)
        return found


def _after(now_ns: int, delay_us: int) -> int | None:
    return now_ns + delay_us * NS_PER_US if delay_us else None


class Pacer:
    """Keeps a minimum gap between announcements that share a budget (`garp_interval`)."""

    __slots__ = ("_free_at", "gap_ns")

    def __init__(self, gap_us: int) -> None:
        self.gap_ns = gap_us * NS_PER_US
        self._free_at = 0

    def next_slot(self, now_ns: int) -> int:
        """Return when one more frame may leave; every call takes one slot."""
        at = max(now_ns, self._free_at)
        self._free_at = at + self.gap_ns
        return at
