"""Virtual servers with their health checks, as keepalived.conf describes them (spec 2.10-2.13).

None always means "not said": the value is then inherited (see `lbfast.check.inherit`).  Times are
seconds.  Addresses are bytes in network byte order, ports in host order, 0 or b"" = not said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lbfast.model import RealServer, ServiceKey, Timeouts, VirtualService
from lbfast.model.mail import Mail
from lbfast.model.script import Script
from lbfast.model.vrrp import Fifo, TrackFile

DEFAULT_HELO = "smtpchecker.keepalived.org"


@dataclass(frozen=True, slots=True)
class Timing:
    """What a checker inherits from its real server, and that from its virtual server."""

    delay_loop_s: float | None = None
    connect_timeout_s: float | None = None
    retry: int | None = None
    delay_before_retry_s: float | None = None
    warmup_s: float | None = None
    alpha: bool | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a network check goes to and comes from, where that is not the real server itself."""

    connect_ip: bytes = b""
    connect_port: int = 0
    bindto: bytes = b""
    bind_port: int = 0
    bind_if: str = ""
    fwmark: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """What every kind of check has."""

    timing: Timing = field(default_factory=Timing)
    log_all_failures: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChecker(Checker):
    endpoint: Endpoint = field(default_factory=Endpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpCheck(NetworkChecker):
    """TCP_CHECK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PingCheck(NetworkChecker):
    """PING_CHECK; its endpoint's ports mean nothing."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A PCRE2 pattern that a body must match, or must not."""

    pattern: str
    no_match: bool = False
    options: frozenset[str] = frozenset()  # words of regex_options: caseless, dotall, utf ...
    min_offset: int = 0  # bytes; where a match may start
    max_offset: int | None = None  # bytes; None: anywhere


@dataclass(frozen=True, slots=True)
class Url:
    path: str
    digest: bytes = b""  # MD5 of the body, 16 bytes
    status_codes: tuple[tuple[int, int], ...] = ((200, 299),)  # inclusive ranges
    virtualhost: str = ""
    regex: Regex | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck(NetworkChecker):
    """HTTP_GET, and SSL_GET if `is_ssl`; `nb_get_retry` is `timing.retry`."""

    urls: tuple[Url, ...]
    is_ssl: bool = False
    virtualhost: str = ""
    http_protocol: str = "1.0"  # 1.0, 1.0C or 1.1
    fast_recovery: bool = False
    enable_sni: bool = False
    sni_name: str = ""
    tls_compliant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpCheck(NetworkChecker):
    """SMTP_CHECK; each deprecated `host` block becomes one SmtpCheck more."""

    helo_name: str = DEFAULT_HELO


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsCheck(NetworkChecker):
    """DNS_CHECK; the type in upper case."""

    type: str = "SOA"
    name: str = "."


@dataclass(frozen=True, slots=True)
class Reply:
    """What a UDP answer must be: (answer ^ value) & mask is 0 up to the shorter length."""

    value: bytes = b""
    mask: bytes = b""  # as long as value; an x nibble of the configuration is 0 here
    min_length: int = 0
    max_length: int = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpCheck(NetworkChecker):
    """UDP_CHECK; without a reply, silence is success."""

    payload: bytes | None = None  # None: keepalived's own filler
    reply: Reply | None = None  # require_reply with the limits of its length


@dataclass(frozen=True, slots=True, kw_only=True)
class MiscCheck(Checker):
    """MISC_CHECK; `user` of the block is the script's user."""

    script: Script
    timeout_s: float | None = None  # None: delay_loop
    is_dynamic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck(Checker):
    """FILE_CHECK of one of `CheckConfiguration.track_files`, by name."""

    track_file: str
    weight: int | None = None  # None: the track file's, and its `reverse`
    reverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BfdCheck(Checker):
    """BFD_CHECK of a named session."""

    name: str


@dataclass(frozen=True, slots=True)
class CheckedServer:
    """One real_server block; `server.weight` is the configured weight, inheritance done."""

    server: RealServer
    checkers: tuple[Checker, ...] = ()
    timing: Timing = field(default_factory=Timing)
    inhibit_on_failure: bool | None = None
    notify_up: Script | None = None
    notify_down: Script | None = None
    smtp_alert: bool | None = None
    virtualhost: str = ""


@dataclass(frozen=True, slots=True)
class SorryServer:
    server: RealServer  # its weight means nothing: 1, or 0 while inhibited
    inhibit: bool = False


@dataclass(frozen=True, slots=True)
class CheckedService:
    """One virtual_server block.

    `services` is one IPVS service, or, for a group, one for each address and mark of it; `group`
    is the group's name then, else empty.  A real server is checked once, whatever their number.
    """

    services: tuple[VirtualService, ...]
    group: str = ""
    servers: tuple[CheckedServer, ...] = ()
    sorry: SorryServer | None = None
    timing: Timing = field(default_factory=Timing)
    quorum: int = 1
    hysteresis: int = 0
    quorum_up: Script | None = None
    quorum_down: Script | None = None
    omega: bool = False
    ha_suspend: bool = False
    inhibit_on_failure: bool = False
    smtp_alert: bool | None = None
    virtualhost: str = ""

    @property
    def key(self) -> ServiceKey | str:
        """What a reload knows it by (spec 5.1): the group's name, or the service's key."""
        return self.group or self.services[0].key


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The SSL block: client credentials of every SSL_GET."""

    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What global_defs says to the checkers (spec 2.2)."""

    mail: Mail = field(default_factory=Mail)
    fifos: tuple[Fifo, ...] = ()  # `notify_fifo`, `lvs_notify_fifo`
    tls: TlsFiles = field(default_factory=TlsFiles)
    smtp_alert: bool | None = None  # smtp_alert_checker, else smtp_alert
    no_checker_emails: bool = False
    checker_log_all_failures: bool = False
    rs_init_notifies: bool = False
    lvs_flush: bool = False
    lvs_flush_on_stop: str = ""  # "", "all", or "VS": delete the services, not each server
    lvs_timeouts: Timeouts | None = None  # None: leave them


@dataclass(frozen=True, slots=True)
class CheckConfiguration:
    """All that the checker process needs to know."""

    services: tuple[CheckedService, ...] = ()
    settings: CheckSettings = field(default_factory=CheckSettings)
    track_files: tuple[TrackFile, ...] = ()
