"""The sysctls `net.ipv4.vs.*`: their names and what may be written (spec/ipvs.md 2.11)."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from lbfast.errors import KernelError

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True)
class Setting:
    low: int = INT_MIN
    high: int = INT_MAX

    def parse(self, text: str) -> int:
        """Returns the number; EINVAL when it is none, or out of range."""
        try:
            value = int(text.strip(), 0)
        except ValueError:
            raise KernelError(errno.EINVAL) from None
        if not self.low <= value <= self.high:
            raise KernelError(errno.EINVAL)
        return value


_BOOL = Setting(0, 1)
_DEFENCE = Setting(0, 3)

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
    "ftp_helper": _BOOL,  # not the kernel's: there it is the module ip_vs_ftp
    "toa": Setting(0, 2),  # not the kernel's: FULLNAT tells servers the client's address
}
