"""Connections, time-outs and daemons, byte for byte."""

from __future__ import annotations

import socket

import pytest

from lbfast.cli.format import (
    Columns,
    Style,
    connection_row,
    connection_title,
    daemon_line,
    timeout_line,
)
from lbfast.model import AF_INET, AF_INET6, Connection, SyncDaemon, SyncRole, Timeouts
from tests.ipvsadm_face import Face

TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP


def address(text: str) -> bytes:
    return socket.inet_pton(family(text), text)


def family(text: str) -> int:
    return AF_INET6 if ":" in text else AF_INET


def connection(
    protocol: int, state: str, expires_s: int, *ends: tuple[str, int], **rest: object
) -> Connection:
    (client, cport), (virtual, vport), (real, dport) = ends
    flat = (address(client), cport, address(virtual), vport, address(real), dport)
    return Connection(family(client), protocol, *flat, state, expires_s, **rest)  # type: ignore[arg-type]


CLIENT, VIP, REAL = ("198.51.100.1", 40000), ("192.0.2.10", 80), ("10.0.0.1", 8080)
SIP = {"pe_name": "sip", "pe_data": b"abc@10.0.0.1"}


@pytest.mark.covers("C-399", "C-400", "C-402")
@pytest.mark.parametrize(
    ("entry", "row"),
    [
        (
            connection(TCP, "ESTABLISHED", 895, CLIENT, VIP, REAL),
            "TCP 14:55  ESTABLISHED 198.51.100.1:40000 192.0.2.10:80      10.0.0.1:8080",
        ),
        (
            connection(
                UDP, "UDP", 290, ("198.51.100.2", 5000), ("192.0.2.10", 53), ("10.0.0.1", 53)
            ),
            "UDP 04:50  UDP         198.51.100.2:5000  192.0.2.10:53      10.0.0.1:53",
        ),
        (
            connection(0, "NONE", 355, ("198.51.100.0", 0), ("0.0.0.7", 0), ("10.0.0.1", 0)),
            "IP  05:55  NONE        198.51.100.0:0     0.0.0.7:0          10.0.0.1:0",
        ),
        (
            connection(0, "NONE", 99, ("fd00:9::", 0), ("0:7::", 0), ("fd00:2::1", 0)),
            "IP  01:39  NONE        [fd00:9::]:0       [0:7::]:0          [fd00:2::1]:0",
        ),
        (
            connection(TCP, "SYN_RECV", 58, ("2001:db8::1", 40000), ("2001:db8::80", 80), REAL),
            "TCP 00:58  SYN_RECV    [2001:db8::1]:40000 [2001:db8::80]:80  10.0.0.1:8080",
        ),
        (
            connection(SCTP, "INIT1", 3, CLIENT, VIP, REAL),
            "SCTP 00:03  INIT1       198.51.100.1:40000 192.0.2.10:80      10.0.0.1:8080",
        ),
        (
            connection(TCP, "ESTABLISHED", 7261, CLIENT, VIP, REAL),
            "TCP 121:01 ESTABLISHED 198.51.100.1:40000 192.0.2.10:80      10.0.0.1:8080",
        ),
        (
            connection(UDP, "NONE", 59, CLIENT, VIP, REAL, **SIP),
            "UDP 00:59  NONE        198.51.100.1:40000 192.0.2.10:80      10.0.0.1:8080",
        ),
    ],
)
def test_connection_row(entry: Connection, row: str) -> None:
    assert connection_row(entry, Style()) == row + "\n"


@pytest.mark.covers("C-399", "C-401")
def test_connection_titles() -> None:
    heading = (
        "IPVS connection entries\npro expire state       source             virtual            "
    )
    assert connection_title(Style()) == heading + "destination\n"
    assert connection_title(Style(Columns.PERSISTENT_CONN)) == (
        heading + "destination        pe name          pe_data\n"
    )


@pytest.mark.covers("C-401")
def test_engine_columns_only_for_rows_that_have_them() -> None:
    style = Style(Columns.PERSISTENT_CONN)
    with_data = connection(UDP, "NONE", 59, CLIENT, VIP, REAL, **SIP)
    assert connection_row(with_data, style) == (
        "UDP 00:59  NONE        198.51.100.1:40000 192.0.2.10:80      10.0.0.1:8080    "
        "sip                abc@10.0.0.1\n"
    )
    plain = connection(TCP, "NONE", 59, CLIENT, VIP, REAL)
    assert connection_row(plain, style).endswith(" 10.0.0.1:8080\n")
    assert connection_row(with_data, Style()).endswith(" 10.0.0.1:8080\n")


@pytest.mark.covers("C-398", "C-399")
def test_connections_keep_the_kernels_order_and_resolve_names() -> None:
    face = Face()
    face.balancer.entries = [
        connection(TCP, "NONE", 59, ("10.9.0.9", port), ("10.9.0.50", 80), REAL) for port in (9, 1)
    ]
    numeric = face("-Lnc").output.splitlines()
    assert [row.split()[3] for row in numeric[2:]] == ["10.9.0.9:9", "10.9.0.9:1"]
    assert face("-Lc").output.splitlines()[2].split()[4] == "vip.example.org:http"


@pytest.mark.covers("C-403")
def test_timeout_line() -> None:
    assert timeout_line(Timeouts()) == "Timeout (tcp tcpfin udp): 900 120 300\n"


@pytest.mark.covers("C-404")
@pytest.mark.parametrize(
    ("daemon", "line"),
    [
        (
            SyncDaemon(SyncRole.MASTER, "eth0", 5, 1472, bytes([224, 0, 0, 81]), 8848, 1),
            "master sync daemon (mcast=eth0, syncid=5, maxlen=1472, "
            "group=224.0.0.81, port=8848, ttl=1)",
        ),
        (
            SyncDaemon(SyncRole.BACKUP, "d0", 0, 1452, address("ff02::1"), 9, 2),
            "backup sync daemon (mcast=d0, syncid=0, maxlen=1452, group=ff02::1, port=9, ttl=2)",
        ),
        (SyncDaemon(SyncRole.BACKUP, "d0", 7), "backup sync daemon (mcast=d0, syncid=7)"),
    ],
)
def test_daemon_line(daemon: SyncDaemon, line: str) -> None:
    assert daemon_line(daemon) == line + "\n"


@pytest.mark.covers("C-404", "C-376")
def test_daemons_are_listed_master_first() -> None:
    face = Face()
    face.all(
        "--start-daemon backup --mcast-interface d0 --syncid 9\n"
        "--start-daemon master --mcast-interface d1 --sync-maxlen 900"
    )
    assert [line.split()[0] for line in face("-L --daemon").output.splitlines()] == [
        "master",
        "backup",
    ]
    face.all("--stop-daemon master\n--stop-daemon backup --syncid 9")
    assert face("-L --daemon").output == ""
