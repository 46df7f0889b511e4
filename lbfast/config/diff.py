"""What differs between two configurations, as small edits; pure.

VRRP and the health checks find their own differences, as only they know what state is kept.
What is left: local addresses, and the rules that mark packets.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.model import ServiceKey
from lbfast.model.configuration import Configuration
from lbfast.model.marks import FwmarkRule


@dataclass(frozen=True, slots=True)
class AddLocal:
    """Gives a service a local address."""

    service: ServiceKey
    addr: bytes


@dataclass(frozen=True, slots=True)
class DeleteLocal:
    """Takes a local address from a service."""

    service: ServiceKey
    addr: bytes


@dataclass(frozen=True, slots=True)
class SetMarks:
    """Replaces the rules that mark packets."""

    rules: tuple[FwmarkRule, ...]


def mark_edits(old: Configuration, new: Configuration) -> list[SetMarks]:
    """Returns what makes the forwarder's rules those of the new configuration."""
    return [SetMarks(new.marks)] if old.marks != new.marks else []


def local_edits(old: Configuration, new: Configuration) -> list[AddLocal | DeleteLocal]:
    """Returns the edits of local addresses, of services that are in the table of both.

    What comes is before what goes, so that a service is never without.
    """
    before, after = _locals(old), _locals(new)
    edits: list[AddLocal | DeleteLocal] = [AddLocal(*p) for p in after if p not in before]
    left = {service for service, _ in after} | _services(new)
    edits += [DeleteLocal(*p) for p in before if p not in after and p[0] in left]
    return edits


def _services(configuration: Configuration) -> set[ServiceKey]:
    return {one.key for service in configuration.check.services for one in service.services}


def _locals(configuration: Configuration) -> dict[tuple[ServiceKey, bytes], None]:
    return {
        (entry.service, addr): None
        for entry in configuration.local_addresses
        for addr in entry.addresses
    }
