"""Large files both ways through a director, and the checks that they came whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scapy.layers.inet import IP, TCP, in4_chksum
from scapy.layers.inet6 import in6_chksum
from scapy.packet import Packet

from lbfast.demos.traffic import file_digest, make_file
from netns import basic
from netns.build import Net
from netns.web import WebServer, start_web
from tests.e2e.client import counters, download, endpoint, upload
from tests.e2e.director import Director, realserver

OPTION = {"nat": "-m", "dr": "-g", "tun": "-i"}
CHECKSUM_ERRORS = (
    "TcpInCsumErrors",
    "UdpInCsumErrors",
    "IcmpInCsumErrors",
    "Icmp6InCsumErrors",
    "Udp6InCsumErrors",
    "IpExtInCsumErrors",
    "IpInHdrErrors",
    "Ip6InHdrErrors",
)
SWITCHES = ("tx", "tso", "gso", "gro")


def rules(method: str, family: int) -> list[str]:
    """Return the words for VIP:80 over the three real servers."""
    service = f"-t {endpoint(basic.VIP[family], 80)}"
    rips = [basic.rip(method, name, family) for name in basic.REAL_SERVERS]
    servers = [f"-a {service} -r {endpoint(rip, 80)} {OPTION[method]}" for rip in rips]
    return [f"-A {service} -s rr", *servers]


def serve(net: Net, method: str, family: int) -> dict[str, WebServer]:
    """Start the real servers' web servers, with the files in `scratch`/files."""
    files = net.scratch / "files"
    files.mkdir(exist_ok=True)
    webs = {}
    for name in basic.REAL_SERVERS:
        webs[name] = start_web(net, name, files=files)
        if method != "nat":
            tunnel = ["--tunnel"] if method == "tun" else []
            assert realserver(net, name, "add", basic.VIP[family], *tunnel).returncode == 0
    return webs


def balance(net: Net, balancer: Director, method: str, family: int) -> dict[str, WebServer]:
    """Start real servers and add the rules."""
    webs = serve(net, method, family)
    balancer.rules(*rules(method, family))
    return webs


def assert_whole_both_ways(
    net: Net, webs: Mapping[str, WebServer], family: int, size_bytes: int
) -> None:
    """Fetch and upload a file; both must arrive with the same hash."""
    digest = make_file(net.scratch / "files" / "large", size_bytes)
    base = f"http://{endpoint(basic.VIP[family], 80)}"
    got = net.scratch / "got"
    fetched = download(net, "client1", f"{base}/files/large", got)
    assert fetched.wait(300) == 0, fetched.stderr()
    assert file_digest(got) == digest
    got.unlink()
    sent = upload(net, "client1", f"{base}/upload/large", net.scratch / "files" / "large")
    assert sent.wait(300) == 0, sent.stderr()
    (arrived,) = [w.uploads / "large" for w in webs.values() if (w.uploads / "large").exists()]
    assert file_digest(arrived) == digest
    arrived.unlink()


def assert_no_checksum_errors(net: Net) -> None:
    """No host of the network has seen a bad checksum."""
    for host in net.topology.hosts:
        seen = counters(net, host.name, *CHECKSUM_ERRORS)
        assert not any(seen.values()), f"{host.name}: {seen}"


def switch_offloads(net: Net, host: str, state: str) -> None:
    """Switch every offload of a host's interfaces on or off."""
    for interface in net.topology.interfaces(host):
        words = [word for name in SWITCHES for word in (name, state)]
        net.run(host, ["ethtool", "-K", interface, *words])


def bad_checksums(packets: Iterable[Packet]) -> list[Packet]:
    """Return the packets whose IPv4 header or TCP checksum is not complete and right."""
    return [packet for packet in packets if TCP in packet and not is_right(packet)]


def is_right(packet: Packet) -> bool:
    """Say whether every checksum of a packet, tunnelled or not, is complete and right."""
    segment = packet.getlayer(TCP)
    network = segment.underlayer
    data = bytes(segment)
    if isinstance(network, IP):
        data = data[: network.len - network.ihl * 4]
        fresh = IP(bytes(network)[: network.ihl * 4])
        del fresh.chksum
        header_right = IP(bytes(fresh)).chksum == network.chksum
        return bool(header_right and in4_chksum(6, network, data) == 0)
    return bool(in6_chksum(6, network, data[: network.plen]) == 0)
