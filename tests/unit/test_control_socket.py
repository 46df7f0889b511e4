"""A balancer over the control socket is the same balancer."""

from __future__ import annotations

import asyncio
import errno
import io
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from lbfast.cli import ipvsadm
from lbfast.control.client import Client, connect
from lbfast.control.rundir import NAME_VARIABLE, RUN_VARIABLE
from lbfast.errors import ControlError, KernelError
from lbfast.model import (
    AF_INET,
    Connection,
    Method,
    RealServer,
    ServerKey,
    ServerState,
    ServiceFlags,
    ServiceKey,
    Stats,
    SyncDaemon,
    SyncRole,
    Timeouts,
    TunnelFlags,
    TunnelType,
    VirtualService,
)
from tests.control_lab import ControlLab
from tests.fake_balancer import FakeBalancer
from tests.ipvsadm_face import FakeNames

KEY = ServiceKey(AF_INET, 6, b"\x0a\x09\0\1", 80)
MARK = ServiceKey(AF_INET, fwmark=0xFFFFFFFF)
SERVICE = VirtualService(KEY, "sh", ServiceFlags(0x1D), 600, 0xFFFFFF00, "sip")
SERVER = RealServer(
    ServerKey(AF_INET, b"\x0a\x02\0\1", 8080),
    Method.TUNNEL,
    *(7, 9, 3),
    TunnelType.GUE,
    6080,
    TunnelFlags.REMCSUM,
)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlLab]:
    with ControlLab(tmp_path / "control.sock", FakeBalancer(), loop=request.param()) as lab:
        yield lab


@pytest.fixture
def client(lab: ControlLab) -> Iterator[Client]:
    client = lab.client()
    yield client
    client.close()


def entry(number: int) -> Connection:
    caddr, cport = number.to_bytes(4, "big"), number & 0xFFFF
    daddr, state = b"\x0a\x02\0\1", "ESTABLISHED"
    return Connection(
        AF_INET, 6, caddr, cport, KEY.addr, 80, daddr, 8080, state, 900, 0x100, "sip", b"\xff id"
    )


def test_services_and_servers_go_over_and_come_back(lab: ControlLab, client: Client) -> None:
    client.add_service(SERVICE)
    client.add_service(VirtualService(MARK))
    client.add_server(KEY, SERVER)
    assert client.services() == lab.balancer.services()
    assert client.service(KEY) == lab.balancer.service(KEY)
    client.edit_service(replace(SERVICE, timeout_s=9))
    client.edit_server(KEY, replace(SERVER, weight=0))
    assert lab.balancer.service(KEY).service.timeout_s == 9
    assert client.service(KEY).servers[0].server.weight == 0
    client.delete_server(KEY, SERVER.key)
    client.delete_service(MARK)
    client.zero(None)
    client.zero(KEY)
    assert lab.balancer.zeroed == [None, KEY]
    client.flush()
    assert client.services() == []


def test_everything_else_goes_over_and_comes_back(lab: ControlLab, client: Client) -> None:
    client.set_timeouts(Timeouts(7, 0, 9))
    assert client.timeouts() == Timeouts(7, 120, 9)
    assert client.table_size() == 4096
    client.set_sysctl("conn_reuse_mode", "0")
    assert client.sysctl("conn_reuse_mode") == "0"
    client.add_service(SERVICE)
    client.add_laddr(KEY, b"\x0a\x02\0\xfe")
    client.add_laddr(KEY, b"\x0a\x02\0\xfd")
    client.del_laddr(KEY, b"\x0a\x02\0\xfe")
    assert client.laddrs(KEY) == [b"\x0a\x02\0\xfd"]
    client.start_daemon(SyncDaemon(SyncRole.MASTER, "d0", 5))
    assert client.daemons() == lab.balancer.daemons()
    client.stop_daemon(SyncRole.MASTER)
    assert client.daemons() == []


@pytest.mark.covers("C-374", "C-375", "C-376")
def test_refusals_keep_their_errno(client: Client) -> None:
    client.add_service(SERVICE)
    with pytest.raises(KernelError) as refused:
        client.add_service(SERVICE)
    assert refused.value.errno == errno.EEXIST
    with pytest.raises(KernelError) as refused:
        client.service(MARK)
    assert refused.value.errno == errno.ESRCH
    with pytest.raises(KernelError) as refused:
        client.sysctl("nosuch")
    assert refused.value.errno == errno.ENOENT
    assert client.table_size() == 4096  # the connection goes on


def test_counters_survive(lab: ControlLab, client: Client) -> None:
    client.add_service(SERVICE)
    stats = Stats(*((1 << 64) - 1 - n for n in range(10)))
    lab.balancer.servers[KEY] = [ServerState(SERVER, 1, 2, 3, stats)]
    assert client.service(KEY).servers == (ServerState(SERVER, 1, 2, 3, stats),)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_many_servers_come_back_whole(lab: ControlLab, client: Client, count: int) -> None:
    client.add_service(SERVICE)
    client.add_service(VirtualService(MARK))
    lab.balancer.servers[KEY] = [
        ServerState(replace(SERVER, key=ServerKey(AF_INET, n.to_bytes(4, "big"), 80)))
        for n in range(count)
    ]
    assert client.services() == lab.balancer.services()
    assert client.service(KEY) == lab.balancer.service(KEY)


@pytest.mark.parametrize("count", [0, 1, 256, 5000])
def test_connections_stream(lab: ControlLab, client: Client, count: int) -> None:
    lab.balancer.entries = [entry(number) for number in range(count)]
    assert list(client.connections()) == lab.balancer.entries
    assert client.table_size() == 4096


class Endless(FakeBalancer):
    """Never runs out of connections; says how many were asked for."""

    taken = 0

    def connections(self) -> Iterator[Connection]:
        while True:
            self.taken += 1
            yield entry(self.taken)


def test_reader_that_stops_reading_holds_nobody_up(tmp_path: Path) -> None:
    balancer = Endless()
    with ControlLab(tmp_path / "control.sock", balancer) as lab:
        slow, other = lab.client(), lab.client()
        rows = slow.connections()
        assert next(rows).caddr == b"\0\0\0\1"
        for _ in range(200):
            assert other.table_size() == 4096
        # what is buffered on the way is bounded
        assert balancer.taken < 100_000
        slow.close()
        other.close()


def test_iterator_given_up_ends_the_connection_not_the_server(lab: ControlLab) -> None:
    lab.balancer.entries = [entry(number) for number in range(5000)]
    client = lab.client()
    rows = client.connections()
    next(rows)
    with pytest.raises(ControlError, match="still being answered"):
        client.table_size()
    del rows
    with pytest.raises(ControlError):
        client.table_size()
    assert lab.client().table_size() == 4096


def test_several_clients_at_once(lab: ControlLab) -> None:
    lab.balancer.entries = [entry(number) for number in range(2000)]

    def work(number: int) -> int:
        client = lab.client()
        key = ServiceKey(AF_INET, fwmark=number + 1)
        client.add_service(VirtualService(key))
        count = sum(1 for _ in client.connections())
        client.close()
        return count

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(24))) == [2000] * 24
    assert len(lab.balancer.table) == 24


class Broken(FakeBalancer):
    def timeouts(self) -> Timeouts:
        raise ZeroDivisionError("a bug")

    def table_size(self) -> int:
        raise OSError(errno.EIO, "broken disk")

    def daemons(self) -> list[SyncDaemon]:
        raise ControlError("connection synchronisation is not built yet")

    def connections(self) -> Iterator[Connection]:
        yield entry(1)
        raise ZeroDivisionError("half-way")


def test_bug_in_the_balancer_is_one_failed_request(tmp_path: Path) -> None:
    with ControlLab(tmp_path / "control.sock", Broken()) as lab:
        client = lab.client()
        with pytest.raises(ControlError, match="ZeroDivisionError: a bug"):
            client.timeouts()
        with pytest.raises(ControlError, match="broken disk"):
            client.table_size()
        with pytest.raises(ControlError, match="not built yet"):
            client.daemons()
        with pytest.raises(ControlError, match="half-way"):
            list(client.connections())
        assert client.services() == []


def test_server_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    with ControlLab(tmp_path / "control.sock", FakeBalancer()) as lab:
        client = lab.client()
        assert client.table_size() == 4096
    with pytest.raises(ControlError, match="closed the connection"):
        client.table_size()
    assert not lab.path.exists()


def test_words_over_the_socket(lab: ControlLab) -> None:
    def words(line: str) -> tuple[int, str, str]:
        output, error = io.StringIO(), io.StringIO()
        status = ipvsadm.main(
            ["ipvsadm", *line.split()],
            lab.client,
            stdin=io.StringIO(),
            stdout=output,
            stderr=error,
            names=FakeNames(),
        )
        return status, output.getvalue(), error.getvalue()

    assert words("-A -t 10.9.0.1:80 -s rr") == (0, "", "")
    assert words("-A -t 10.9.0.1:80 -s rr") == (255, "", "Service already exists\n")
    assert words("-L -t 10.9.0.9:80") == (1, "", "No such service\n")
    assert words("-Ln")[1].splitlines()[3:] == ["TCP  10.9.0.1:80 rr"]


@pytest.mark.covers("C-378")
class Slow(FakeBalancer):
    """Counts who waits for edits to be in force."""

    settled = 0

    def settle(self) -> None:
        self.settled += 1


def test_words_wait_until_what_they_edited_is_in_force(tmp_path: Path) -> None:
    slow = Slow()
    with ControlLab(tmp_path / "control.sock", slow) as lab:

        def words(line: str, stdin: str = "") -> None:
            ipvsadm.main(
                ["ipvsadm", *line.split()],
                lab.client,
                stdin=io.StringIO(stdin),
                stdout=io.StringIO(),
                stderr=io.StringIO(),
            )

        words("-A -t 10.9.0.1:80")
        assert slow.settled == 1
        words("-A -t 10.9.0.1:80")
        words("-Ln")
        assert slow.settled == 1, "nothing has changed"
        words("-R", "-A -t 10.9.0.2:80\n-A -t 10.9.0.3:80\n-A -t 10.9.0.2:80\n")
        assert (slow.settled, len(slow.table)) == (2, 3), "those before the wrong one"


def test_connect_without_a_daemon_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    monkeypatch.setenv(NAME_VARIABLE, "blue")
    with pytest.raises(ControlError, match="no lbfast daemon runs for this network namespace"):
        connect()
    (tmp_path / "blue").mkdir()
    with ControlLab(tmp_path / "blue" / "control.sock", FakeBalancer()):
        client = connect()
        assert client.table_size() == 4096
        client.close()


def test_loop_is_not_blocked_by_a_long_answer(lab: ControlLab) -> None:
    lab.balancer.entries = [entry(number) for number in range(50_000)]
    stop, gaps = threading.Event(), []

    def watch(last: float) -> None:
        now = lab.loop.time()
        gaps.append(now - last)
        if not stop.is_set():
            lab.loop.call_later(0.001, watch, now)

    lab.loop.call_soon_threadsafe(lambda: watch(lab.loop.time()))
    client = lab.client()
    assert sum(1 for _ in client.connections()) == 50_000
    stop.set()
    client.close()
    assert len(gaps) > 5  # between the pieces of the answer


def test_a_daemon_that_does_not_answer_is_named_while_the_user_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lbfast.control.client.NOTICE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "control.sock"))
        mute.listen()
        client = Client(tmp_path / "control.sock", patience_s=0.2)
        with pytest.raises(ControlError, match="does not answer"):
            client.services()
        client.close()
    assert capsys.readouterr().err.count("does not answer, waiting") == 1


def test_connect_without_permission_names_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> Client:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("LBFAST_RUN", str(tmp_path))
    monkeypatch.setenv("LBFAST_NAME", "green")
    monkeypatch.setattr("lbfast.control.client.Client", refused)
    with pytest.raises(PermissionError) as caught:
        connect()
    assert caught.value.filename == str(tmp_path / "green" / "control.sock")
