"""What follows from the ledger: the rules, which worker gets replies, replies of this host itself.

All of it is made at the start, and when the table is not as it was left; otherwise differences.
"""

from __future__ import annotations

import logging

from lbfast.control.fanout import FULLNAT, GONE, NAT, Fanout, map_key, replying
from lbfast.control.ledger import FAMILIES, Ledger
from lbfast.control.links import AddressTable
from lbfast.control.localserver import REPLIES, map_keys, part_keys
from lbfast.control.nft import Rules
from lbfast.control.steering import Difference, SteeringPlan
from lbfast.control.waysout import WaysOut
from lbfast.model import AF_INET, AF_INET6
from lbfast.nftlib import NftError

logger = logging.getLogger("lbfast")


class Taking:
    """Takes from the host what the ledger says; `fanout` is set before `begin` if there is one."""

    def __init__(
        self, ledger: Ledger, rules: Rules, ways: WaysOut, addresses: AddressTable
    ) -> None:
        self._ledger, self._rules = ledger, rules
        self._ways, self._addresses = ways, addresses
        self.fanout: Fanout | None = None
        self._own: frozenset[bytes] = frozenset()
        self._seen_changes = -1  # of the addresses, when _own was read
        self._local_keys: frozenset[bytes] = frozenset()
        self._is_in_step = False

    def begin(self, plan: SteeringPlan) -> None:
        """Makes everything, after a plan that the ledger has too; NftError, OSError."""
        self._rules.install(plan)
        self._tell_all(plan)

    def follow(self) -> None:
        """Makes real what differs since the last time; NftError, OSError."""
        if not self._is_in_step:
            self._make_anew()
            return
        self._is_in_step = False
        difference = self._ledger.difference()
        try:
            self._rules.update(difference)
        except NftError as refused:
            logger.warning("the steering table is not as it was left: %s; made it anew", refused)
            self._make_anew()
            return
        self._ledger.settle()
        self._tell(difference)
        self._is_in_step = True

    def watch(self) -> None:
        """Looks whether the table is still there, and for addresses that came or went."""
        if not self._rules.intact():
            self._make_anew()
            logger.warning("the steering table was gone (a flushed ruleset?); made it again")
        elif self._seen_changes != self._addresses.changes:
            self.follow()

    def _make_anew(self) -> None:
        plan = self._ledger.plan()
        self._rules.replace(plan)
        self._tell_all(plan)

    def _tell_all(self, plan: SteeringPlan) -> None:
        self._ledger.settle()
        if self.fanout:
            self.fanout.set_servers(replying(plan))
        self._read_own()
        self._set_local(map_keys(plan, self._own))
        self._is_in_step = True

    def _tell(self, difference: Difference) -> None:
        if self.fanout:
            self.fanout.change(self._replying(difference))
        if self._is_moved():
            slots = [(af, name) for af in FAMILIES for name in REPLIES]
            sets = {slot: self._ledger.elements(slot) for slot in slots}
            self._set_local(part_keys(sets, self._own))
        else:
            less = part_keys(difference.removed)  # the address may have gone as well
            self._set_local(self._local_keys - less | part_keys(difference.added, self._own))

    def _replying(self, difference: Difference) -> dict[bytes, int]:
        """Returns what the servers are now whose address is in other sets than before."""
        found = {}
        for af in FAMILIES:
            for name in ("source_addrs", "full_addrs"):
                for sets in (difference.removed, difference.added):
                    for addr in sets.get((af, name), ()):
                        assert isinstance(addr, bytes)
                        found[map_key(addr)] = self._kind(af, addr)
        return found

    def _kind(self, af: int, addr: bytes) -> int:
        if self._ledger.has(af, "source_addrs", addr):
            return NAT
        return FULLNAT if self._ledger.has(af, "full_addrs", addr) else GONE

    def _is_moved(self) -> bool:
        """Reads the host's addresses; tells whether a NAT server's came or went."""
        if self._seen_changes == self._addresses.changes:
            return False
        before = self._own
        self._read_own()
        return any(
            self._ledger.has(AF_INET if len(addr) == 4 else AF_INET6, "source_addrs", addr)
            for addr in before ^ self._own
        )

    def _read_own(self) -> None:
        self._seen_changes = self._addresses.changes
        self._own = frozenset(addr for _, addr, _ in self._addresses.addresses)

    def _set_local(self, keys: frozenset[bytes]) -> None:
        if keys != self._local_keys:
            self._ways.set_servers(keys)
            self._local_keys = keys
