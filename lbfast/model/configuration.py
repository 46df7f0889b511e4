"""A whole keepalived.conf as frozen values: what each process of the director runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbfast.model import ServiceKey
from lbfast.model.check import CheckConfiguration
from lbfast.model.marks import FwmarkRule
from lbfast.model.script import Script
from lbfast.model.vrrp import VrrpConfig


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """When and how a new configuration takes the place of the running one."""

    check_first: bool = False  # `reload_check_config`: an invalid file changes nothing
    check_log: str = ""  # where the findings of that check go; empty: the log
    time_file: str = ""  # holds the time of a reload; removed when that is done
    repeat: bool = False  # the time file is kept
    marker: str | None = None  # `reload_file`: exists while files are being read


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What the parent process needs to know (spec 2.1, 2.2, 5)."""

    instance: str = ""  # goes into the names of pid files
    net_namespace: str = ""
    use_pid_dir: bool = False
    dumps: Mapping[str, str] = field(default_factory=dict)  # default file name -> path
    data_use_instance: bool = False  # the instance's name in the names of dumps
    umask: int = 0o022
    startup_script: Script | None = None
    startup_timeout_s: int = 10
    shutdown_script: Script | None = None
    shutdown_timeout_s: int = 10
    child_wait_time_s: int = 5
    reload: ReloadSettings = field(default_factory=ReloadSettings)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """`lvs_sync_daemon`: who says it is master is the instance, if one is named."""

    interface: str
    instance: str = ""  # empty: both halves run
    sync_id: int | None = None  # None: the instance's VRID, or 0
    maxlen: int = 0  # 0: as the kernel's default
    port: int = 8848
    ttl: int = 0  # 0: as the kernel's default
    group: bytes = b""  # empty: 224.0.0.81


@dataclass(frozen=True, slots=True)
class LocalAddresses:
    """The addresses that FULLNAT puts in the place of the clients' for one service."""

    service: ServiceKey
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that a file and those it includes ask for."""

    vrrp: VrrpConfig = field(default_factory=VrrpConfig)
    check: CheckConfiguration = field(default_factory=CheckConfiguration)
    process: ProcessSettings = field(default_factory=ProcessSettings)
    sync: SyncSettings | None = None
    local_addresses: tuple[LocalAddresses, ...] = ()
    marks: tuple[FwmarkRule, ...] = ()
