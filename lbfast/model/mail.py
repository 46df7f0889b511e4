"""How mails about transitions are sent (spec/keepalived.md 2.2, 3.11)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mail:
    """Mails go out only where a server and recipients are known."""

    recipients: tuple[str, ...] = ()
    sender: str = ""  # empty: keepalived@HOST
    server: str = ""  # an address or a name
    port: int = 25
    connect_timeout_s: float = 30.0
    helo_name: str = ""  # empty: the host's name
    router_id: str = ""  # begins every subject; empty: the host's name
