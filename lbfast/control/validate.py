"""Whether what came over the socket lies within what the tables can hold.

Types are checked by the decoder; these are the ranges, with the errno the kernel would give.
"""

from __future__ import annotations

import errno

from lbfast.control import messages as m
from lbfast.errors import KernelError
from lbfast.model import AF_INET, AF_INET6, RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.marks import MAX_MARK_RULES, FwmarkRule

_ADDRESS_LENGTHS = {AF_INET: 4, AF_INET6: 16}
_NAME_LENGTH = 15
_MARKED = (0, 6, 17, 132)  # protocols that a mark rule can name
_U16, _U32, _INT_MAX = 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF


def check(request: m.Request) -> None:
    """Judges a request; raises KernelError."""
    match request:
        case m.AddService(svc) | m.EditService(svc):
            _check_service(svc)
        case m.AddServer(key, server) | m.EditServer(key, server):
            _check_service_key(key)
            _check_server(server)
        case m.DeleteServer(key, server_key):
            _check_service_key(key)
            _check_server_key(server_key)
        case m.AddLaddr(key, addr) | m.DelLaddr(key, addr):
            _check_service_key(key)
            _require(len(addr) in _ADDRESS_LENGTHS.values())
        case m.DeleteService(key) | m.Laddrs(key) | m.Service(key):
            _check_service_key(key)
        case m.Zero(ServiceKey() as key):
            _check_service_key(key)
        case m.SetTimeouts(times):
            _require(all(0 <= t <= _INT_MAX for t in (times.tcp, times.tcpfin, times.udp)))
        case m.SetMarks(rules):
            _require(len(rules) <= MAX_MARK_RULES, errno.ENOSPC)
            for rule in rules:
                _check_mark(rule)
        case m.AddMark(rule) | m.DeleteMark(rule):
            _check_mark(rule)
        case m.StartDaemon(daemon):
            _require(0 < len(daemon.interface) <= _NAME_LENGTH, errno.ENODEV)
            _require(len(daemon.group) in (0, 4, 16) and 0 <= daemon.sync_id <= 255)
            _require(0 <= daemon.maxlen <= _U16 and 0 <= daemon.port <= _U16)
            _require(0 <= daemon.ttl <= 255)
        case _:
            pass


def _require(is_right: bool, code: int = errno.EINVAL) -> None:
    if not is_right:
        raise KernelError(code)


def _check_service_key(key: ServiceKey) -> None:
    _require(key.af in _ADDRESS_LENGTHS, errno.EAFNOSUPPORT)
    if key.fwmark:
        _require(0 < key.fwmark <= _U32 and not key.addr and not key.port and not key.protocol)
        return
    _require(len(key.addr) == _ADDRESS_LENGTHS[key.af])
    _require(0 <= key.port <= _U16 and 0 < key.protocol <= 255)


def _check_server_key(key: ServerKey) -> None:
    _require(key.af in _ADDRESS_LENGTHS, errno.EAFNOSUPPORT)
    _require(len(key.addr) == _ADDRESS_LENGTHS[key.af] and 0 <= key.port <= _U16)


def _check_service(svc: VirtualService) -> None:
    _check_service_key(svc.key)
    names = (svc.scheduler, svc.pe_name)
    _require(all(len(name.encode()) <= _NAME_LENGTH for name in names), errno.ENOENT)
    _require(0 <= svc.flags <= _U32 and 0 <= svc.timeout_s <= _U32 and 0 <= svc.netmask <= _U32)


def _check_server(server: RealServer) -> None:
    _check_server_key(server.key)
    _require(-_INT_MAX - 1 <= server.weight <= _INT_MAX)
    _require(server.weight >= 0, errno.ERANGE)
    _require(0 <= server.u_threshold <= _U32 and 0 <= server.l_threshold <= _U32)
    _require(0 <= server.tun_port <= _U16 and 0 <= server.tun_flags <= _U16)


def _check_mark(rule: FwmarkRule) -> None:
    _require(rule.af in _ADDRESS_LENGTHS, errno.EAFNOSUPPORT)
    _require(0 <= rule.mark <= _U32 and rule.protocol in _MARKED)
    _require(len(rule.interface.encode()) <= _NAME_LENGTH and "\0" not in rule.interface)
    for addr, length in ((rule.src, rule.src_len), (rule.dst, rule.dst_len)):
        _require(len(addr) == (_ADDRESS_LENGTHS[rule.af] if length else 0))
        _require(0 <= length <= 8 * len(addr))
        host_bits = (1 << 8 * len(addr) - length) - 1
        _require(not int.from_bytes(addr, "big") & host_bits)
    for low, high in (rule.sport, rule.dport):
        _require(0 <= low <= high <= _U16)
