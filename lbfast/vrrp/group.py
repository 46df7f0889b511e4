"""Sync groups: members lead together, fail together and step back together (spec 4.9)."""

from __future__ import annotations

from lbfast.model.vrrp import SyncGroup
from lbfast.vrrp.actions import State
from lbfast.vrrp.machine import Machine

_READY = (State.BACKUP, State.MASTER)


class Group:
    """A sync group over the machines of its members; decides, and leaves acting to the router."""

    def __init__(self, config: SyncGroup, members: list[Machine]) -> None:
        self.config = config
        self.members = members
        self.state = State.INIT

    @property
    def cause(self) -> str:
        return f"group {self.config.name}"

    def agrees(self) -> bool:
        """Say whether those who do not lead yet may do so now.

        Every member must be fit.  Each must have run out of its own down timer, but when one has
        done so because its master said goodbye, the other router is known to leave as a whole.
        """
        if any(member.state not in _READY for member in self.members):
            return False
        wanting = [member for member in self.members if member.wants_master]
        if any(member.master_priority == 0 for member in wanting if member.master_source):
            return True
        others = [member for member in self.members if not member.wants_master]
        return bool(wanting) and all(member.state is State.MASTER for member in others)

    def failing(self) -> dict[str, bool]:
        """Return for each member whether another one's own cause makes it fail."""
        own = {member.instance.name: bool(member.causes - {self.cause}) for member in self.members}
        return {name: any(fails for other, fails in own.items() if other != name) for name in own}

    def new_state(self) -> State | None:
        """Return the group's state if it has changed; a mixture is no state."""
        states = {member.state for member in self.members}
        if State.FAULT in states:
            state = State.FAULT
        elif len(states) == 1:
            state = states.pop()
        else:
            return None
        if state is self.state:
            return None
        self.state = state
        return state
