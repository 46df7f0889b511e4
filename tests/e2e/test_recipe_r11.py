"""Recipe R11: a transparent cache cluster, packets of port 80 marked by lbfast's own rule."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from netns import recipes_r11 as r11
from netns.build import Net
from netns.inside import inside
from netns.ownership import NAMESPACES
from netns.process import Process
from netns.wait import wait_for
from netns.web import Answer, start_web
from tests.e2e.client import download, endpoint, fetch, udp_socket
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director

WEB = ("mark add 1 -p tcp --dport 80", "mark add 1 -6 -p tcp --dport 80")


@pytest.fixture
def net(network: Networks) -> Net:
    net = network(r11.topology())
    for name in r11.CACHES:
        for prefix in r11.ANYWHERE:
            net.run(name, ["ip", "route", "add", "local", prefix, "dev", "lo"])
        start_web(net, name)
    start_web(net, "origin")
    return net


def lbfast(balancer: Director, words: str, check: bool = True) -> str:
    done = balancer.lbfast(words, check)
    return done.stdout if check else done.stderr


def cluster(net: Net, director: Directors, scheduler: str, weight: int = 1) -> Director:
    balancer = director(net)
    for family, caches in (("", r11.CACHES), (" -6", r11.CACHES6)):
        balancer.ipvsadm(f"-A -f 1{family} -s {scheduler}")
        for cache in caches.values():
            address = f"[{cache}]:0" if family else cache
            balancer.ipvsadm(f"-a -f 1{family} -r {address} -g -w {weight}")
    for words in WEB:
        lbfast(balancer, words)
    return balancer


def ask(net: Net, client: str, sites: tuple[str, ...]) -> list[Answer]:
    return [fetch(net, client, endpoint(site, 80))[0] for site in sites]


def hold(net: Net, site: str, count: int) -> list[Process]:
    words = ["socat", "-u", f"TCP:{site}:80", "STDOUT"]
    return [net.start("client1", words, f"hold-{site}-{n}") for n in range(count)]


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr", "dh"])
def test_one_destination_stays_on_one_cache(net: Net, director: Directors, scheduler: str) -> None:
    cluster(net, director, scheduler)
    for sites in (r11.SITES, r11.SITES6):
        homes = defaultdict(set)
        for client in (*r11.CLIENTS, *r11.CLIENTS):
            for site, answer in zip(sites, ask(net, client, sites), strict=True):
                homes[site].add(answer.host)
                assert answer.server == site
                assert answer.client.split(":")[-1].split(".")[-1] == f"1{client[-1]}"
        assert {len(caches) for caches in homes.values()} == {1}
        assert set.union(*homes.values()) == set(r11.CACHES)


def test_what_is_not_marked_goes_to_the_origin(net: Net, director: Directors) -> None:
    cluster(net, director, "lblc")
    start_web(net, "origin", 8080)
    (answer,) = fetch(net, "client1", f"{r11.SITES[0]}:8080")
    assert (answer.host, answer.server) == ("origin", r11.SITES[0])


def test_hot_destination_is_spread_over_a_set_and_narrowed_again(
    net: Net, director: Directors
) -> None:
    balancer = cluster(net, director, "lblcr", weight=3)
    lbfast(balancer, "sysctl lblcr_expiration=1")
    hot = r11.SITES[0]
    (home,) = {answer.host for answer in ask(net, "client1", (hot,) * 3)}
    held = hold(net, hot, 4)  # more than its weight, while others are below half of theirs
    wait_for(lambda: active(balancer)[home] == 4, what="four connections on one cache")
    (second,) = {answer.host for answer in ask(net, "client1", (hot,))}
    assert second != home
    for process in held:
        process.stop()
    wait_for(lambda: set(active(balancer).values()) == {0}, what="no connection is active")
    # A set that has not changed for longer than lblcr_expiration loses its busiest member.
    wait_for(
        lambda: len({answer.host for answer in ask(net, "client2", (hot,) * 6)}) == 1,
        what="the hot destination is on one cache again",
    )


def active(balancer: Director) -> dict[str, int]:
    names = {addr: name for name, addr in r11.CACHES.items()}
    loads = balancer.loads().items()
    return {names[a.split(":")[0]]: load.active for a, load in loads if a[0] != "["}


def test_rules_outlive_a_killed_director_and_are_restored_from_a_file(
    net: Net, director: Directors
) -> None:
    balancer = cluster(net, director, "dh")
    lbfast(balancer, "mark add 0 -d 198.51.100.9 -i eth0")
    before = ask(net, "client1", r11.SITES[:8])
    saved = lbfast(balancer, "mark list")
    assert saved.splitlines() == [
        "add 1 -4 -p tcp --dport 80",
        "add 1 -6 -p tcp --dport 80",
        "add 0 -4 -d 198.51.100.9/32 -i eth0",
    ]
    balancer.crash()
    balancer.start()
    assert lbfast(balancer, "mark list") == saved
    after = ask(net, "client1", r11.SITES[:9])
    assert [a.host for a in after] == [*(a.host for a in before), "origin"]
    (net.scratch / "marks").write_text(saved)
    lbfast(balancer, "mark flush")
    assert {a.host for a in ask(net, "client1", r11.SITES[:3])} == {"origin"}
    lbfast(balancer, f"mark restore < {net.scratch}/marks")
    assert [a.host for a in ask(net, "client1", r11.SITES[:9])] == [a.host for a in after]


@pytest.mark.covers("C-074", "C-077")
def test_bypass_reaches_the_origin_while_no_cache_is_left(
    net: Net, director: Directors, tmp_path: Path
) -> None:
    balancer = cluster(net, director, "lblc")
    files = tmp_path / "files"
    files.mkdir()
    (files / "big").write_bytes(bytes(range(256)) * 80_000)
    start_web(net, "origin", 81, files=files)
    lbfast(balancer, "mark add 1 -p tcp --dport 81")
    for cache in r11.CACHES.values():
        balancer.ipvsadm(f"-e -f 1 -r {cache} -g -w 0")
    refused = net.run("client1", ["curl", "-sSm5", f"http://{r11.SITES[0]}/"], check=False)
    assert refused.returncode == 7, "without bypass the client is told"
    assert lbfast(balancer, "sysctl cache_bypass=1") == "net.ipv4.vs.cache_bypass = 1\n"
    assert {a.host for a in ask(net, "client1", r11.SITES[:3])} == {"origin"}
    target = tmp_path / "got"
    got = download(net, "client1", f"http://{r11.SITES[0]}:81/files/big", target)
    assert got.popen.wait(30) == 0
    assert hashlib.sha256(target.read_bytes()).digest() == (
        hashlib.sha256((files / "big").read_bytes()).digest()
    )
    rows = balancer.ipvsadm("-Lnc").splitlines()
    assert any(f"{r11.SITES[0]}:81" in row and " 0.0.0.0:0 " in f"{row} " for row in rows), rows


# ---- datagrams: ranges of ports, fragments, errors


@pytest.mark.parametrize("method", ["-g", "-m"], ids=["direct routing", "nat"])
def test_datagrams_of_a_range_of_ports_whole_and_in_fragments(
    net: Net, director: Directors, method: str
) -> None:
    balancer = director(net)
    balancer.ipvsadm("-A -f 2 -s rr")
    balancer.ipvsadm(f"-a -f 2 -r {r11.CACHES['cache1']} {method}")
    lbfast(balancer, "mark add 2 -p udp -d 198.51.100.0/24 --dport 5000:5009")
    with udp_anywhere(net, "cache1", 5009) as cache:
        for port, size in ((4000, 100), (4001, 4000), (4002, 20_000)):
            with udp_socket(net, "client1", r11.CLIENTS["client1"], port) as client:
                client.sendto(bytes(size), (r11.SITES[4], 5009))
                data, where = cache.recvfrom(65535)
                assert (len(data), where) == (size, (r11.CLIENTS["client1"], port))
    with udp_socket(net, "origin", r11.SITES[4], 5010) as origin:
        with udp_socket(net, "client1", r11.CLIENTS["client1"]) as client:
            client.sendto(bytes(4000), (r11.SITES[4], 5010))
        assert len(origin.recv(65535)) == 4000, "a port that is not marked"


def test_reply_of_a_nat_server_comes_from_the_address_that_was_asked(
    net: Net, director: Directors
) -> None:
    balancer = director(net)
    balancer.ipvsadm("-A -f 1 -s rr")
    for cache in r11.CACHES.values():
        balancer.ipvsadm(f"-a -f 1 -r {cache} -m")
    lbfast(balancer, WEB[0])
    answers = ask(net, "client1", r11.SITES[:6])
    assert Counter(a.host for a in answers) == dict.fromkeys(r11.CACHES, 2)
    assert {a.server for a in answers} == set(r11.CACHES.values())


def test_icmp_error_of_a_client_reaches_its_cache(net: Net, director: Directors) -> None:
    balancer = director(net)
    balancer.ipvsadm("-A -f 2 -s rr")
    balancer.ipvsadm(f"-a -f 2 -r {r11.CACHES['cache2']} -g")
    lbfast(balancer, "mark add 2 -p udp --dport 5000:5009")
    site, client_address = r11.SITES[2], r11.CLIENTS["client1"]
    with udp_socket(net, "cache2", site, 5000) as cache:
        with udp_socket(net, "client1", client_address, 4000) as client:
            client.sendto(b"ask", (site, 5000))
            assert cache.recv(100) == b"ask"
        cache.connect((client_address, 4000))  # nobody is there any more
        cache.send(b"answer")
        with pytest.raises(ConnectionRefusedError):
            cache.recv(100)


def udp_anywhere(net: Net, host: str, port: int) -> socket.socket:
    """Return a UDP socket that takes datagrams to any address of a host."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", port))
        sock.settimeout(5)
        return sock

    return inside(NAMESPACES / net.namespace(host), make)


def test_wrong_words_are_said_and_change_nothing(net: Net, director: Directors) -> None:
    balancer = cluster(net, director, "dh")
    before = lbfast(balancer, "mark list")
    sentence = lbfast(balancer, "mark add 1 -p icmp", check=False)
    assert sentence == "lbfast mark: -p 'icmp': expected tcp, udp or sctp\n"
    assert lbfast(balancer, "mark list") == before
