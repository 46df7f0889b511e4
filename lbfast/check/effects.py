"""What results do to a virtual service: weights, quorum, sorry server, notices (spec 3.7-3.9).

Pure: every method returns the actions that follow, in the order in which they are to be done.
What ought to be in the table is computed from the state, and the edits are the difference.  With a
sorry server what comes is added before what goes is deleted, so that there is always somebody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import NamedTuple

from lbfast.check.actions import (
    Action,
    AddServer,
    AddService,
    Alert,
    DeleteServer,
    DeleteService,
    Edit,
    EditServer,
    EditService,
    FifoLine,
    Note,
    RunScript,
)
from lbfast.check.inherit import given, inhibited
from lbfast.check.names import server_name, service_name
from lbfast.model import RealServer, ServerKey, ServiceKey
from lbfast.model.check import CheckedServer, CheckedService, CheckSettings
from lbfast.model.script import Script

Token = Hashable  # what tells the checkers of one server apart
_MAX_WEIGHT = (1 << 31) - 1


class Known(NamedTuple):
    """What is known of one checker when a service begins."""

    server: ServerKey
    token: Token
    is_up: bool
    share: int = 0  # what it adds to the configured weight


class ServerStatus:
    """A real server with what its checkers say."""

    __slots__ = ("alive", "config", "failed", "shares")

    def __init__(self, config: CheckedServer) -> None:
        self.config = config
        self.failed: set[Token] = set()
        self.shares: dict[Token, int] = {}  # what each checker adds to the configured weight
        self.alive = True

    @property
    def weight(self) -> int:
        """The effective weight, never below 0."""
        wanted = self.config.server.weight + sum(self.shares.values())
        return max(0, min(wanted, _MAX_WEIGHT))


class ServiceStatus:
    """A virtual service: its servers, its quorum, and what the table holds of it."""

    def __init__(self, config: CheckedService, settings: CheckSettings) -> None:
        self.config = config
        self.settings = settings
        self.name = service_name(config)
        self.servers = {one.server.key: ServerStatus(one) for one in config.servers}
        self.has_quorum = False
        self.table: dict[ServiceKey, dict[ServerKey, RealServer]] = {}

    # what ought to be

    @property
    def sorry_is_active(self) -> bool:
        return self.config.sorry is not None and not self.has_quorum

    @property
    def total_weight(self) -> int:
        return sum(server.weight for server in self.servers.values() if server.alive)

    def desired(self) -> dict[ServerKey, RealServer]:
        """Returns the servers that ought to be in the table, in the order of the file."""
        table: dict[ServerKey, RealServer] = {}
        for key, server in self.servers.items():
            if server.alive and not self.sorry_is_active:
                table[key] = replace(server.config.server, weight=server.weight)
            elif inhibited(self.config, server.config):
                table[key] = replace(server.config.server, weight=0)
        sorry = self.config.sorry
        if sorry is not None:
            if self.sorry_is_active:
                table[sorry.server.key] = replace(sorry.server, weight=1)
            elif sorry.inhibit:
                table.setdefault(sorry.server.key, replace(sorry.server, weight=0))
        return table

    def _edits(self) -> list[Action]:
        """Returns what the table lacks, then what it has too much, and takes both as done."""
        desired = self.desired()
        edits: list[Action] = []
        for service in self.config.services:
            key, held = service.key, self.table.setdefault(service.key, {})
            edits += server_edits(key, held, desired)
            self.table[key] = desired
        return edits

    # from start to stop

    def start(self, checks: Iterable[Known] = ()) -> list[Action]:
        """Begins with what is known of the checkers; returns services, servers, notices."""
        self._learn(checks)
        quorum = self._judge(is_start=True)
        actions: list[Action] = [AddService(service) for service in self.config.services]
        actions += self._edits()
        if self.settings.rs_init_notifies:
            for server in self.servers.values():
                if server.alive:
                    actions += _script(server.config.notify_up)
        return actions + quorum

    def stop(self, *, is_removed: bool = False) -> list[Action]:
        """Returns what ends a service; its down scripts run with omega, or if it was removed."""
        actions: list[Action] = []
        if is_removed or self.config.omega:
            for key, server in self.servers.items():
                if server.alive:
                    actions += self._server_notices(key, server, "DOWN")
            if self.has_quorum:
                actions += self._quorum_notices("DOWN", "Shutting down")
        for service, held in self.table.items():
            if self.settings.lvs_flush_on_stop != "VS" or is_removed:
                actions += [DeleteServer(service, server) for server in held]
            actions.append(DeleteService(service))
        return actions

    def reload(self, old: ServiceStatus, checks: Iterable[Known]) -> list[Action]:
        """Takes over from the service as it was, with what is known of the checkers."""
        self.has_quorum, self.table = old.has_quorum, old.table
        self._learn(checks)
        actions = self._service_edits(old)
        for key, gone in old.servers.items():
            if key not in self.servers and gone.alive:
                actions.append(Note(f"Removing service {self._server(key)} from VS {self.name}"))
                actions += self._server_notices(key, gone, "DOWN")
        for key, server in self.servers.items():
            was = old.servers.get(key)
            if was is not None and was.alive != server.alive:
                actions += self._server_notices(key, server, "UP" if server.alive else "DOWN")
        quorum = self._judge()
        return actions + self._edits() + quorum

    def _learn(self, checks: Iterable[Known]) -> None:
        for known in checks:
            server = self.servers[known.server]
            if not known.is_up:
                server.failed.add(known.token)
            if known.share:
                server.shares[known.token] = known.share
        for server in self.servers.values():
            server.alive = not server.failed

    def _service_edits(self, old: ServiceStatus) -> list[Action]:
        before = {service.key: service for service in old.config.services}
        now = {service.key for service in self.config.services}
        edits: list[Action] = []
        for gone in [key for key in self.table if key not in now]:
            edits += [DeleteServer(gone, server) for server in self.table.pop(gone)]
            edits.append(DeleteService(gone))
        for service in self.config.services:
            if service.key not in before:
                edits.append(AddService(service))
            elif before[service.key] != service:
                edits.append(EditService(service))
        return edits

    # results

    def up(self, key: ServerKey, token: Token, reason: str) -> list[Action]:
        """Takes that a checker is up; the last one to recover brings the server up."""
        server = self.servers[key]
        server.failed.discard(token)
        if server.failed or server.alive:
            return self._checker_mail(key, server, "UP", reason)
        server.alive = True
        return [
            Note(f"Adding service {self._server(key)} to VS {self.name}"),
            *self._edits(),
            *self._server_notices(key, server, "UP"),
            *self._settle(),
            *self._mail(key, server, "UP", reason),
        ]

    def down(self, key: ServerKey, token: Token, reason: str) -> list[Action]:
        """Takes that a checker is down; the first one to fail takes the server down."""
        server = self.servers[key]
        server.failed.add(token)
        if not server.alive:
            return self._checker_mail(key, server, "DOWN", reason)
        server.alive = False
        return [
            Note(f"Removing service {self._server(key)} from VS {self.name}"),
            *self._edits(),
            *self._server_notices(key, server, "DOWN"),
            *self._settle(),
            *self._mail(key, server, "DOWN", reason),
        ]

    def still_down(self, key: ServerKey) -> list[Action]:
        """Takes that an alpha server's first attempt failed: its scripts hear of it (spec 3.2)."""
        return self._server_notices(key, self.servers[key], "DOWN")

    def share(self, key: ServerKey, token: Token, share: int) -> list[Action]:
        """Takes what a checker adds to the configured weight, below 0 to lower it."""
        server = self.servers[key]
        before = server.weight
        server.shares[token] = share
        if server.weight == before:
            return []
        text = f"Changing weight from {before} to {server.weight} for {self._server(key)}"
        return [Note(f"{text} of VS {self.name}"), *self._edits(), *self._settle()]

    # quorum

    def _settle(self) -> list[Action]:
        """Judges the quorum; returns the edits that follow and its notices."""
        notices = self._judge()
        return [*self._edits(), *notices]

    def _judge(self, *, is_start: bool = False) -> list[Action]:
        weight, quorum, hysteresis = self.total_weight, self.config.quorum, self.config.hysteresis
        sums = f"{quorum}{{}}{hysteresis}={{}}"
        if not self.has_quorum and weight and weight >= quorum + hysteresis:
            self.has_quorum = True
            what = "Starting with quorum up" if is_start else "Gained quorum"
            text = f"{what} {sums.format('+', quorum + hysteresis)} <= {weight}"
            return self._quorum_notices("UP", text)
        starts_down = is_start and self.sorry_is_active
        if starts_down or (self.has_quorum and (not weight or weight < quorum - hysteresis)):
            self.has_quorum = False
            what = "Starting with quorum down" if is_start else "Lost quorum"
            text = f"{what} {sums.format('-', quorum - hysteresis)} > {weight}"
            return self._quorum_notices("DOWN", text)
        return []

    def _quorum_notices(self, state: str, text: str) -> list[Action]:
        script = self.config.quorum_up if state == "UP" else self.config.quorum_down
        notices: list[Action] = [Note(f"{text} for VS {self.name}"), *_script(script)]
        notices.append(FifoLine(f"VS {self.name} {state}"))
        if given(self.config.smtp_alert, given(self.settings.smtp_alert, False)):
            notices.append(Alert(f"Virtualserver {self.name} - {state}", text))
        return notices

    # notices of servers

    def _server(self, key: ServerKey) -> str:
        return server_name(self.config, key)

    def _server_notices(self, key: ServerKey, server: ServerStatus, state: str) -> list[Action]:
        script = server.config.notify_up if state == "UP" else server.config.notify_down
        line = f"RS {self._server(key)} {self.name} {state}"
        return [*_script(script), FifoLine(line)]

    def _mail(self, key: ServerKey, server: ServerStatus, state: str, reason: str) -> list[Action]:
        if not given(server.config.smtp_alert, given(self.settings.smtp_alert, True)):
            return []
        subject = f"Realserver {self._server(key)} of virtual server {self.name} - {state}"
        return [Alert(subject, reason)]

    def _checker_mail(
        self, key: ServerKey, server: ServerStatus, state: str, reason: str
    ) -> list[Action]:
        """One checker changed and the server did not: a mail, unless those are not wanted."""
        if self.settings.no_checker_emails:
            return []
        return self._mail(key, server, state, reason)


def server_edits(
    key: ServiceKey, held: dict[ServerKey, RealServer], desired: dict[ServerKey, RealServer]
) -> list[Edit]:
    """Returns the edits from the servers a service has to those it ought to have."""
    edits: list[Edit] = []
    for server_key, server in desired.items():
        if server_key not in held:
            edits.append(AddServer(key, server))
        elif held[server_key] != server:
            edits.append(EditServer(key, server))
    edits += [DeleteServer(key, gone) for gone in held if gone not in desired]
    return edits


def _script(script: Script | None) -> list[Action]:
    return [] if script is None else [RunScript(script)]
