"""Recipe R9: FULLNAT, real servers that know no way to the clients."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from lbfast.demos.traffic import file_digest, make_file
from netns import recipes_r9 as r9
from netns.build import Net
from netns.inside import inside
from netns.ownership import NAMESPACES
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.capture import Capture
from tests.e2e.client import counters, download, endpoint, fetch, hold, udp_socket, upload
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director
from tests.e2e.transfers import assert_no_checksum_errors, switch_offloads

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
TCP_SAVE_SYN, TCP_SAVED_SYN = 27, 28
TOA = 254


def rules(family: int, option: str = "-t", port: int = 80, names: Iterable[str] = r9.SERVERS,
          lips: Iterable[str] = ()) -> list[str]:  # fmt: skip
    service = f"{option} {endpoint(r9.VIP[family], port)}"
    return [
        f"-A {service} -s rr",
        *(f"--add-laddr {service} -z {lip}" for lip in lips or r9.LIPS[family]),
        *(f"-a {service} -r {endpoint(r9.rip(n, family), port)} --fullnat" for n in names),
    ]


@pytest.fixture
def net(network: Networks) -> Net:
    return network(r9.topology())


@pytest.fixture
def webs(net: Net) -> dict[str, WebServer]:
    files = net.scratch / "files"
    files.mkdir()
    return {name: start_web(net, name, files=files) for name in r9.SERVERS}


@pytest.fixture
def balancer(net: Net, director: Directors) -> Director:
    balancer = director(net)
    balancer.rules(*rules(4), *rules(6))
    return balancer


@FAMILIES
@pytest.mark.usefixtures("webs")
def test_servers_without_a_gateway_answer_through_local_addresses(
    net: Net, balancer: Director, family: int
) -> None:
    gone = net.run("rs1", ["ping", "-c1", "-W1", r9.CIP[family]], check=False)
    assert "nreachable" in gone.stdout + gone.stderr
    answers = fetch(net, "client", endpoint(r9.VIP[family], 80), 60)
    assert Counter(a.host for a in answers) == dict.fromkeys(r9.SERVERS, 20)
    assert {a.client for a in answers} == set(r9.LIPS[family])
    assert {a.server for a in answers} == {r9.rip(name, family) for name in r9.SERVERS}
    low, high = 32768, 60999  # the host's own
    assert all(a.client_port >= 1025 and not low <= a.client_port <= high for a in answers)
    row = balancer.counted(endpoint(r9.VIP[family], 80), 60)
    assert min(row.inpkts, row.outpkts) >= 60 * 4
    local = {line.split()[6].rpartition(":")[0].strip("[]") for line in listed(balancer)}
    assert local == set(r9.LIPS[family])


def listed(balancer: Director) -> list[str]:
    """Return the rows of FULLNAT connections in `-Lnc`."""
    lines = balancer.ipvsadm("-Lnc").splitlines()[2:]
    return [line for line in lines if len(line.split()) == 7]


def whole_both_ways(net: Net, webs: dict[str, WebServer], family: int, size_bytes: int) -> bool:
    """Fetch and upload a file; say whether both came with the same hash."""
    source, got = net.scratch / "files" / "large", net.scratch / "got"
    digest = make_file(source, size_bytes)
    base = f"http://{endpoint(r9.VIP[family], 80)}"
    fetched = download(net, "client", f"{base}/files/large", got)
    assert fetched.wait(100) == 0, fetched.stderr()
    sent = upload(net, "client", f"{base}/upload/large", source)
    assert sent.wait(100) == 0, sent.stderr()
    (arrived,) = [w.uploads / "large" for w in webs.values() if (w.uploads / "large").exists()]
    found = {file_digest(got), file_digest(arrived)}
    arrived.unlink()
    return found == {digest}


@FAMILIES
@pytest.mark.usefixtures("balancer")
def test_large_files_arrive_whole_both_ways(
    net: Net, webs: dict[str, WebServer], family: int
) -> None:
    assert whole_both_ways(net, webs, family, 30_000_000)
    for host in ("client", *r9.SERVERS):
        switch_offloads(net, host, "off")
    assert whole_both_ways(net, webs, family, 3_000_000)
    assert_no_checksum_errors(net)


@FAMILIES
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("webs")
def test_transfer_goes_on_after_kill_9(
    net: Net, balancer: Director, family: int, workers: int
) -> None:
    digest = make_file(net.scratch / "files" / "large", 12_000_000)
    target = net.scratch / "got"
    url = f"http://{endpoint(r9.VIP[family], 80)}/files/large"
    transfer = download(net, "client", url, target, "--limit-rate", "4M")
    wait_for(lambda: target.exists() and target.stat().st_size > 3_000_000)
    before = listed(balancer)
    balancer.crash()
    wait_for(lambda: sent_again(net) or target.stat().st_size > 6_000_000)
    balancer.words = ("--workers", str(workers))  # with two, replies may come to the wrong one
    balancer.start()
    assert transfer.wait(60) == 0, transfer.stderr()
    assert file_digest(target) == digest
    assert counters(net, "director", "TcpOutRsts")["TcpOutRsts"] == 0
    assert [row.split()[3:] for row in listed(balancer)] == [row.split()[3:] for row in before]
    # the ports in use are known: new connections get others
    assert len(fetch(net, "client", endpoint(r9.VIP[family], 80), 30)) == 30
    assert {*balancer.ipvsadm("--list-laddr -n").split()} >= set(r9.LIPS[family])


def sent_again(net: Net) -> bool:
    """Say whether anybody has missed the director."""
    return any(
        counters(net, host, "TcpRetransSegs")["TcpRetransSegs"] for host in ("client", *r9.SERVERS)
    )


@FAMILIES
def test_two_workers_answer_every_request(
    net: Net, webs: dict[str, WebServer], director: Directors, family: int
) -> None:
    balancer = director(net, "director", "--workers", "2")
    balancer.rules(*rules(family))
    answers = fetch(net, "client", endpoint(r9.VIP[family], 80), 60)
    assert Counter(a.host for a in answers) == dict.fromkeys(r9.SERVERS, 20)
    assert whole_both_ways(net, webs, family, 3_000_000)


# ---- the client's address


def toa(packet: Packet) -> tuple[str, int] | None:
    """Return the address and port in a packet's option, None without one."""
    for kind, value in packet[TCP].options:
        if kind == TOA:
            return str(ip_address(value[2:])), int.from_bytes(value[:2], "big")
    return None


@FAMILIES
@pytest.mark.usefixtures("webs", "balancer")
def test_server_is_told_the_client_until_it_has_been_heard(net: Net, family: int) -> None:
    rip = r9.rip("rs1", family)
    with Capture(net, "rs1", "eth0", f"tcp port 80 and dst host {rip}") as capture:
        fetch(net, "client", endpoint(r9.VIP[family], 80), 9)
    packets = [p for p in capture.packets if TCP in p]
    syns = [p for p in packets if p[TCP].flags & 2]
    assert syns
    assert not any(toa(p) for p in syns)
    assert not any(name == "Timestamp" for p in syns for name, _ in p[TCP].options)
    told = [p for p in packets if toa(p)]
    assert {toa(p)[0] for p in told} == {r9.CIP[family]}  # type: ignore[index]
    assert any(bytes(p[TCP].payload).startswith(b"GET") for p in told)
    assert len({p[TCP].ack for p in told}) == len(syns)  # one number of the server's each
    later = [p for p in packets if p[TCP].flags & 1]
    assert later
    assert not any(toa(p) for p in later)


class Listener:
    """A server that asks for the client: TCP_SAVE_SYN keeps the SYN, and the option in it."""

    def __init__(self, net: Net, host: str, family: int) -> None:
        af = socket.AF_INET if family == 4 else socket.AF_INET6

        def make() -> socket.socket:
            sock = socket.socket(af, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
            sock.bind((r9.rip(host, family), 8080))
            sock.listen()
            sock.settimeout(10)
            return sock

        self.socket = inside(NAMESPACES / net.namespace(host), make)
        self.header = IP if family == 4 else IPv6

    def client(self) -> tuple[str, int] | None:
        """Take a connection and return who is behind it."""
        connection, _ = self.socket.accept()
        with connection:
            saved = connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 512)
        return toa(self.header(saved))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@FAMILIES
def test_server_that_asks_for_it_reads_the_client_from_the_syn(
    net: Net, director: Directors, family: int
) -> None:
    balancer = director(net, "director", "--toa", "syn")
    balancer.rules(*rules(family, port=8080, names=("rs1",)))
    with Listener(net, "rs1", family) as server:
        held = hold(net, "client", endpoint(r9.VIP[family], 8080))
        told = server.client()
        held.stop()
    assert told is not None
    assert told[0] == r9.CIP[family]
    assert f"{endpoint(*told)} " in balancer.ipvsadm("-Lnc")


# ---- other protocols, errors, the host


@FAMILIES
def test_large_datagrams_and_errors_find_their_way(
    net: Net, balancer: Director, family: int
) -> None:
    balancer.rules(*rules(family, "-u", 5353, ("rs2",)))
    vip, rip = r9.VIP[family], r9.rip("rs2", family)
    with udp_socket(net, "client", r9.CIP[family]) as asking:
        asking.connect((vip, 5353))
        with udp_socket(net, "rs2", rip, 5353) as server:
            for size in (100, 9000):
                asking.send(b"q" * size)
                question, where = server.recvfrom(10000)
                assert (len(question), where[0] in r9.LIPS[family]) == (size, True)
                server.sendto(question.upper(), where)
                assert asking.recv(10000) == b"Q" * size
        asking.send(b"anybody there")
        with pytest.raises(ConnectionRefusedError):
            wait_for(lambda: asking.send(b"?") < 0)
    assert_no_checksum_errors(net)


@FAMILIES
@pytest.mark.usefixtures("webs")
def test_hosts_own_traffic_from_a_local_address_stays_the_hosts(
    net: Net, balancer: Director, family: int
) -> None:
    fetch(net, "client", endpoint(r9.VIP[family], 80), 3)
    before = taken(balancer)
    lip, rip = r9.LIPS[family][0], r9.rip("rs1", family)
    page = net.run(
        "director",
        ["curl", "-sSf", "-m5", "--interface", lip, f"http://{endpoint(rip, 80)}/"],
    ).stdout
    assert page.split()[:2] == ["rs1", lip]
    net.run("director", ["ping", "-c1", "-W2", "-I", lip, rip])
    assert before > 0
    assert taken(balancer) == before


def taken(balancer: Director) -> int:
    """Return how many packets were taken for having come to a local address."""
    listing = balancer.typed("nft list counters").stdout
    at = listing.index("counter taken_local {")
    return int(listing[at:].split("packets ")[1].split()[0])


# ---- local addresses come and go


@pytest.mark.usefixtures("webs")
def test_connections_outlive_their_local_address(net: Net, balancer: Director) -> None:
    digest = make_file(net.scratch / "files" / "large", 8_000_000)
    target = net.scratch / "got"
    url = f"http://{r9.VIP[4]}/files/large"
    transfer = download(net, "client", url, target, "--limit-rate", "4M")
    wait_for(lambda: target.exists() and target.stat().st_size > 1_000_000)
    service = f"-t {r9.VIP[4]}:80"
    for lip in r9.LIPS[4]:
        balancer.typed(f"ipvsadm --del-laddr {service} -z {lip}")
    refused = net.run("client", ["curl", "-sS", "-m1", f"http://{r9.VIP[4]}/"], check=False)
    assert refused.returncode == 28  # no local address: silence
    assert transfer.wait(60) == 0, transfer.stderr()
    assert file_digest(target) == digest
    balancer.typed(f"ipvsadm --add-laddr {service} -z {r9.LIPS[4][1]}")
    assert {a.client for a in fetch(net, "client", r9.VIP[4], 4)} == {r9.LIPS[4][1]}


def test_saved_rules_bring_local_addresses_back(net: Net, balancer: Director) -> None:
    saved = balancer.typed("ipvsadm -S -n").stdout
    assert f"--add-laddr -t {r9.VIP[4]}:80 -z {r9.LIPS[4][0]}" in saved.splitlines()
    balancer.typed("ipvsadm -C")
    (net.scratch / "rules").write_text(saved)
    balancer.typed(f"ipvsadm -R < {net.scratch}/rules")
    assert balancer.typed("ipvsadm -S -n").stdout == saved


def test_range_that_leaves_no_port_is_named(net: Net, director: Directors) -> None:
    words = ["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535"]
    net.run("director", words)
    balancer = director(net)
    balancer.rules(f"-A -t {r9.VIP[4]}:80")
    done = balancer.typed(f"ipvsadm --add-laddr -t {r9.VIP[4]}:80 -z {r9.LIPS[4][0]}", check=False)
    assert done.returncode != 0
    assert "net.ipv4.ip_local_port_range" in done.stderr
    assert len(done.stderr.splitlines()) == 1
