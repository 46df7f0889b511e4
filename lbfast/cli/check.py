"""Whether what a command line asks for makes sense, in the order in which ipvsadm asks."""

from __future__ import annotations

import socket
from collections.abc import Set

from lbfast.cli.draft import Draft, ServiceDraft, usage_error
from lbfast.cli.schedflags import parse_sched_flags
from lbfast.cli.words import CHECK_ORDER, COMMANDS, RULES, TUNNEL_OPTIONS, TUNNEL_RULES, Rule
from lbfast.model import Method, ServiceFlags

DEFAULT_SCHEDULER = "wlc"


def check(draft: Draft) -> None:
    """Completes and judges a draft; raises Stop with the first thing that is wrong."""
    if draft.service.sched_flags:
        scheduler = draft.service.scheduler or DEFAULT_SCHEDULER
        draft.service.flags |= parse_sched_flags(scheduler, draft.service.sched_flags)
    kind = f"'{COMMANDS[draft.command]}' command"
    _check_rule(RULES[draft.command], CHECK_ORDER, draft.given, kind)
    if draft.command in ("add-service", "edit-service"):
        _check_service(draft.service)
    elif draft.command in ("add-server", "edit-server"):
        _check_server(draft)
    elif draft.command == "list":
        _check_list(draft.given)


def _check_rule(rule: Rule, order: tuple[str, ...], given: Set[str], kind: str) -> None:
    """Judges the given options by a rule, in order."""
    first = ""
    for name in order:
        if name not in given:
            if name in rule.compulsory:
                raise usage_error(f"You need to supply the '{name}' option for the {kind}")
        elif name in rule.exclusive:
            if first:
                raise usage_error(
                    f"The option '{name}' conflicts with the '{first}' option in the {kind}"
                )
            first = name
        elif name not in rule.compulsory and name not in rule.optional:
            raise usage_error(f"Illegal '{name}' option with the {kind}")


def _check_service(service: ServiceDraft) -> None:
    is_persistent = bool(service.flags & ServiceFlags.PERSISTENT)
    if not service.fwmark:
        if not service.port and not is_persistent:
            raise usage_error("Zero port specified for non-persistent service")
        if service.flags & ServiceFlags.ONEPACKET and service.protocol != socket.IPPROTO_UDP:
            raise usage_error("One-Packet Scheduling is only for UDP virtual services")
    service.scheduler = service.scheduler or DEFAULT_SCHEDULER


def _check_server(draft: Draft) -> None:
    service, server = draft.service, draft.server
    is_tunnel = server.method is Method.TUNNEL
    # neither direct routing nor tunnelling can change the port
    if not service.fwmark and server.method in (Method.TUNNEL, Method.DROUTE):
        server.port = service.port
    if server.af != service.af and not is_tunnel:
        raise usage_error("Different address family is allowed only for tunneling servers")
    if not is_tunnel and not draft.given.isdisjoint(TUNNEL_OPTIONS):
        raise usage_error("Tunnel options conflict with forward method")
    name = server.tun_type.name.lower()
    _check_rule(TUNNEL_RULES[name], TUNNEL_OPTIONS[1:], draft.given, f"'{name}' tunnel type")


def _check_list(given: Set[str]) -> None:
    of_another_kind = given & {"connection", "timeout", "daemon"}
    if (of_another_kind and given & {"stats", "rate", "thresholds"}) or (
        given & {"timeout", "daemon"} and "persistent-conn" in given
    ):
        raise usage_error("options conflicts in the list command")
