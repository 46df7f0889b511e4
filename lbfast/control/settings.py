"""The sysctls `net.ipv4.vs.*`: their names and what may be written (spec/ipvs.md 2.11)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lbfast.errors import KernelError

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True)
class Setting:
    low: int = INT_MIN
    high: int = INT_MAX

    @property
    def expected(self) -> str:
        """What `parse` takes."""
        return f"a number from {self.low} to {self.high}"

    def parse(self, text: str) -> tuple[int, ...]:
        """Returns the number, alone; EINVAL when it is none, or out of range."""
        return (_number(text, self.low, self.high),)


class PowerOfTwo(Setting):
    """1, 2, 4 and so on."""

    @property
    def expected(self) -> str:
        return "a power of two"

    def parse(self, text: str) -> tuple[int, ...]:
        value = _number(text, 1, INT_MAX)
        if value & (value - 1):
            raise KernelError(errno.EINVAL)
        return (value,)


class Threshold(Setting):
    """Two numbers: from which packet of a period of packets on, and the period (0: none)."""

    @property
    def expected(self) -> str:
        return "two numbers from 0 up, the second 0 or above the first"

    def parse(self, text: str) -> tuple[int, ...]:
        words = text.split()
        if len(words) != 2:
            raise KernelError(errno.EINVAL)
        threshold, period = (_number(word, 0, INT_MAX) for word in words)
        if period and threshold >= period:
            raise KernelError(errno.EINVAL)
        return threshold, period


def _number(text: str, low: int, high: int) -> int:
    try:
        value = int(text.strip(), 0)
    except ValueError:
        raise KernelError(errno.EINVAL) from None
    if not low <= value <= high:
        raise KernelError(errno.EINVAL)
    return value


def cpu_list(cpus: Iterable[int]) -> str:
    """Returns CPUs as the kernel writes them: 0-3,6."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


_BOOL = Setting(0, 1)
TOA = ("off", "ack", "syn")  # the values of the setting `toa`, in their order
_DEFENCE = Setting(0, 3)
_COUNT = Setting(0)

SETTINGS = {
    "amemthresh": Setting(),
    "am_droprate": Setting(),
    "drop_entry": _DEFENCE,
    "drop_packet": _DEFENCE,
    "secure_tcp": _DEFENCE,
    "conntrack": _BOOL,
    "snat_reroute": _BOOL,
    "cache_bypass": _BOOL,
    "expire_nodest_conn": _BOOL,
    "expire_quiescent_template": _BOOL,
    "sloppy_tcp": _BOOL,
    "sloppy_sctp": _BOOL,
    "conn_reuse_mode": Setting(),
    "nat_icmp_send": _BOOL,
    "pmtu_disc": _BOOL,
    "schedule_icmp": _BOOL,
    "ignore_tunneled": _BOOL,
    "backup_only": _BOOL,
    "run_estimation": _BOOL,
    "lblc_expiration": Setting(),
    "lblcr_expiration": Setting(),
    "sync_version": _BOOL,
    "sync_threshold": Threshold(),
    "sync_refresh_period": _COUNT,
    "sync_retries": Setting(0, 3),
    "sync_qlen_max": _COUNT,
    "sync_sock_size": Setting(),
    "sync_ports": PowerOfTwo(),
    "sync_persist_mode": _BOOL,
    "ftp_helper": _BOOL,  # not the kernel's: there it is the module ip_vs_ftp
    "toa": Setting(0, len(TOA) - 1),  # not the kernel's: FULLNAT names the client
}

# What the data path calls the numbers of a setting that has several.
PARTS = {"sync_threshold": ("sync_threshold", "sync_period")}

# The estimator is no thread of its own: these can be read only.
FIXED: Mapping[str, Callable[[], str]] = {
    "est_cpulist": lambda: cpu_list(os.sched_getaffinity(0)),
    "est_nice": lambda: str(os.getpriority(os.PRIO_PROCESS, 0)),
}

NAMES = sorted({*SETTINGS, *FIXED})
