"""The order of listings: the real tool's comparison is not transitive, so its sort counts too."""

from __future__ import annotations

import socket
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbfast.cli.order import compare_servers, compare_services, difference, merge_sort
from lbfast.model import (
    AF_INET,
    AF_INET6,
    RealServer,
    ServerKey,
    ServerState,
    ServiceKey,
    ServiceState,
    VirtualService,
)

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}

# Services as `ipvsadm -Ln --nosort` of a real kernel gave them, and as `-Ln` did.
KERNEL_ORDER = """\
TCP/[fd00:2::50]:80 TCP/0.0.0.0:0 SCTP/[2001:db8:1111:2222:3333:4444:5555:6666]:65535
TCP/100.0.0.1:80 TCP/10.0.0.1:80 TCP/192.0.2.1:80 TCP/10.9.0.50:80 SCTP/[fd00:2::50]:2904
SCTP/10.9.0.50:2904 UDP/10.9.0.50:5060 TCP/255.255.255.255:65535 FWM/-2147483648 FWM/7/6 FWM/7
FWM/-1/6 FWM/2147483647 FWM/-1
"""
LISTED = """\
FWM/-1/6 TCP/192.0.2.1:80 TCP/255.255.255.255:65535 TCP/0.0.0.0:0 TCP/10.0.0.1:80
TCP/10.9.0.50:80 TCP/100.0.0.1:80 UDP/10.9.0.50:5060 SCTP/10.9.0.50:2904 TCP/[fd00:2::50]:80
SCTP/[fd00:2::50]:2904 SCTP/[2001:db8:1111:2222:3333:4444:5555:6666]:65535 FWM/7 FWM/7/6
FWM/2147483647 FWM/-2147483648 FWM/-1
"""


def service(text: str) -> ServiceState:
    """Returns the service that `TCP/10.9.0.1:80` or `FWM/7` or `FWM/7/6` names."""
    kind, rest = text.split("/", 1)
    if kind == "FWM":
        mark, _, version = rest.partition("/")
        key = ServiceKey(AF_INET6 if version else AF_INET, fwmark=int(mark) & 0xFFFFFFFF)
    else:
        host, _, port = rest.rpartition(":")
        af = AF_INET6 if host.startswith("[") else AF_INET
        addr = socket.inet_pton(af, host.strip("[]"))
        key = ServiceKey(af, PROTOCOLS[kind], addr, int(port))
    return ServiceState(VirtualService(key))


@pytest.mark.covers("C-387")
def test_services_come_out_as_the_real_tool_sorts_them() -> None:
    states = [service(text) for text in KERNEL_ORDER.split()]
    assert merge_sort(states, compare_services) == [service(text) for text in LISTED.split()]


@pytest.mark.covers("C-387")
@pytest.mark.parametrize(
    ("a", "b", "result"),
    [(1, 2, -1), (0x80000000, 0, -0x80000000), (0xFFFFFFFF, 0, -1), (0, 0x7FFFFFFF, -0x7FFFFFFF)],
)
def test_difference_wraps_like_an_int(a: int, b: int, result: int) -> None:
    assert difference(a, b) == result


@given(st.lists(st.tuples(st.integers(0, 5), st.integers())))
def test_merge_sort_of_a_real_order_is_a_stable_sort(items: list[tuple[int, int]]) -> None:
    def compare(a: tuple[int, int], b: tuple[int, int]) -> int:
        return a[0] - b[0]

    assert merge_sort(items, compare) == sorted(items, key=cmp_to_key(compare))


@pytest.mark.covers("C-388")
def test_servers_of_both_families_compare_by_their_first_word() -> None:
    def server(text: str, port: int) -> ServerState:
        af = AF_INET6 if ":" in text else AF_INET
        return ServerState(RealServer(ServerKey(af, socket.inet_pton(af, text), port)))

    six, four = server("fd00:2::1", 80), server("10.2.0.1", 80)
    assert compare_servers(six, four) < 0 < compare_servers(four, six)
    assert compare_servers(server("::1", 80), server("::", 80)) > 0
    assert compare_servers(four, server("10.2.0.1", 8080)) < 0
