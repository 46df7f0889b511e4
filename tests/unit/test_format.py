"""Listings, byte for byte."""

from __future__ import annotations

import socket

import pytest

from lbfast.cli.format import (
    Columns,
    Style,
    title,
    version_line,
)
from lbfast.model import (
    AF_INET,
    AF_INET6,
    Method,
    ServerState,
    ServiceFlags,
    ServiceKey,
    VirtualService,
)
from tests.format_lab import block, server, vip
from tests.ipvsadm_face import Face, FakeNames

TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP
PERSISTENT = ServiceFlags.PERSISTENT
COLUMNS = {columns.value: columns for columns in Columns}
LONG_NAME = "a-very-long-host-name-for-a-service.example.org"


@pytest.mark.covers("C-379")
def test_version_line_shows_the_table_size() -> None:
    assert version_line(4096) == "IP Virtual Server version 1.2.1 (size=4096)\n"


@pytest.mark.covers("C-379")
def test_version_line_is_absent_for_one_service() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80")
    everything, one = face("-Ln").output, face("-Ln -t 10.9.0.1:80").output
    assert everything == version_line(4096) + one
    assert one.startswith("Prot LocalAddress:Port")


@pytest.mark.covers("C-380", "C-390", "C-391", "C-392", "C-393", "C-394")
@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (
            "",
            "Prot LocalAddress:Port Scheduler Flags\n"
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n",
        ),
        (
            "stats",
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
            "  -> RemoteAddress:Port\n",
        ),
        (
            "rate",
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n"
            "  -> RemoteAddress:Port\n",
        ),
        (
            "thresholds",
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n",
        ),
        (
            "persistent-conn",
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n",
        ),
        (
            "tun-info",
            "Prot LocalAddress:Port Scheduler Flags\n"
            "  -> RemoteAddress:Port           "
            "Forward TunnelInfo    Weight ActiveConn InActConn\n",
        ),
    ],
)
def test_titles(columns: str, text: str) -> None:
    assert title(Style(columns=COLUMNS[columns])) == text


@pytest.mark.covers("C-381", "C-384", "C-385", "C-386")
@pytest.mark.parametrize(
    ("service", "line"),
    [
        (VirtualService(vip("10.9.0.1"), "rr"), "TCP  10.9.0.1:80 rr"),
        (VirtualService(vip("10.9.0.1", 53, UDP), "rr"), "UDP  10.9.0.1:53 rr"),
        (VirtualService(vip("10.9.0.1", 9, SCTP), "rr"), "SCTP 10.9.0.1:9 rr"),
        (VirtualService(vip("10.9.0.1", 9, 47), "rr"), "?    10.9.0.1:9 rr"),
        (VirtualService(vip("fd00::1"), "wlc", netmask=128), "TCP  [fd00::1]:80 wlc"),
        (VirtualService(vip("10.9.0.1"), "none"), "TCP  10.9.0.1:80 none"),
        (
            VirtualService(vip("10.9.0.1"), "rr", PERSISTENT, 600, 0xFFFFFF00),
            "TCP  10.9.0.1:80 rr persistent 600 mask 255.255.255.0",
        ),
        (
            VirtualService(vip("fd00::1"), "rr", PERSISTENT, 50, 64),
            "TCP  [fd00::1]:80 rr persistent 50 mask 64",
        ),
        (
            VirtualService(
                vip("10.9.0.1", 53, UDP), "sh", ServiceFlags(0x1D), 60, 0xFF000000, "sip"
            ),
            "UDP  10.9.0.1:53 sh (sh-fallback,sh-port) persistent 60 mask 255.0.0.0 pe sip ops",
        ),
        # an engine without persistence is not shown
        (VirtualService(vip("10.9.0.1"), "rr", pe_name="sip"), "TCP  10.9.0.1:80 rr"),
        (
            VirtualService(vip("10.9.0.1"), "mh", ServiceFlags.SCHED2),
            "TCP  10.9.0.1:80 mh (mh-port)",
        ),
        (
            VirtualService(vip("10.9.0.1"), "rr", ServiceFlags(0x28)),
            "TCP  10.9.0.1:80 rr (flag-1,flag-3)",
        ),
        # the third flag has no name with sh
        (VirtualService(vip("10.9.0.1"), "sh", ServiceFlags.SCHED3), "TCP  10.9.0.1:80 sh ()"),
        (VirtualService(ServiceKey(AF_INET, fwmark=7), "wlc"), "FWM  7 wlc"),
        (
            VirtualService(ServiceKey(AF_INET6, fwmark=9), "nq", netmask=128),
            "FWM  9 IPv6 nq",
        ),
        (VirtualService(ServiceKey(AF_INET, fwmark=0xFFFFFFFF), "wlc"), "FWM  -1 wlc"),
    ],
)
def test_service_line(service: VirtualService, line: str) -> None:
    assert block(service) == line + "\n"


SERVICE = VirtualService(vip("10.9.0.1"), "rr")
SERVICE_LINE = "TCP  10.9.0.1:80 rr\n"


@pytest.mark.covers("C-382", "C-138")
@pytest.mark.parametrize(
    ("method", "name"),
    [
        (Method.MASQ, "Masq"),
        (Method.DROUTE, "Route"),
        (Method.TUNNEL, "Tunnel"),
        (Method.LOCAL, "Local"),
        (Method.FULLNAT, "FullNat"),
    ],
)
def test_server_line_is_padded_to_the_end(method: Method, name: str) -> None:
    state = ServerState(server("10.2.0.1", 8080, method, weight=100), active=5, inactive=123)
    row = f"  -> 10.2.0.1:8080                {name:<7} 100    5          123       \n"
    assert block(SERVICE, state) == SERVICE_LINE + row


@pytest.mark.covers("C-382", "C-383")
def test_ipv6_server_is_never_cut() -> None:
    state = ServerState(server("2001:db8:0:1:1111:2222:3333:4444", 80, Method.DROUTE))
    service = VirtualService(vip("fd00::1"), "rr", netmask=128)
    assert block(service, state).splitlines()[1] == (
        "  -> [2001:db8:0:1:1111:2222:3333:4444]:80 Route   1      0          0         "
    )


@pytest.mark.covers("C-383", "C-398")
def test_ipv4_names_are_cut_ipv6_names_only_by_the_buffer() -> None:
    names = FakeNames({"10.9.0.1": LONG_NAME, "10.2.0.1": LONG_NAME, "fd00::1": LONG_NAME + ".x"})
    style = Style(names=names)
    text = block(SERVICE, ServerState(server("10.2.0.1")), style=style)
    assert text == (
        "TCP  a-very-long-host-name-for-a- rr\n"
        "  -> a-very-long-host-name-for-a- Masq    1      0          0         \n"
    )
    six = VirtualService(vip("fd00::1", 65535), "rr", netmask=128)
    assert block(six, style=style) == f"TCP  [{LONG_NAME}.x]:65535 rr\n"
    buffer = FakeNames({"fd00::1": "x" * 80})
    assert block(six, style=Style(names=buffer)) == f"TCP  [{'x' * 58} rr\n"


@pytest.mark.covers("C-398")
def test_names_are_shown_without_numeric() -> None:
    face = Face()
    face.all(
        "-A -t 10.9.0.50:80 -s rr\n-a -t 10.9.0.50:80 -r 10.9.0.50:81 -m\n"
        "-A -u 10.9.0.50:53 -s rr\n-A -t [fd00:2::50]:80 -s rr\n-A -t 10.9.0.1:0 -p -s rr\n"
        "-A -f 7 -s rr\n-a -f 7 -r 10.9.0.50:80 -m"
    )
    lines = [line.split()[:2] for line in face("-L").output.splitlines()[3:]]
    assert lines == [
        ["TCP", "10.9.0.1:0"],
        ["TCP", "vip.example.org:http"],
        ["->", "vip.example.org:81"],
        ["UDP", "vip.example.org:domain"],
        ["TCP", "[six.example.org]:http"],
        ["FWM", "7"],
        ["->", "vip.example.org:80"],  # no protocol is known
    ]


def order(listing: str) -> list[str]:
    return [row.split()[1] for row in listing.splitlines() if row[:3] in ("TCP", "UDP", "FWM")]


@pytest.mark.covers("C-387")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "-A -f 2\n-A -f 1\n-A -u 10.9.0.1:1\n-A -t [fd00::1]:1\n-A -t 10.9.0.9:1\n"
            "-A -t 10.9.0.9:443\n-A -t 10.9.0.9:80\n-A -t 10.9.0.10:1",
            "10.9.0.9:1 10.9.0.9:80 10.9.0.9:443 10.9.0.10:1 10.9.0.1:1 [fd00::1]:1 1 2",
        ),
        # differences of more than 2^31 wrap
        ("-A -t 10.0.0.1:80\n-A -t 192.0.2.1:80", "192.0.2.1:80 10.0.0.1:80"),
        ("-A -t 10.0.0.1:80\n-A -t 100.0.0.1:80", "10.0.0.1:80 100.0.0.1:80"),
        ("-A -f 4294967295\n-A -f 1\n-A -t 10.9.0.1:80", "-1 10.9.0.1:80 1"),
    ],
)
def test_service_order(lines: str, expected: str) -> None:
    face = Face()
    face.all(lines)
    assert order(face("-Ln").output) == expected.split()


@pytest.mark.covers("C-388")
def test_server_order() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80")
    for text in ("10.2.0.10:80", "10.2.0.2:8080", "10.2.0.2:80", "192.0.2.1:80"):
        face.all(f"-a -t 10.9.0.1:80 -r {text} -m")
    face.all("-a -t 10.9.0.1:80 -r [fd00:2::1]:80 -i")
    rows = [row.split()[1] for row in face("-Ln").output.splitlines()[4:]]
    assert rows == [
        "192.0.2.1:80",
        "[fd00:2::1]:80",
        "10.2.0.2:80",
        "10.2.0.2:8080",
        "10.2.0.10:80",
    ]


@pytest.mark.covers("C-389")
def test_nosort_keeps_the_kernels_order() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80")
    for text in ("10.2.0.10:80", "10.2.0.2:80", "10.2.0.5:80"):
        face.all(f"-a -t 10.9.0.1:80 -r {text} -m")
    face.all("-A -t 10.9.0.3:80\n-A -t 10.9.0.2:80")
    rows = [row.split()[1] for row in face("-Ln --nosort").output.splitlines()[3:]]
    servers = ["10.2.0.5:80", "10.2.0.2:80", "10.2.0.10:80"]
    assert rows == ["10.9.0.2:80", "10.9.0.3:80", "10.9.0.1:80", *servers]
