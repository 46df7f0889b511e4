"""What the VRRP process needs to know, as frozen values (keepalived's sections, spec 2.3-2.8).

Every value is the one in force: the configuration has already applied `global_defs`,
`vrrp_strict` and the consistency rules of spec 2.6. Addresses are `bytes` in network byte
order; times ending in `_us` are whole microseconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from lbfast.model import AF_INET
from lbfast.model.mail import Mail
from lbfast.model.netlines import Address, Route, Rule
from lbfast.model.script import Script

SECOND_US = 1_000_000
OWNER_PRIORITY = 255
DEFAULT_GROUP4 = bytes((224, 0, 0, 18))
DEFAULT_GROUP6 = bytes.fromhex("ff020000000000000000000000000012")


class AuthType(enum.IntEnum):
    """The numbers of the version 2 header."""

    NONE = 0
    PASS = 1
    AH = 2


class VmacKind(enum.IntEnum):
    NONE = 0
    MACVLAN = 1
    IPVLAN = 2


@dataclass(frozen=True, slots=True)
class Track:
    """One line of track_interface, track_script, track_file, track_process or track_bfd.

    `weight` is the one in force: the line's own, else that of the object it names.
    """

    name: str
    weight: int = 0  # 0: the object decides between running and FAULT
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Tracking:
    """What an instance or a sync group watches."""

    interfaces: tuple[Track, ...] = ()
    scripts: tuple[Track, ...] = ()
    files: tuple[Track, ...] = ()
    processes: tuple[Track, ...] = ()
    bfds: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True)
class VrrpScript:
    """A `vrrp_script` block."""

    name: str
    script: Script
    interval_us: int = SECOND_US  # from start to start
    timeout_us: int = 0  # 0: as the interval
    weight: int = 0
    reverse: bool = False
    rise: int = 1
    fall: int = 1
    init_fail: bool = False


@dataclass(frozen=True, slots=True)
class TrackFile:
    """A `track_file` (`vrrp_track_file`) block."""

    name: str
    path: str
    weight: int = 1
    reverse: bool = False
    init_value: int | None = None  # None: the file is not created
    overwrite: bool = False


class ParamMatch(enum.IntEnum):
    """How the arguments of a tracked process are compared."""

    NONE = 0  # the words given are the whole command line, if any are given
    INITIAL = 1  # the command line begins with the words given
    PARTIAL = 2  # as INITIAL, and the last word may go on


@dataclass(frozen=True, slots=True)
class TrackProcess:
    """A `vrrp_track_process` block."""

    name: str
    argv: tuple[str, ...]  # the process, then its arguments if they are to match
    param_match: ParamMatch = ParamMatch.NONE
    weight: int = 0
    reverse: bool = False
    quorum: int = 1
    quorum_max: int | None = None
    fork_delay_us: int = 0  # `delay` sets both
    terminate_delay_us: int = 0
    full_command: bool = False


@dataclass(frozen=True, slots=True)
class BfdInstance:
    """A `bfd_instance` block."""

    name: str
    neighbor: bytes
    source: bytes = b""
    min_rx_us: int = 10_000
    min_tx_us: int = 10_000
    idle_tx_us: int = SECOND_US
    multiplier: int = 5
    passive: bool = False
    ttl: int = 255
    max_hops: int = 0
    weight: int = 0
    reverse: bool = False
    multihop: bool = False


@dataclass(frozen=True, slots=True)
class Garp:
    """Gratuitous ARP and unsolicited NA of one instance."""

    master_delay_us: int = 5 * SECOND_US  # 0: no second burst
    master_repeat: int = 5
    refresh_us: int = 0  # 0: no periodic ones
    refresh_repeat: int = 1
    lower_prio_delay_us: int = 5 * SECOND_US  # the configuration copies master_delay
    lower_prio_repeat: int = 5  # and master_repeat, unless they are given
    extra_if_us: int = 0  # periodic ones on other interfaces that hold VIPs; 0: none
    extra_if_all: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """A line of `unicast_peer`."""

    addr: bytes
    min_ttl: int | None = None
    max_ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Vmac:
    """`use_vmac`, `use_ipvlan` and their companions."""

    kind: VmacKind = VmacKind.NONE
    name: str = ""  # empty: vrrp.<vrid>, vrrp6.<vrid> when that is taken
    prefix: str = "vrrp"  # `vmac_prefix`, for the name that is generated
    mac: bytes = b""  # 6 bytes; empty: 00:00:5e:00:01:<vrid> or 00:00:5e:00:02:<vrid>
    xmit_base: bool = False
    on_addresses: bool = False  # `use_vmac_addr`
    addr_prefix: str = "vrrp"
    ipvlan_addr: bytes = b""
    ipvlan_mode: str = "bridge"  # bridge, private or vepa


@dataclass(frozen=True, slots=True)
class Notify:
    """Programs to start on transitions; None: none (spec 4.10)."""

    master: Script | None = None
    backup: Script | None = None
    fault: Script | None = None
    stop: Script | None = None
    deleted: Script | None = None
    master_rx_lower_pri: Script | None = None
    any: Script | None = None
    priority_changes: bool = False
    smtp_alert: bool = False


@dataclass(frozen=True, slots=True)
class VrrpInstance:
    """A `vrrp_instance` block."""

    name: str
    vrid: int  # 1..255
    interface: str = ""  # empty only in unicast mode
    family: int = AF_INET  # of the first VIP
    version: int = 2
    wants_master: bool = False  # `state MASTER`: matters with priority 255 only (spec 4.5)
    priority: int = 100
    advert_us: int = SECOND_US
    down_timer_adverts: int = 3
    auth_type: AuthType = AuthType.NONE
    auth_pass: bytes = b""  # at most 8 bytes
    addresses: tuple[Address, ...] = ()  # advertised, in this order
    excluded: tuple[Address, ...] = ()  # configured, not advertised; any family
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    nopreempt: bool = False
    preempt_delay_us: int = 0
    accept: bool = True
    strict: bool = False
    source: bytes = b""  # `unicast_src_ip` or `mcast_src_ip`; empty: address of the interface
    group: bytes = DEFAULT_GROUP4  # multicast destination
    peers: tuple[Peer, ...] = ()  # not empty: unicast mode
    unicast_ttl: int = 255
    check_unicast_src: bool = False
    unicast_fault_no_peer: bool = False
    track_src_ip: bool = False
    vrf: str = ""
    tracking: Tracking = field(default_factory=Tracking)
    track_primary: bool = True  # False: `dont_track_primary`
    vmac: Vmac = field(default_factory=Vmac)
    promote_secondaries: bool = False
    garp: Garp = field(default_factory=Garp)
    lower_prio_no_advert: bool = False
    higher_prio_send_advert: bool = False
    skip_check_adv_addr: bool = False
    owner_ignore_adverts: bool = False
    timer_expired_backup: bool = False
    v3_checksum_as_v2: bool = False
    notify: Notify = field(default_factory=Notify)

    @property
    def unicast(self) -> bool:
        return bool(self.peers)


@dataclass(frozen=True, slots=True)
class SyncGroup:
    """A `vrrp_sync_group` block."""

    name: str
    members: tuple[str, ...]  # names of instances, at least one
    notify: Notify = field(default_factory=Notify)
    tracking: Tracking = field(default_factory=Tracking)  # holds for every member
    tracking_weight: bool = False  # weights of members count too


@dataclass(frozen=True, slots=True)
class GarpGroup:
    """Interfaces that share a minimum gap between gratuitous ARPs or NAs; 0: no gap."""

    interfaces: tuple[str, ...]
    garp_interval_us: int = 0
    gna_interval_us: int = 0


@dataclass(frozen=True, slots=True)
class UpDownDelay:
    """A line of `interface_up_down_delays`: how long a link state must last to count."""

    interface: str
    down_us: int
    up_us: int


@dataclass(frozen=True, slots=True)
class TrackGroup:
    """A `track_group` block: instances that fail with a static item."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fifo:
    """A named pipe that receives a line for every transition."""

    path: str
    user: str = ""
    group: str = ""
    script: Script | None = None  # started by lbfast, the path is appended to its arguments


@dataclass(frozen=True, slots=True)
class VrrpGlobals:
    """What `global_defs` says about VRRP as a whole."""

    router_id: str = ""
    startup_delay_us: int = 0
    delay_after_boot_us: int = 0
    garp_interval_us: int = 0  # between two on one interface
    gna_interval_us: int = 0
    log_unknown_vrids: bool = False
    fifos: tuple[Fifo, ...] = ()  # `notify_fifo`, `vrrp_notify_fifo`
    fifo_states_on_reload: bool = False
    default_interface: str = "eth0"
    nftables_table: str = "keepalived"
    nftables_priority: int = -1
    keep_addresses: bool = False  # option -V: addresses stay at stop
    fault_mails: bool = True  # False: `no_email_faults`


@dataclass(frozen=True, slots=True)
class VrrpConfig:
    """Everything the VRRP process runs."""

    instances: tuple[VrrpInstance, ...] = ()
    sync_groups: tuple[SyncGroup, ...] = ()
    scripts: tuple[VrrpScript, ...] = ()
    files: tuple[TrackFile, ...] = ()
    processes: tuple[TrackProcess, ...] = ()
    bfds: tuple[BfdInstance, ...] = ()
    garp_groups: tuple[GarpGroup, ...] = ()
    up_down_delays: tuple[UpDownDelay, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()
    static_addresses: tuple[Address, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()
    settings: VrrpGlobals = field(default_factory=VrrpGlobals)
    mail: Mail = field(default_factory=Mail)
