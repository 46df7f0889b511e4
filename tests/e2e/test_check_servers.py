"""Health checks of real servers: nginx, openssl, dnsmasq, ping, IPv6, marks and interfaces.

```
director eth0 ──── eth0 servers
10.7.0.1, fd00:7::1     10.7.0.11 .. 10.7.0.15, fd00:7::11
```
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lbfast.selfcall import environment
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Topology, addresses, link
from netns.wait import wait_for
from netns.web import start_web, wait_for_listener
from tests.e2e.conftest import Networks

SERVERS = tuple(f"10.7.0.{number}" for number in range(11, 16))
TIMEOUT_S = 30
TOPOLOGY = Topology(
    "real",
    (
        Host("director", addresses("eth0", "10.7.0.1/24", "fd00:7::1/64")),
        Host("servers", addresses("eth0", *(f"{a}/24" for a in SERVERS), "fd00:7::11/64")),
    ),
    (link("director:eth0", "servers:eth0"),),
)
SERVICE = """
virtual_server {} 80 {{
    delay_loop 0.5
    delay_before_retry 0.2
    connect_timeout 2
    warmup 0
    alpha
    {}
    lb_algo rr
    lb_kind NAT
    protocol TCP
{}}}
"""


def block(address: str, check: str) -> str:
    return f"    real_server {address} 80 {{\n        {check}\n    }}\n"


class Checker:
    """The checks of a file at work in the director; every server begins down (alpha)."""

    def __init__(self, net: Net, vip: str, servers: dict[str, str], more: str = "") -> None:
        self.path = net.scratch / f"{vip}.conf"
        blocks = "".join(block(address, check) for address, check in servers.items())
        self.path.write_text(SERVICE.format(vip, more, blocks))
        self.log = net.scratch / f"{vip}.log"
        words = [sys.executable, "-m", "tests.e2e.checkrunner", str(self.path), str(self.log)]
        self.process = net.start("director", words, f"checks-{vip}", environment())

    def alive(self) -> set[str]:
        """Return the addresses of the servers in the table."""
        found: set[str] = set()
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            words = line.split()
            if words[1] == "NEW_DEST":
                found.add(words[3].rsplit(":", 1)[0])
            elif words[1] == "DEL_DEST":
                found.discard(words[3].rsplit(":", 1)[0])
        return found

    def wait_for(self, expected: Sequence[str]) -> None:
        wait_for(lambda: self.alive() == set(expected), TIMEOUT_S, f"{expected} in the table")


def filtered(net: Net, host: str, hook: str, rule: str) -> None:
    """Give a host one rule of its firewall."""
    chain = f"chain c {{\ntype filter hook {hook} priority 0\n{rule}\n}}\n"
    net.run(host, ["nft", "-f", "-"], stdin=f"table inet t {{\n{chain}}}\n")


def tls_server(net: Net, *words: str) -> Process:
    """Start `openssl s_server` with a certificate of its own; it answers with a page."""
    key, certificate = net.scratch / "key.pem", net.scratch / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    out = ["-subj", "/CN=x", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *out], check=True, capture_output=True)
    run = ["openssl", "s_server", "-accept", "8443", "-www", "-key", str(key)]
    process = net.start("servers", [*run, "-cert", str(certificate), *words], "openssl")
    wait_for_listener(net, "servers", 8443, process)
    return process


def dns_server(net: Net) -> Process:
    """Start dnsmasq, which knows one name and nothing else."""
    words = [
        "dnsmasq",
        "-k",
        "-p",
        "53",
        "-R",
        "-h",
        "-u",
        "root",
        "-x",
        str(net.scratch / "d.pid"),
    ]
    words += ["--local=/#/", "--address=/www.example/192.0.2.1", "--log-facility=-"]
    process = net.start("servers", words)
    process.wait_for_line("started")
    return process


@pytest.mark.covers("CHK-14", "CHK-19", "CHK-22", "CHK-25")
@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="needs dnsmasq")
def test_real_servers_come_and_go(network: Networks, tmp_path: Path) -> None:
    net = network(TOPOLOGY)
    (tmp_path / "page").write_bytes(b"x" * 200_000)
    digest = hashlib.md5(b"x" * 200_000).hexdigest()
    web = start_web(net, "servers", 8080, tmp_path)
    processes = {SERVERS[0]: web.process, SERVERS[1]: tls_server(net), SERVERS[2]: dns_server(net)}
    checker = Checker(
        net,
        "10.7.0.100",
        {
            SERVERS[0]: "HTTP_GET { connect_port 8080\n url { path /files/page\n digest "
            + digest
            + " } }",
            SERVERS[1]: 'SSL_GET { connect_port 8443\n url { path /\n regex "s_server" } }',
            SERVERS[2]: "DNS_CHECK { connect_port 53\n type A\n name www.example }",
            SERVERS[3]: "PING_CHECK { }",
            SERVERS[4]: "DNS_CHECK { connect_port 53\n type A\n name www.elsewhere }",
        },
    )
    checker.wait_for(SERVERS[:4])
    for address, process in processes.items():
        process.stop()
        wait_for(lambda gone=address: gone not in checker.alive(), TIMEOUT_S, address)  # type: ignore[misc]
    net.run("servers", ["ip", "addr", "del", f"{SERVERS[3]}/24", "dev", "eth0"])
    checker.wait_for(())


@pytest.mark.covers("CHK-19")
def test_server_name_is_sent_with_enable_sni_only(network: Networks) -> None:
    net = network(TOPOLOGY)
    # the server ends handshakes that name another host
    server = tls_server(net, "-servername", "www.example", "-servername_fatal",
                        "-cert2", str(net.scratch / "cert.pem"),
                        "-key2", str(net.scratch / "key.pem"))  # fmt: skip
    ssl_get = "SSL_GET {{ connect_port 8443\n {}\n url {{ path / }} }}"
    checker = Checker(
        net,
        "10.7.0.100",
        {
            SERVERS[0]: ssl_get.format("enable_sni\n virtualhost www.example"),
            SERVERS[1]: ssl_get.format("virtualhost wrong.example"),
            SERVERS[2]: ssl_get.format("enable_sni\n virtualhost wrong.example"),
        },
    )
    checker.wait_for(SERVERS[:2])
    assert server.alive()


@pytest.mark.covers("CHK-09", "CHK-20", "CHK-25")
def test_ipv6_servers_and_link_local_ones(network: Networks) -> None:
    net = network(TOPOLOGY)
    start_web(net, "servers", 8080)
    shown = net.run("servers", ["ip", "-6", "addr", "show", "dev", "eth0", "scope", "link"]).stdout
    found = re.search(r"inet6 (fe80\S+)/", shown)
    assert found is not None
    checks = {
        "fd00:7::11": "HTTP_GET { connect_port 8080\n url { path / } }",
        "fd00:7::12": f"TCP_CHECK {{ connect_ip {found[1]}\n connect_port 8080\n bind_if eth0 }}",
        "fd00:7::13": "PING_CHECK { connect_ip fd00:7::11 }",
        "fd00:7::14": "PING_CHECK { connect_ip fd00:7::99 }",
    }
    checker = Checker(net, "fd00:7::100", checks)
    checker.wait_for(["fd00:7::11", "fd00:7::12", "fd00:7::13"])


@pytest.mark.covers("CHK-09")
@pytest.mark.parametrize("kind", ["TCP_CHECK", "UDP_CHECK", "PING_CHECK"])
def test_fwmark_is_set_on_what_a_check_sends(network: Networks, kind: str) -> None:
    net = network(TOPOLOGY)
    start_web(net, "servers", 8080)
    filtered(net, "director", "output", "meta mark 77 counter")
    checker = Checker(
        net, "10.7.0.100", {SERVERS[0]: f"{kind} {{ connect_port 8080\n fwmark 77 }}"}
    )

    def counted() -> bool:
        shown = net.run("director", ["nft", "list", "table", "inet", "t"]).stdout
        return "packets 0 " not in shown

    wait_for(counted, TIMEOUT_S, "packets with the mark")
    assert checker.process.alive()


@pytest.mark.covers("CHK-23")
@pytest.mark.parametrize("kind", ["TCP_CHECK", "UDP_CHECK", "PING_CHECK"])
@pytest.mark.parametrize("refusal", ["host-unreachable", "net-unreachable"])
def test_icmp_error_is_a_failure_at_once(network: Networks, kind: str, refusal: str) -> None:
    net = network(TOPOLOGY)
    filtered(net, "servers", "input", f"ip saddr 10.7.0.1 reject with icmp type {refusal}")
    patient = f"{kind} {{ connect_port 8080\n connect_timeout 600\n alpha off }}"
    checker = Checker(net, "10.7.0.100", {SERVERS[0]: patient})
    wait_for(lambda: "DEL_DEST" in _text(checker.log), TIMEOUT_S, "the failure")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.covers("CHK-35")
def test_ha_suspend_follows_the_address(network: Networks) -> None:
    net = network(TOPOLOGY)
    start_web(net, "servers", 8080)
    checks = {SERVERS[0]: "TCP_CHECK { connect_port 8080 }"}
    checker = Checker(net, "10.7.0.100", checks, "ha_suspend")
    free = {SERVERS[1]: "TCP_CHECK { connect_port 8080 }"}
    other = Checker(net, "10.7.0.101", free)
    other.wait_for([SERVERS[1]])  # by now the first would have been checked as well
    assert checker.alive() == set()
    net.run("director", ["ip", "addr", "add", "10.7.0.100/32", "dev", "lo"])
    checker.wait_for([SERVERS[0]])
