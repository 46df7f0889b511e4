"""Virtual services with health checks, written shortly, for the tests of lbfast.check."""

from __future__ import annotations

import ipaddress
from typing import Any

from lbfast.check.actions import (
    Action,
    AddServer,
    AddService,
    Alert,
    DeleteServer,
    DeleteService,
    EditServer,
    EditService,
    FifoLine,
    Note,
    RunScript,
)
from lbfast.check.effects import Known, ServiceStatus
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    RealServer,
    ServerKey,
    ServiceKey,
    VirtualService,
)
from lbfast.model.check import CheckedServer, CheckedService, Checker, CheckSettings
from lbfast.model.script import Script

TCP = 6


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def family(text: str) -> int:
    return AF_INET6 if ":" in text else AF_INET


def at(text: str, port: int = 80) -> ServerKey:
    return ServerKey(family(text), packed(text), port)


def vip(text: str = "10.7.0.100", port: int = 80) -> VirtualService:
    return VirtualService(ServiceKey(family(text), TCP, packed(text), port), "rr")


def real(text: str, weight: int = 1, port: int = 80) -> RealServer:
    return RealServer(at(text, port), Method.DROUTE, weight)


def script(word: str) -> Script:
    return Script((f"/{word}",))


def server(text: str, *checkers: Checker, weight: int = 1, **settings: Any) -> CheckedServer:
    """A real server whose scripts are named after it: `/up 10.7.0.11`."""
    defaults: dict[str, Any] = {
        "notify_up": Script(("/up", text)),
        "notify_down": Script(("/down", text)),
        "smtp_alert": False,
    }
    return CheckedServer(real(text, weight), checkers, **(defaults | settings))


def service(*servers: CheckedServer, **settings: Any) -> CheckedService:
    defaults: dict[str, Any] = {
        "services": (vip(),),
        "quorum_up": script("quorum_up"),
        "quorum_down": script("quorum_down"),
    }
    return CheckedService(servers=servers, **(defaults | settings))


def begun(
    config: CheckedService, *failed: str, settings: CheckSettings | None = None
) -> tuple[ServiceStatus, list[Action]]:
    """A service that has started with the checkers of some servers down."""
    status = ServiceStatus(config, settings or CheckSettings())
    return status, status.start([Known(at(one), "check", False) for one in failed])


def shown(key: ServerKey) -> str:
    return str(ipaddress.ip_address(key.addr))


def trace(actions: list[Action], *kinds: type) -> list[str]:
    """The actions as short lines, in order; log lines are left out unless they are asked for."""
    return [_line(one) for one in actions if isinstance(one, kinds or _KINDS)]


def table(actions: list[Action]) -> list[str]:
    """The edits alone."""
    return trace(actions, AddService, EditService, DeleteService, *_SERVER_EDITS)


_SERVER_EDITS = (AddServer, EditServer, DeleteServer)
_KINDS = (AddService, EditService, DeleteService, *_SERVER_EDITS, RunScript, FifoLine, Alert)


def _line(action: Action) -> str:
    match action:
        case AddService(one):
            return f"NEW_SERVICE {shown_service(one.key)}"
        case EditService(one):
            return f"SET_SERVICE {shown_service(one.key)}"
        case DeleteService(key):
            return f"DEL_SERVICE {shown_service(key)}"
        case AddServer(_, real):
            return f"NEW_DEST {shown(real.key)} weight {real.weight}"
        case EditServer(_, real):
            return f"SET_DEST {shown(real.key)} weight {real.weight}"
        case DeleteServer(_, gone):
            return f"DEL_DEST {shown(gone)}"
        case RunScript(script):
            return "run " + " ".join(script.argv)
        case FifoLine(text):
            return f"fifo {text}"
        case Alert(subject, body):
            return f"mail {subject}: {body}"
        case Note(text):
            return f"log {text}"


def shown_service(key: ServiceKey) -> str:
    return f"fwmark {key.fwmark}" if key.fwmark else str(ipaddress.ip_address(key.addr))
