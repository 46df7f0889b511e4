"""Keeps packets to virtual addresses from the host itself, for `no_accept` (spec 4.12)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from lbfast.nftlib import NftError, Runner, default_runner
from lbfast.vrrp.kernel import text_of

logger = logging.getLogger(__name__)

_ND = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"


def commands(table: str, priority: int, addresses: Iterable[bytes]) -> str:
    """Return the nftables commands that leave exactly these addresses filtered."""
    v4 = sorted(text_of(addr) for addr in addresses if len(addr) == 4)
    v6 = sorted(text_of(addr) for addr in addresses if len(addr) == 16)
    text = f"add table inet {table}\ndelete table inet {table}\n"
    if not v4 and not v6:
        return text
    chains = ""
    for hook, side in (("input", "daddr"), ("output", "saddr")):
        rules = [f"ip {side} {{ {', '.join(v4)} }} drop"] if v4 else []
        if v6:
            listed = f"ip6 {side} {{ {', '.join(v6)} }}"
            rules += [f"{listed} {_ND}", f"{listed} drop"]
        body = "; ".join(rules)
        chains += f"chain {hook} {{ type filter hook {hook} priority {priority}; {body}; }}\n"
    return f"{text}table inet {table} {{\n{chains}}}\n"


class Firewall:
    """One nftables table, there only while an address is filtered."""

    def __init__(self, table: str, priority: int, runner: Runner | None = None) -> None:
        self._table, self._priority = table, priority
        self._run = runner
        self._blocked: set[bytes] = set()

    def block(self, addresses: Iterable[bytes]) -> None:
        self._change(self._blocked | set(addresses))

    def unblock(self, addresses: Iterable[bytes]) -> None:
        self._change(self._blocked - set(addresses))

    def reset(self) -> None:
        """Remove a table that an earlier run has left."""
        self._write(set())

    def _change(self, blocked: set[bytes]) -> None:
        if blocked == self._blocked:
            return
        self._blocked = blocked
        self._write(blocked)

    def _write(self, blocked: set[bytes]) -> None:
        if self._run is None:
            self._run = default_runner()
        try:
            self._run(commands(self._table, self._priority, blocked))
        except NftError as error:
            logger.warning("no_accept: %s", error)
