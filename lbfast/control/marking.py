"""The rules that give packets a fwmark, between the model and the data path."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from lbfast.control.steering import MarkRule
from lbfast.errors import KernelError
from lbfast.model.marks import MAX_MARK_RULES, FwmarkRule

NO_INTERFACE = 0x7FFFFFFF  # an ifindex that nothing comes in at
IndexOf = Callable[[str], int]


def interface_index(name: str) -> int:
    """Returns the ifindex of an interface; NO_INTERFACE while there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return NO_INTERFACE


def engine_row(rule: FwmarkRule, index_of: IndexOf = interface_index) -> tuple[Any, ...]:
    """Returns a rule as `Engine.marks_replace` takes it."""
    ifindex = index_of(rule.interface) if rule.interface else 0
    return (
        *(rule.mark, rule.af, rule.protocol, ifindex),
        *(rule.src, rule.src_len, rule.dst, rule.dst_len, rule.sport, rule.dport),
        rule.interface.encode(),
    )


def model_rule(row: tuple[Any, ...]) -> FwmarkRule:
    """Returns a row of `Engine.marks` as a rule."""
    mark, af, protocol, _, src, src_len, dst, dst_len, sport, dport, interface = row
    name = interface.decode(errors="surrogateescape")
    return FwmarkRule(mark, af, protocol, name, src, src_len, dst, dst_len, sport, dport)


def steering_rule(row: tuple[Any, ...]) -> MarkRule:
    """Returns a row of `Engine.marks` as steering needs it."""
    return MarkRule(*row[:-1])


def without_rule(rules: list[FwmarkRule], rule: FwmarkRule) -> list[FwmarkRule]:
    """Returns the rules without one; ENOENT when it is not there."""
    if rule not in rules:
        raise KernelError(errno.ENOENT)
    return [each for each in rules if each != rule]


def check(rules: list[FwmarkRule]) -> None:
    """Judges a whole list: EEXIST when a rule is there twice, ENOSPC when there are too many."""
    if len(set(rules)) != len(rules):
        raise KernelError(errno.EEXIST)
    if len(rules) > MAX_MARK_RULES:
        raise KernelError(errno.ENOSPC)
