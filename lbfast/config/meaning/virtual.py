"""virtual_server: services, real servers and what is inherited (spec 2.10, 2.11)."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from typing import Any

from lbfast.config.blocks import Draft
from lbfast.config.findings import Place
from lbfast.config.keywords.virtual import (
    DEFAULT_PERSISTENCE_S,
    HASHING,
    GroupEntry,
    MethodWords,
    first_family,
)
from lbfast.config.meaning.checkers import checkers, timing
from lbfast.config.meaning.context import Context
from lbfast.config.meaning.tracking import Trackers
from lbfast.config.values import text_of
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceFlags,
    ServiceKey,
    VirtualService,
)
from lbfast.model.check import CheckedServer, CheckedService, SorryServer
from lbfast.model.configuration import LocalAddresses

_SAME_PORT = (Method.DROUTE, Method.TUNNEL)


def family(addr: bytes) -> int:
    return AF_INET if len(addr) == 4 else AF_INET6


class Service:
    """One virtual_server block on its way to a CheckedService."""

    def __init__(
        self, context: Context, draft: Draft, groups: Mapping[str, Draft], known: Trackers
    ) -> None:
        self.context, self.draft, self.groups, self.known = context, draft, groups, known
        self.name = self._name()
        self.method: MethodWords = draft.get("method", MethodWords(Method.MASQ))

    def _name(self) -> str:
        draft = self.draft
        if "group" in draft:
            return f"virtual_server group {draft.get('group')}"
        if "fwmark" in draft:
            return f"virtual_server fwmark {draft.get('fwmark')}"
        addr, port = draft.get("endpoint")
        return f"virtual_server {text_of(addr)} {port}"

    def error(self, place: Place, found: str, expected: str) -> None:
        self.context.findings.error(place, f"{self.name}: {found}", expected)

    def entries(self) -> list[GroupEntry]:
        """Returns the addresses and marks of this block."""
        draft = self.draft
        if "group" not in draft:
            addr, port = draft.get("endpoint", (b"", 0))
            return [GroupEntry(draft.place, addr, port, draft.get("fwmark", 0))]
        group = self.groups.get(draft.get("group"))
        if group is None or not group.get("entries"):
            self.context.findings.note(
                draft.place, f"{self.name}: no such group, or an empty one", "ignored"
            )
            return []
        entries: list[GroupEntry] = group.get("entries")
        return entries

    # ---- the service itself

    def defaults(self) -> tuple[str, int]:
        """Returns scheduler and protocol; what is not said is reported."""
        draft = self.draft
        marks_only = all(entry.fwmark for entry in self.list)
        if "scheduler" not in draft:
            self.error(draft.place, "no lb_algo", "wlc is used")
        if "method" not in draft:
            self.error(draft.place, "no lb_kind", "NAT is used")
        if marks_only:
            if "protocol" in draft:
                self.error(draft.at("protocol"), "protocol of a mark", "ignored")
        elif "protocol" not in draft:
            self.error(draft.place, "no protocol", "UDP is used")
        return draft.get("scheduler", "wlc"), draft.get("protocol", socket.IPPROTO_UDP)

    def persistence(self, protocol: int) -> tuple[int, ServiceFlags]:
        """Returns the persistence time-out, and the flags."""
        draft = self.draft
        flags: ServiceFlags = draft.get("flags", ServiceFlags.NONE)
        for flag, word, place in draft.get("scheduler_flags", []):
            if draft.get("scheduler") in HASHING:
                flags |= flag
            else:
                self.error(place, f"{word} without lb_algo sh or mh", "ignored")
        if draft.get("ops"):
            if protocol == socket.IPPROTO_UDP or all(entry.fwmark for entry in self.list):
                flags |= ServiceFlags.ONEPACKET
            else:
                self.error(draft.at("ops"), "ops needs protocol UDP", "ignored")
        seconds: int = draft.get("persistence_s", 0)
        if not seconds and "granularity" in draft:
            seconds = DEFAULT_PERSISTENCE_S
        if not seconds and any(not entry.fwmark and not entry.port for entry in self.list):
            self.error(draft.place, "no port", f"persistence of {DEFAULT_PERSISTENCE_S} s is set")
            seconds = DEFAULT_PERSISTENCE_S
        return seconds, flags | (ServiceFlags.PERSISTENT if seconds else ServiceFlags.NONE)

    def services(self, default_family: int) -> tuple[VirtualService, ...]:
        scheduler, protocol = self.defaults()
        seconds, flags = self.persistence(protocol)
        found: dict[ServiceKey, VirtualService] = {}
        for entry in self.list:
            key = self._key(entry, protocol, default_family)
            netmask = self._netmask(key.af)
            found[key] = VirtualService(
                key, scheduler, flags, seconds, netmask, self.draft.get("pe_name", "")
            )
        return tuple(found.values())

    def _key(self, entry: GroupEntry, protocol: int, default_family: int) -> ServiceKey:
        if entry.fwmark:
            af = entry.af or self.draft.get("ip_family", default_family)
            return ServiceKey(af, fwmark=entry.fwmark)
        return ServiceKey(family(entry.addr), protocol, entry.addr, entry.port)

    def _netmask(self, af: int) -> int:
        plain = 0xFFFFFFFF if af == AF_INET else 128
        if "granularity" not in self.draft:
            return plain
        of, mask = self.draft.get("granularity")
        if af == AF_INET and of == AF_INET6:
            return int(mask)  # as inet_aton reads a lone number: it is an address
        return int(mask) if of == af else plain

    # ---- families

    def _address(self) -> GroupEntry | None:
        return next((entry for entry in self.list if not entry.fwmark), None)

    def _family(self) -> int:
        """Returns the family of the address, else ip_family, else of the first server; 0: any."""
        if "endpoint" in self.draft:
            return family(self.draft.get("endpoint")[0])
        return int(self.draft.get("ip_family", 0)) or first_family(self.draft)

    def _takes(self, addr: bytes, method: MethodWords) -> bool:
        """Returns whether a server may be of its family: behind a tunnel of any."""
        return method.method is Method.TUNNEL or self._family() in (0, family(addr))

    def _default_family(self, servers: list[CheckedServer]) -> int:
        """Returns the family of marks that name none."""
        written = self._written_families()
        return self._family() or (written.pop() if len(written) == 1 else servers[0].server.key.af)

    def _written_families(self) -> set[int]:
        """Returns the families that the lines of the group name; a mark may name none."""
        return {family(entry.addr) if entry.addr else entry.af for entry in self.list} - {0}

    def is_of_other_family(self) -> bool:
        """Reports a group that is not of the block's family: keepalived says so in its log alone.

        Behind tunnels, without ip_family, a block takes groups of both families.
        """
        own = self._family()
        if not own or self._written_families() <= {own}:
            return False
        name = "IPv4" if own == AF_INET else "IPv6"
        found = f"{self.name}: the block is {name}, not all lines of the group are"
        self.context.findings.note(self.draft.place, found, "ignored")
        return True

    # ---- real servers

    def _fitting(self) -> list[Draft]:
        """Returns the servers of a family that fits; the others are reported."""
        found = []
        for draft in self.draft.get("servers", []):
            addr, _ = draft.get("endpoint")
            if self._takes(addr, draft.get("method", self.method)):
                found.append(draft)
            else:
                self.error(
                    draft.place, f"real_server {text_of(addr)} is of another family", "removed"
                )
        return found

    def servers(self, drafts: list[Draft]) -> list[CheckedServer]:
        found: dict[ServerKey, CheckedServer] = {}
        for draft in drafts:
            server = self._server(draft)
            if server.server.key in found:
                self.error(draft.place, f"real_server {text_of(server.server.key.addr)} again",
                           "the first one holds")  # fmt: skip
                continue
            found[server.server.key] = server
        return list(found.values())

    def _server(self, draft: Draft) -> CheckedServer:
        addr, port = draft.get("endpoint")
        method: MethodWords = draft.get("method", self.method)
        port = self._port(draft, method.method, port, self._address())
        weight = draft.get("weight", self.draft.get("weight", 1))
        server = RealServer(
            ServerKey(family(addr), addr, port),
            method.method,
            weight,
            draft.get("u_threshold", 0),
            draft.get("l_threshold", 0),
            method.tun_type,
            method.tun_port,
            method.tun_flags,
        )
        return CheckedServer(
            server,
            checkers(self.context, draft.get("checkers", []), addr, self.known),
            timing(draft),
            draft.get("inhibit_on_failure"),
            self.context.script(draft.get("notify_up")),
            self.context.script(draft.get("notify_down")),
            draft.get("smtp_alert"),
            draft.get("virtualhost", ""),
        )

    def _port(self, draft: Draft, method: Method, port: int, address: GroupEntry | None) -> int:
        """Returns the port: the service's where none is given, and with DR and TUN."""
        if address is None:
            if port and method is not Method.MASQ:
                self.error(draft.place, f"port {port} of a server of a mark", "ignored")
                return 0
            return port
        if not port:
            return address.port
        if method in _SAME_PORT and port != address.port:
            self.error(draft.place, f"port {port} with that method", f"{address.port} is used")
            return address.port
        return port

    def sorry(self) -> SorryServer | None:
        draft = self.draft
        if "sorry_server" not in draft:
            return None
        addr, port = draft.get("sorry_server")
        method: MethodWords = draft.get("sorry_method", self.method)
        address = self._address()
        if not self._takes(addr, method):
            self.error(draft.at("sorry_server"), "sorry_server of another family", "removed")
            return None
        port = self._port(draft, method.method, port, address)
        server = RealServer(
            ServerKey(family(addr), addr, port), method.method, 1, 0, 0,
            method.tun_type, method.tun_port, method.tun_flags,
        )  # fmt: skip
        return SorryServer(server, draft.get("sorry_inhibit", False))

    # ---- quorum

    def quorum(self, servers: list[CheckedServer]) -> tuple[int, int]:
        draft = self.draft
        total = sum(server.server.weight for server in servers)
        quorum: int = draft.get("quorum", 1)
        hysteresis: int = draft.get("hysteresis", 0)
        if quorum > total:
            self.error(draft.at("quorum"), f"quorum {quorum} above the sum of weights", f"{total}")
            quorum = max(total, 1)
        if hysteresis >= quorum:
            self.error(draft.at("hysteresis"), f"hysteresis {hysteresis} not below the quorum",
                       f"{quorum - 1} is used")  # fmt: skip
            hysteresis = quorum - 1
        return quorum, hysteresis

    def finish(self) -> CheckedService | None:
        """Returns the service with all its servers, None if it has to be left out."""
        draft, context = self.draft, self.context
        self.list = self.entries()
        if not self.list:
            return None
        fitting = self._fitting()
        if self.is_of_other_family():
            return None
        servers = self.servers(fitting)
        if not servers:
            self.error(draft.place, "no real_server", "ignored")
            return None
        services = self.services(self._default_family(servers))
        quorum, hysteresis = self.quorum(servers)
        fields: dict[str, Any] = {
            name: draft.get(name, False) for name in ("omega", "ha_suspend", "inhibit_on_failure")
        }
        return CheckedService(
            services,
            draft.get("group", ""),
            tuple(servers),
            self.sorry(),
            timing(draft),
            quorum,
            hysteresis,
            context.script(draft.get("quorum_up")),
            context.script(draft.get("quorum_down")),
            smtp_alert=draft.get("smtp_alert"),
            virtualhost=draft.get("virtualhost", ""),
            **fields,
        )


def local_addresses(
    context: Context, top: Draft, draft: Draft, made: CheckedService
) -> list[LocalAddresses]:
    """Returns the local addresses of a block's services; FULLNAT cannot do without."""
    groups = {group.get("name"): group for group in top.get("local_address_group", [])}
    found: dict[bytes, None] = dict.fromkeys(draft.get("local_addresses", []))
    for name in draft.get("local_groups", []):
        if name not in groups:
            context.findings.error(
                draft.at("local_groups"), f"no local_address_group {name}", "ignored"
            )
            continue
        found |= dict.fromkeys(groups[name].get("addresses", []))
    is_full = any(s.server.method is Method.FULLNAT for s in made.servers)
    if is_full and not found:
        context.findings.error(draft.place, "FNAT without local_address", "expected one or more")
    if not found:
        return []
    return [LocalAddresses(service.key, tuple(found)) for service in made.services]


def services(
    context: Context, top: Draft, known: Trackers
) -> tuple[tuple[CheckedService, ...], tuple[LocalAddresses, ...]]:
    """Returns all virtual servers and local addresses; of two with one key the first holds."""
    groups = {draft.get("name"): draft for draft in top.get("virtual_server_group", [])}
    for name, draft in groups.items():
        if not draft.get("entries"):
            context.findings.error(draft.place, f"virtual_server_group {name} is empty", "removed")
    taken: set[ServiceKey] = set()
    found = []
    local: list[LocalAddresses] = []
    for draft in top.get("virtual_server", []):
        made = Service(context, draft, groups, known).finish()
        if made is None:
            continue
        again = [service.key for service in made.services if service.key in taken]
        if again:
            context.findings.note(
                draft.place, "virtual_server with a key that is taken", "ignored"
            )
            made = dataclasses.replace(
                made, services=tuple(s for s in made.services if s.key not in taken)
            )
        taken |= {service.key for service in made.services}
        if made.services:
            found.append(made)
            local += local_addresses(context, top, draft, made)
    return tuple(found), tuple(local)
