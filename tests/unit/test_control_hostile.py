"""What a client that means harm can do to the control server: nothing but to itself."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from lbfast.control import messages as m
from lbfast.control.server import Limits
from lbfast.control.validate import check
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    AF_INET,
    AF_INET6,
    RealServer,
    ServerKey,
    ServiceKey,
    SyncDaemon,
    SyncRole,
    Timeouts,
    VirtualService,
)
from tests.control_lab import PATIENCE_S, ControlLab
from tests.fake_balancer import FakeBalancer

KEY = ServiceKey(AF_INET, 6, b"\x0a\x09\0\1", 80)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlLab]:
    limits = Limits(clients=4, request_s=0.2, answer_s=0.5)
    with ControlLab(
        tmp_path / "control.sock", FakeBalancer(), limits, loop=request.param()
    ) as lab:
        yield lab


def plain(lab: ControlLab) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    connection.connect(str(lab.path))
    return connection


def rest(connection: socket.socket) -> bytes:
    """Returns what comes until the server ends the connection."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        pass
    return received


def framed(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"rubbish",
        b"\xff" * 64,
        b"\x91" * 60_000,
        msgspec.msgpack.encode({"type": "NoSuch"}),
        msgspec.msgpack.encode({"type": "AddService"}),
        msgspec.msgpack.encode({"type": "AddService", "svc": 5}),
        msgspec.msgpack.encode({"type": "Sysctl", "name": b"\xff"}),
        msgspec.msgpack.encode({"type": "StopDaemon", "role": 99}),
    ],
    ids=lambda payload: payload[:12].hex(),
)
def test_nonsense_is_answered_and_ends_the_connection(lab: ControlLab, payload: bytes) -> None:
    connection = plain(lab)
    connection.sendall(framed(payload))
    reply = m.decode_reply(rest(connection)[4:])
    assert isinstance(reply, m.Failed)
    assert reply.sentence.startswith("request makes no sense")
    assert lab.client().table_size() == 4096


def test_request_that_is_too_long_ends_the_connection(lab: ControlLab) -> None:
    connection = plain(lab)
    connection.sendall(struct.pack("!I", 0xFFFFFFFF))
    assert rest(connection) == b""
    assert lab.client().table_size() == 4096


def test_request_that_never_ends_is_given_up(lab: ControlLab) -> None:
    connection = plain(lab)
    connection.sendall(struct.pack("!I", 100) + b"begun")
    assert rest(connection) == b""


def test_client_that_leaves_in_the_middle_is_forgotten(lab: ControlLab) -> None:
    for part in (b"", b"\0\0", struct.pack("!I", 100), struct.pack("!I", 100) + b"begun"):
        connection = plain(lab)
        connection.sendall(part)
        connection.close()
    assert lab.client().table_size() == 4096


def test_one_client_too_many_ends_the_one_idle_for_the_longest(lab: ControlLab) -> None:
    first, second = lab.client(), lab.client()
    assert first.table_size() == second.table_size() == 4096
    assert first.table_size() == 4096
    idle = [plain(lab) for _ in range(2)]
    assert lab.client().table_size() == 4096
    with pytest.raises(ControlError, match="closed the connection"):
        second.table_size()
    assert first.table_size() == 4096
    for connection in idle:
        connection.close()


def test_crowd_of_idle_clients_keeps_nobody_out(lab: ControlLab) -> None:
    crowd = [plain(lab) for _ in range(50)]
    assert lab.client().table_size() == 4096
    for connection in crowd:
        connection.close()


def test_client_of_another_user_is_refused(
    lab: ControlLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.server, "_uids", {12345})
    with pytest.raises(KernelError) as refused:
        lab.client().table_size()
    assert refused.value.errno == errno.EPERM


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_no_bytes_decode_to_anything_but_a_request_or_a_known_failure(payload: bytes) -> None:
    try:
        request = m.decode_request(payload)
    except (msgspec.MsgspecError, ValueError):
        return
    assert isinstance(request, msgspec.Struct)


def server(**changes: object) -> RealServer:
    key = changes.pop("key", ServerKey(AF_INET, b"\x0a\x02\0\1", 80))
    return RealServer(key, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (m.DeleteService(ServiceKey(7, 6, b"\0" * 4, 80)), errno.EAFNOSUPPORT),
        (m.DeleteService(ServiceKey(AF_INET, 6, b"\0" * 16, 80)), errno.EINVAL),
        (m.DeleteService(ServiceKey(AF_INET6, 6, b"\0" * 4, 80)), errno.EINVAL),
        (m.Service(ServiceKey(AF_INET, 6, b"\0" * 4, 65536)), errno.EINVAL),
        (m.Service(ServiceKey(AF_INET, 6, b"\0" * 4, -1)), errno.EINVAL),
        (m.Zero(ServiceKey(AF_INET, 0, b"\0" * 4, 1)), errno.EINVAL),
        (m.Laddrs(ServiceKey(AF_INET, fwmark=1 << 32)), errno.EINVAL),
        (m.Laddrs(ServiceKey(AF_INET, fwmark=-1)), errno.EINVAL),
        (m.Laddrs(ServiceKey(AF_INET, 6, b"\0" * 4, 80, fwmark=1)), errno.EINVAL),
        (m.AddService(VirtualService(KEY, "x" * 16)), errno.ENOENT),
        (m.AddService(VirtualService(KEY, pe_name="é" * 8)), errno.ENOENT),
        (m.EditService(VirtualService(KEY, timeout_s=-1)), errno.EINVAL),
        (m.EditService(VirtualService(KEY, netmask=1 << 32)), errno.EINVAL),
        (m.AddServer(KEY, server(weight=-1)), errno.ERANGE),
        (m.AddServer(KEY, server(weight=1 << 31)), errno.EINVAL),
        (m.AddServer(KEY, server(u_threshold=1 << 32)), errno.EINVAL),
        (m.EditServer(KEY, server(tun_port=65536)), errno.EINVAL),
        (m.EditServer(KEY, server(key=ServerKey(AF_INET, b"", 80))), errno.EINVAL),
        (m.DeleteServer(KEY, ServerKey(99, b"\0" * 4, 80)), errno.EAFNOSUPPORT),
        (m.AddLaddr(KEY, b"\0" * 5), errno.EINVAL),
        (m.SetTimeouts(Timeouts(-1, 0, 0)), errno.EINVAL),
        (m.SetTimeouts(Timeouts(0, 0, 1 << 31)), errno.EINVAL),
        (m.StartDaemon(SyncDaemon(SyncRole.MASTER, "")), errno.ENODEV),
        (m.StartDaemon(SyncDaemon(SyncRole.MASTER, "d0", 256)), errno.EINVAL),
        (m.StartDaemon(SyncDaemon(SyncRole.MASTER, "d0", group=b"\0" * 5)), errno.EINVAL),
        (m.StartDaemon(SyncDaemon(SyncRole.MASTER, "d0", ttl=256)), errno.EINVAL),
    ],
)
def test_values_out_of_range_never_reach_the_balancer(request_: m.Request, code: int) -> None:
    with pytest.raises(KernelError) as refused:
        check(request_)
    assert refused.value.errno == code


@pytest.mark.parametrize(
    "request_",
    [
        m.AddService(VirtualService(KEY)),
        m.AddService(VirtualService(ServiceKey(AF_INET6, fwmark=0xFFFFFFFF), netmask=128)),
        m.AddServer(KEY, server(weight=(1 << 31) - 1)),
        m.Zero(None),
        m.SetTimeouts(Timeouts(0, 0, 0)),
        m.StartDaemon(SyncDaemon(SyncRole.MASTER, "d0")),
        m.Flush(),
    ],
)
def test_values_within_range_pass(request_: m.Request) -> None:
    check(request_)
