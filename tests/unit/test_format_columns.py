"""Counters, rates and the other columns of listings, byte for byte."""

from __future__ import annotations

import socket

import pytest

from lbfast.cli.format import Columns, Style, large_number, service_block
from lbfast.model import (
    Method,
    ServerState,
    ServiceState,
    Stats,
    TunnelFlags,
    TunnelType,
    VirtualService,
)
from tests.format_lab import block, server, vip
from tests.ipvsadm_face import Face

TCP = socket.IPPROTO_TCP


SERVICE = VirtualService(vip("10.9.0.1"), "rr")
SERVICE_LINE = "TCP  10.9.0.1:80 rr\n"


STATS = Stats(1234567, 99999999, 100000000, 123456789012, 123456789012345, 7, 8, 9, 10, 11)


@pytest.mark.covers("C-390", "C-395", "C-396")
@pytest.mark.parametrize(
    ("is_exact", "numbers"),
    [
        (False, "  1234567 99999999  100000K     123G     123T"),
        (True, "  1234567 99999999 100000000 123456789012 123456789012345"),
    ],
)
def test_stats_rows(is_exact: bool, numbers: str) -> None:
    style = Style(Columns.STATS, is_exact=is_exact)
    state = ServiceState(SERVICE, (ServerState(server("10.2.0.1", 8080), stats=STATS),), STATS)
    assert "".join(service_block(state, style)) == (
        f"TCP  10.9.0.1:80                 {numbers}\n  -> 10.2.0.1:8080               {numbers}\n"
    )


@pytest.mark.covers("C-390")
def test_server_counters_keep_thirty_two_bits_except_bytes() -> None:
    big = (1 << 32) + 5
    stats = Stats(big, big, big, big, big)
    state = ServiceState(SERVICE, (ServerState(server("10.2.0.1", 8080), stats=stats),), stats)
    of_service, of_server = service_block(state, Style(Columns.STATS, is_exact=True))
    assert of_service.split()[2:] == ["4294967301"] * 5
    assert of_server.split()[2:] == ["5", "5", "5", "4294967301", "4294967301"]


@pytest.mark.covers("C-391")
def test_rate_rows_scale_a_servers_packets_never() -> None:
    stats = Stats(cps=200_000_000, inpps=123456789, outpps=5, inbps=200_000_000, outbps=7)
    state = ServiceState(SERVICE, (ServerState(server("10.2.0.1", 8080), stats=stats),), stats)
    assert "".join(service_block(state, Style(Columns.RATE))) == (
        "TCP  10.9.0.1:80                   200000K  123456K        5  200000K        7\n"
        "  -> 10.2.0.1:8080                200000000 123456789        5  200000K        7\n"
    )


@pytest.mark.covers("C-392", "C-393")
@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (Columns.THRESHOLDS, "100        50         5          123       "),
        (Columns.PERSISTENT_CONN, "7         9           5          123       "),
    ],
)
def test_rows_of_limits_and_templates(columns: Columns, row: str) -> None:
    real = server("10.2.0.1", weight=7, u_threshold=100, l_threshold=50)
    state = ServerState(real, active=5, inactive=123, persistent=9)
    text = block(SERVICE, state, style=Style(columns))
    assert text == f"{SERVICE_LINE}  -> 10.2.0.1:80                  {row}\n"


@pytest.mark.covers("C-394")
@pytest.mark.parametrize(
    ("method", "tunnel", "text"),
    [
        (Method.MASQ, (TunnelType.GUE, 6080, TunnelFlags.CSUM), "Masq    n/a          "),
        (Method.TUNNEL, (TunnelType.IPIP, 0, TunnelFlags.NOCSUM), "Tunnel  ipip         "),
        (Method.TUNNEL, (TunnelType.GUE, 6080, TunnelFlags.NOCSUM), "Tunnel  gue:6080:-c  "),
        (Method.TUNNEL, (TunnelType.GUE, 65535, TunnelFlags.REMCSUM), "Tunnel  gue:65535:r+c"),
        (Method.TUNNEL, (TunnelType.GRE, 0, TunnelFlags.CSUM), "Tunnel  gre:+c       "),
    ],
)
def test_tunnel_column(
    method: Method, tunnel: tuple[TunnelType, int, TunnelFlags], text: str
) -> None:
    kind, port, flags = tunnel
    real = server("10.2.0.1", 80, method, tun_type=kind, tun_port=port, tun_flags=flags)
    row = block(SERVICE, ServerState(real), style=Style(Columns.TUN_INFO)).splitlines()[1]
    assert row == f"  -> 10.2.0.1:80                  {text} 1      0          0         "


@pytest.mark.covers("C-395")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "        0"),
        (99_999_999, " 99999999"),
        (100_000_000, "  100000K"),
        (999_999_999, "  999999K"),
        (1_000_000_000, "    1000M"),
        (99_999_999_999, "   99999M"),
        (100_000_000_000, "     100G"),
        (99_999_999_999_999, "   99999G"),
        (100_000_000_000_000, "     100T"),
        ((1 << 64) - 1, "18446744T"),
    ],
)
def test_large_number_is_cut_down(value: int, text: str) -> None:
    assert large_number(value, is_exact=False) == text


@pytest.mark.covers("C-396")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "        0"),
        (99_999_999, " 99999999"),
        (100_000_000, " 100000000"),
        (10**12, " 1000000000000"),
    ],
)
def test_exact_number_is_not(value: int, text: str) -> None:
    assert large_number(value, is_exact=True) == text


@pytest.mark.covers("C-397")
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--tun-info --persistent-conn --thresholds --rate --stats", "Conns"),
        ("--tun-info --persistent-conn --thresholds --rate", "CPS"),
        ("--persistent-conn --thresholds --tun-info", "Uthreshold"),
        ("--tun-info --persistent-conn", "PersistConn"),
        ("--tun-info", "TunnelInfo"),
    ],
)
def test_first_of_several_listings_wins(options: str, word: str) -> None:
    assert word in Face()(f"-Ln {options}").output
