"""What follows from results, as values: edits of the table, and notices to the world."""

from __future__ import annotations

from dataclasses import dataclass

from lbfast.model import RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.script import Script


@dataclass(frozen=True, slots=True)
class AddService:
    service: VirtualService


@dataclass(frozen=True, slots=True)
class EditService:
    service: VirtualService


@dataclass(frozen=True, slots=True)
class DeleteService:
    key: ServiceKey


@dataclass(frozen=True, slots=True)
class AddServer:
    key: ServiceKey
    server: RealServer


@dataclass(frozen=True, slots=True)
class EditServer:
    key: ServiceKey
    server: RealServer


@dataclass(frozen=True, slots=True)
class DeleteServer:
    key: ServiceKey
    server: ServerKey


@dataclass(frozen=True, slots=True)
class RunScript:
    script: Script


@dataclass(frozen=True, slots=True)
class FifoLine:
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A mail; the router's id goes before the subject."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the log."""

    text: str


Edit = AddService | EditService | DeleteService | AddServer | EditServer | DeleteServer
Notice = RunScript | FifoLine | Alert | Note
Action = Edit | Notice
