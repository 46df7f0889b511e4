"""One VRRP instance as a state machine: events and `now` in, actions out (spec 4.3-4.9).

No socket, clock or log in here.  Times are monotonic nanoseconds; `at_ns` is when a packet came
in, which may be before `now_ns` when the process was not scheduled in between.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from lbfast.model.vrrp import OWNER_PRIORITY, VrrpInstance
from lbfast.vrrp.actions import (
    NS_PER_US,
    Actions,
    AddAddresses,
    Announce,
    Counters,
    Enter,
    Heard,
    LowerHeard,
    PriorityChanged,
    RemoveAddresses,
    Say,
    SendAdvert,
    State,
    WantMaster,
)
from lbfast.vrrp.checks import sent_interval_us
from lbfast.vrrp.garp import GarpTimers
from lbfast.vrrp.packet import Advert

_SECOND_NS = 1_000_000_000
_PRIORITIES = 256


class Machine:
    """The state of one instance.  Not started before `start`; `deadline` is its next event."""

    def __init__(self, instance: VrrpInstance, *, in_group: bool = False) -> None:
        self.instance = instance
        self.in_group = in_group
        self.state = State.INIT
        self.started = False
        self.priority = instance.priority  # effective
        self.causes: set[str] = set()  # of FAULT
        self.waiting: set[str] = set()  # trackers without a result
        self.interval_ns = sent_interval_us(instance) * NS_PER_US
        self.master_interval_ns = self.interval_ns
        self.master_source = b""
        self.master_priority = 0
        self.wants_master = False  # the down timer has run out, the sync group has not agreed
        self.down_at: int | None = None
        self.advert_at: int | None = None
        self.preempt_at: int | None = None
        self.garp = GarpTimers(instance.garp)
        self.counters = Counters()
        self._was_late = False

    # -- times

    def skew_ns(self) -> int:
        """Return Skew_Time: a lower priority waits longer (RFC 9568 6.1)."""
        base = _SECOND_NS if self.instance.version == 2 else self.master_interval_ns
        return (_PRIORITIES - self.priority) * base // _PRIORITIES

    def down_ns(self) -> int:
        """Return Master_Down_Timer."""
        return self.instance.down_timer_adverts * self.master_interval_ns + self.skew_ns()

    @property
    def deadline(self) -> int | None:
        """Return when `on_timer` is to be called next; None: not before another event."""
        times = (self.down_at, self.advert_at, self.garp.deadline)
        return min((at for at in times if at is not None), default=None)

    # -- start, stop, causes

    def start(self, now_ns: int, *, resumes: bool = False) -> Actions:
        """Leave INIT: everything that is tracked and known by now has been told.

        `resumes`: its process led until a moment ago, and nobody can have noticed its end yet.
        """
        self.started = True
        if resumes and not self.causes:
            self.waiting = set()
            return self.lead(now_ns)
        if self.instance.preempt_delay_us:
            self.preempt_at = now_ns + self.instance.preempt_delay_us * NS_PER_US
        return self._settle(now_ns)

    def _settle(self, now_ns: int) -> Actions:
        """Go where the causes and the missing results allow."""
        if not self.started:
            return []
        if self.causes:
            return [] if self.state is State.FAULT else self._fail()
        if self.state not in (State.INIT, State.FAULT) or self.waiting:
            return []
        owner = self.instance.wants_master and self.priority == OWNER_PRIORITY
        if not owner or self.state is not State.INIT:
            return self._back_up(self.down_ns(), now_ns)
        if not self.in_group:
            return self.lead(now_ns)
        actions = self._back_up(self.down_ns(), now_ns)
        self.down_at, self.wants_master = None, True
        return [*actions, WantMaster()]

    def set_cause(self, name: str, is_down: bool, now_ns: int) -> Actions:
        """Add or remove a cause of FAULT."""
        if is_down:
            self.causes.add(name)
        else:
            self.causes.discard(name)
        return self._settle(now_ns)

    def set_waiting(self, names: set[str], now_ns: int) -> Actions:
        """Say which trackers decide about FAULT and have no result yet."""
        self.waiting = names
        return self._settle(now_ns)

    def stop(self, word: State = State.STOP) -> Actions:
        """End: hand over if master, tell the state `word`."""
        actions = self._release() if self.state is State.MASTER else []
        self._clear_timers()
        self.state, self.started = State.INIT, False
        return [*actions, Enter(word)]

    def _release(self, *, tell: bool = True) -> Actions:
        """Stop leading; with `tell` the others learn it by priority 0."""
        self.counters.released_master += 1
        self._clear_timers()
        last: Actions = []
        if tell:
            self.counters.zero_sent += 1
            self.counters.adverts_sent += 1
            last.append(SendAdvert(0))
        return [*last, RemoveAddresses()]

    def _clear_timers(self) -> None:
        self.advert_at = self.down_at = self.preempt_at = None
        self.wants_master = self._was_late = False
        self.garp.clear()

    def _fail(self) -> Actions:
        actions = self._release() if self.state is State.MASTER else []
        self._clear_timers()
        self.state = State.FAULT
        return [*actions, Say("Entering FAULT STATE"), Enter(State.FAULT)]

    def _back_up(self, wait_ns: int, now_ns: int) -> Actions:
        self.state = State.BACKUP
        self.down_at = now_ns + wait_ns
        return [Say("Entering BACKUP STATE"), Enter(State.BACKUP)]

    def lead(self, now_ns: int) -> Actions:
        """Become master: advert, addresses, announcements, in this order (spec 4.4)."""
        self._clear_timers()
        self.state = State.MASTER
        self.master_interval_ns = self.interval_ns
        self.master_source, self.master_priority = b"", self.priority
        self.counters.became_master += 1
        return [
            Say("Entering MASTER STATE"),
            *self._advertise(now_ns),
            AddAddresses(),
            *self.garp.lead(now_ns),
            Enter(State.MASTER),
        ]

    def follow_backup(self, now_ns: int) -> Actions:
        """Leave MASTER with the sync group, without a word to the others."""
        if self.state is not State.MASTER:
            self.wants_master = False
            if self.state is State.BACKUP:
                self.down_at = now_ns + self.down_ns()
            return []
        actions = self._release(tell=False)
        return [*actions, *self._back_up(self.down_ns(), now_ns)]

    def lost_address(self, now_ns: int) -> Actions:
        """Somebody has taken an address away: hand over, but compete again after one skew."""
        if self.state is not State.MASTER:
            return []
        actions = self._release()
        return [*actions, *self._back_up(self.skew_ns(), now_ns)]

    # -- adverts

    def rank(self, advert: Advert, order: int) -> Heard:
        """Compare an advert with us; `order` is the sign of (its source - our source)."""
        if advert.priority == 0:
            return Heard.ZERO
        if advert.priority != self.priority:
            return Heard.ABOVE if advert.priority > self.priority else Heard.BELOW
        return (Heard.SAME, Heard.EQUAL_ABOVE, Heard.EQUAL_BELOW)[order]

    def on_advert(self, advert: Advert, source: bytes, order: int, at_ns: int) -> Actions:
        """Take an advert that passed the checks and came in at `at_ns`."""
        self.counters.adverts_received += 1
        self.counters.zero_received += advert.priority == 0
        heard = self.rank(advert, order)
        if self.instance.owner_ignore_adverts and self.priority == OWNER_PRIORITY:
            return []
        step = ON_ADVERT[heard][_COLUMN[self.state]]
        return step(self, advert, source, at_ns)

    def _ignore(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        return []

    def _listen(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        """There is a master that we accept: wait for it to be silent."""
        self.preempt_at = None
        return self._accept(advert, source, at_ns)

    def _accept(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        actions: Actions = []
        if source != self.master_source and self.master_source:
            actions.append(Say(f"master is now {format_address(source)}"))
        if self.instance.version == 3 and advert.interval_us * NS_PER_US != (
            self.master_interval_ns
        ):
            actions.append(Say(f"master advertises every {advert.interval_us / 1e6:g} s: learned"))
        self._learn(advert, source)
        self.wants_master = self._was_late = False
        self.down_at = at_ns + self.down_ns()
        return actions

    def _learn(self, advert: Advert, source: bytes) -> None:
        self.master_source, self.master_priority = source, advert.priority
        if self.instance.version == 3 and advert.interval_us:
            self.master_interval_ns = advert.interval_us * NS_PER_US

    def _outbid(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        """A lower master: let it run into our down timer, unless we are told to let it be."""
        instance = self.instance
        if instance.nopreempt:
            return self._listen(advert, source, at_ns)
        if instance.preempt_delay_us:
            if self.preempt_at is None:
                self.preempt_at = at_ns + instance.preempt_delay_us * NS_PER_US
            if at_ns < self.preempt_at:
                return self._accept(advert, source, at_ns)
        return []

    def _shorten(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        """The master stops: whoever has the highest priority has the shortest skew."""
        self.master_priority = 0
        self.down_at = at_ns + self.skew_ns()
        return [Say(f"{format_address(source)} stops being master")]

    def _answer(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        return self._advertise(at_ns)

    def _insist(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        """Somebody lower leads too: tell him, and tell the switches where we are."""
        actions: Actions = [
            Say(f"advert of lower priority {advert.priority} from {format_address(source)}")
        ]
        if not self.instance.lower_prio_no_advert:
            actions += self._advertise(at_ns)
        return [*actions, *self.garp.insist(at_ns), LowerHeard()]

    def repeat_announcements(self, now_ns: int) -> list[Announce]:
        """Return the burst that a lower advert to another member of the sync group causes."""
        return self.garp.insist(now_ns) if self.state is State.MASTER else []

    def _warn(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        text = f"advert of our priority from our address {format_address(source)}"
        return [Say(text, is_warning=True)]

    def _yield(self, advert: Advert, source: bytes, at_ns: int) -> Actions:
        actions: Actions = [
            Say(f"advert of higher priority {advert.priority} from {format_address(source)}")
        ]
        if self.instance.higher_prio_send_advert:
            actions += self._advertise(at_ns)
        actions += self._release(tell=False)
        self._learn(advert, source)
        return [*actions, *self._back_up(self.down_ns(), at_ns)]

    # -- timers

    def on_timer(self, now_ns: int) -> Actions:
        """Do what is due."""
        actions: Actions = []
        if self.down_at is not None and self.down_at <= now_ns:
            actions += self._down(now_ns - self.down_at, now_ns)
        if self.advert_at is not None and self.advert_at <= now_ns:
            actions += self._tick(now_ns - self.advert_at, now_ns)
        return [*actions, *self.garp.due(now_ns)]

    def _down(self, late_ns: int, now_ns: int) -> Actions:
        """The master is silent.  If we were not running ourselves, that proves nothing yet."""
        if late_ns > self.master_interval_ns and not self._was_late:
            self._was_late = True
            self.down_at = now_ns + self.master_interval_ns + self.skew_ns()
            return [self._late(late_ns, "listening for one interval more")]
        self._was_late, self.down_at = False, None
        actions: Actions = [Say("Receive advertisement timeout")]
        if self.in_group:
            self.wants_master = True
            return [*actions, WantMaster()]
        return [*actions, *self.lead(now_ns)]

    def _tick(self, late_ns: int, now_ns: int) -> Actions:
        actions: Actions = []
        if late_ns > self.interval_ns:
            others_ns = self.instance.down_timer_adverts * self.interval_ns
            if self.instance.timer_expired_backup and late_ns > others_ns:
                actions = [self._late(late_ns, "others lead by now"), *self._release(tell=False)]
                return [*actions, *self._back_up(self.down_ns(), now_ns)]
            actions = [self._late(late_ns, "adverts were missing")]
        due = now_ns - late_ns
        actions += self._advertise(now_ns)
        if late_ns < self.interval_ns:
            self.advert_at = due + self.interval_ns  # no drift
        return actions

    def _late(self, late_ns: int, consequence: str) -> Say:
        self.counters.late += 1
        self.counters.worst_late_ns = max(self.counters.worst_late_ns, late_ns)
        text = f"timer served {late_ns / 1e6:.1f} ms late, {consequence}"
        return Say(text, is_warning=True)

    def _advertise(self, now_ns: int) -> Actions:
        self.advert_at = now_ns + self.interval_ns
        self.counters.adverts_sent += 1
        return [SendAdvert(self.priority)]

    # -- priority and configuration

    def set_priority(self, priority: int) -> Actions:
        """Take another effective priority; a running down timer moves by the change of skew."""
        if priority == self.priority:
            return []
        text = f"Changing effective priority from {self.priority} to {priority}"
        before = self.skew_ns()
        self.priority = priority
        if self.down_at is not None:
            self.down_at += self.skew_ns() - before
        return [Say(text), PriorityChanged(priority)]

    def change(self, instance: VrrpInstance, now_ns: int) -> Actions:
        """Go on with a new configuration of the same instance; its state stays (spec 5.1)."""
        learned = self.master_interval_ns != self.interval_ns
        self.instance = instance
        self.interval_ns = sent_interval_us(instance) * NS_PER_US
        if not learned:
            self.master_interval_ns = self.interval_ns
        self.garp.garp = instance.garp
        if self.state is not State.MASTER:
            return []
        return [*self._advertise(now_ns), *self.garp.lead(now_ns)]


def format_address(addr: bytes) -> str:
    """Return an address as text."""
    return str(ipaddress.ip_address(addr)) if addr else "nobody"


Step = Callable[[Machine, Advert, bytes, int], Actions]
_COLUMN = {State.INIT: 0, State.BACKUP: 1, State.MASTER: 2, State.FAULT: 3}
_M = Machine
# fmt: off
ON_ADVERT: dict[Heard, tuple[Step, Step, Step, Step]] = {
    #                   INIT        BACKUP       MASTER      FAULT
    Heard.ZERO:        (_M._ignore, _M._shorten, _M._answer, _M._ignore),
    Heard.BELOW:       (_M._ignore, _M._outbid,  _M._insist, _M._ignore),
    Heard.EQUAL_BELOW: (_M._ignore, _M._listen,  _M._insist, _M._ignore),
    Heard.SAME:        (_M._ignore, _M._listen,  _M._warn,   _M._ignore),
    Heard.EQUAL_ABOVE: (_M._ignore, _M._listen,  _M._yield,  _M._ignore),
    Heard.ABOVE:       (_M._ignore, _M._listen,  _M._yield,  _M._ignore),
}
# fmt: on
