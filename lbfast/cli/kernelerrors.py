"""What ipvsadm says when the kernel refuses: by operation and errno (spec/ipvs.md 10.4)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

_ANY: Mapping[int, str] = {
    errno.EPERM: "Permission denied (you must be root)",
    errno.EINVAL: "Invalid operation.  Possibly wrong module version, address not unicast, ...",
    errno.ENOPROTOOPT: "Protocol not available",
    errno.ENOMEM: "Memory allocation problem",
    errno.EOPNOTSUPP: "Operation not supported with IPv6",
    errno.EAFNOSUPPORT: "Operation not supported with specified address family",
    errno.EMSGSIZE: "Module is wrong version",
}
_NO_SCHEDULER = "Scheduler or persistence engine not found"
_NO_SERVICE = {errno.ESRCH: "No such service"}
_NO_LADDR = {errno.ESRCH: "Service not defined", errno.ENOENT: "No such local address"}
_BY_COMMAND: Mapping[str, Mapping[int, str]] = {
    "add-service": {errno.EEXIST: "Service already exists", errno.ENOENT: _NO_SCHEDULER},
    "edit-service": {errno.ESRCH: "No such service", errno.ENOENT: _NO_SCHEDULER},
    "delete-service": _NO_SERVICE,
    "zero": _NO_SERVICE,
    "list": _NO_SERVICE,
    "save": _NO_SERVICE,
    "add-server": {
        errno.ESRCH: "Service not defined",
        errno.EEXIST: "Destination already exists",
    },
    "edit-server": {errno.ESRCH: "Service not defined", errno.ENOENT: "No such destination"},
    "delete-server": {errno.ESRCH: "Service not defined", errno.ENOENT: "No such destination"},
    "start-daemon": {errno.EEXIST: "Daemon has already run"},
    "stop-daemon": {errno.ESRCH: "No daemon is running"},
    "add-laddr": {
        errno.ESRCH: "Service not defined",
        errno.EEXIST: "Local address already exists",
    },
    "del-laddr": _NO_LADDR,
    "list-laddr": _NO_SERVICE,
}


def kernel_error_text(command: str, code: int) -> str:
    """Returns the line that says why `command` was refused with errno `code`."""
    return _BY_COMMAND.get(command, {}).get(code) or _ANY.get(code) or os.strerror(code)
