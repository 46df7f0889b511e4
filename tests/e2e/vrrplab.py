"""Two routers of one VRID and an observer on one segment; either router may be keepalived."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import pickle
import signal
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scapy.packet import Packet

from bench.cpu import with_children
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Address
from lbfast.model.vrrp import (
    DEFAULT_GROUP4,
    DEFAULT_GROUP6,
    Peer,
    VmacKind,
    VrrpConfig,
    VrrpInstance,
)
from lbfast.selfcall import COMMAND
from netns.build import Net
from netns.process import Process
from netns.topo import Host, Topology, addresses, link
from netns.wait import wait_for
from tests.e2e.capture import Capture

ROOT = Path(__file__).resolve().parents[2]
VIP4, VIP6 = "10.9.0.100", "2001:db8:9::100"
LOCAL6 = "fe80::100"
SPEAKERS = ("va", "vb", "vc")
SOURCE4 = {"va": "10.9.0.1", "vb": "10.9.0.2", "vc": "10.9.0.3"}
EXPRESSION = "ip proto 112 or ip6 proto 112 or ip proto 51 or arp or icmp6"


def topology() -> Topology:
    """Return va, vb, vc (speakers) and vo (observer) on one switch."""
    hosts = [
        Host(name, addresses("eth0", f"{SOURCE4[name]}/24", f"2001:db8:9::{number}/64"))
        for number, name in enumerate(SPEAKERS, 1)
    ]
    hosts.append(Host("vo", addresses("eth0", "10.9.0.9/24", "2001:db8:9::9/64")))
    return Topology("vrrp", tuple(hosts), (link(*(f"{host.name}:eth0" for host in hosts)),))


def segment(network: Callable[[Topology], Net]) -> Net:
    """Build the network, and wait until its switch forwards: that may take a second."""
    net = network(topology())
    for host in SPEAKERS:
        ping = ["ping", "-c1", "-W1", SOURCE4[host]]
        wait_for(lambda ping=ping: net.run("vo", ping, check=False).returncode == 0, 10, "a ping")  # type: ignore[misc]
    return net


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def virtual(*texts: str) -> tuple[Address, ...]:
    """Return addresses written `10.0.0.1/24`."""
    found = []
    for text in texts:
        addr, _, length = text.partition("/")
        found.append(Address(packed(addr), int(length)))
    return tuple(found)


def v2(priority: int, **more: object) -> VrrpInstance:
    """Return an instance of version 2, one second."""
    return VrrpInstance(
        "VI_1", 51, "eth0", priority=priority, addresses=virtual(f"{VIP4}/24"), **more  # type: ignore[arg-type]
    )  # fmt: skip


def v3(priority: int, family: int = AF_INET, advert_us: int = 100_000) -> VrrpInstance:
    """Return an instance of version 3, a tenth of a second."""
    own = (f"{VIP4}/24",) if family == AF_INET else (f"{LOCAL6}/64", f"{VIP6}/64")
    group = DEFAULT_GROUP4 if family == AF_INET else DEFAULT_GROUP6
    return VrrpInstance(
        "VI_1", 51, "eth0", family, 3, priority=priority, advert_us=advert_us,
        addresses=virtual(*own), group=group,
    )  # fmt: skip


def text_of(instance: VrrpInstance, host: str, settings: str = "") -> str:
    """Return keepalived's configuration for an instance; `settings` are more global lines."""
    lines = [
        "state BACKUP",
        f"interface {instance.interface}",
        f"virtual_router_id {instance.vrid}",
        f"version {instance.version}",
        f"priority {instance.priority}",
        f"advert_int {instance.advert_us / 1e6:g}",
    ]
    if instance.auth_type:
        secret = instance.auth_pass.decode()
        lines.append("authentication {")
        lines += [f"auth_type {instance.auth_type.name}", f"auth_pass {secret}", "}"]
    if instance.vmac.kind is VmacKind.MACVLAN:
        lines.append("use_vmac")
    if instance.peers:
        lines += [f"unicast_src_ip {SOURCE4[host]}", "unicast_peer {"]
        lines += [*(str(ipaddress.ip_address(peer.addr)) for peer in instance.peers), "}"]
    lines.append("virtual_ipaddress {")
    for address in instance.addresses:
        lines.append(f"{ipaddress.ip_address(address.addr)}/{address.prefixlen}")
    body = "\n".join(f"    {line}" for line in [*lines, "}"])
    return (
        f"global_defs {{\n    router_id {host}\n    script_user root\n"
        f"    enable_script_security\n{settings}}}\nvrrp_instance {instance.name} {{\n{body}\n}}\n"
    )


class Router:
    """A speaker in a host: `kind` is `keepalived`, `director` (`lbfast run -f` with the same
    file) or `lbfast` (VRRP alone, from a model)."""

    def __init__(
        self,
        net: Net,
        host: str,
        kind: str,
        instance: VrrpInstance | VrrpConfig,
        *,
        is_prompt: bool = False,
    ) -> None:
        """Prepare it; `is_prompt` gives keepalived the real-time priority that lbfast takes."""
        self.net, self.host, self.kind, self.is_prompt = net, host, kind, is_prompt
        self._starts = 0
        self.configure(instance)
        self.process: Process | None = None

    def configure(self, instance: VrrpInstance | VrrpConfig) -> None:
        """Write the configuration; `reload` or the next start takes it."""
        self.path = self.net.scratch / f"{self.host}.conf"
        if self.kind != "lbfast":
            assert isinstance(instance, VrrpInstance)
            is_peer = self.kind == "keepalived"
            extra = "    vrrp_rt_priority 1\n" if self.is_prompt and is_peer else ""
            self.path.write_text(text_of(instance, self.host, extra))
            return
        config = instance if isinstance(instance, VrrpConfig) else VrrpConfig((instance,))
        self.path.write_bytes(pickle.dumps(config))

    def start(self, *masters: str) -> Router:
        """Start it; `masters` are instances that led in a process that was killed just now."""
        self._starts += 1
        base = self.net.scratch / f"{self.host}-{self._starts}"
        if self.kind == "keepalived":
            words = ["keepalived", "-n", "-l", "-D", "-G", "-f", str(self.path)]
            if "bfd_instance" not in self.path.read_text():
                words.append("-P")
            for option, name in (("-p", "pid"), ("-r", "vrrp"), ("-c", "chk"), ("-b", "bfd")):
                words += [option, f"{base}.{name}"]
            ready = "Entering BACKUP STATE"
        elif self.kind == "director":
            words, ready = [*COMMAND, "run", "-f", str(self.path)], "lbfast: ready"
        else:
            words = [COMMAND[0], "-m", "tests.vrrp_speaker", str(self.path), *masters]
            ready = "ready"
        name = f"{self.kind}-{self._starts}"
        environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.process = self.net.start(self.host, words, name, environment)
        self.process.wait_for_line(ready)
        return self

    def _children(self) -> list[int]:
        assert self.process is not None
        return with_children(self.process.pid)[1:]

    def crash(self) -> None:
        """End it by kill -9; its children are stopped first, so that none can say goodbye."""
        assert self.process is not None
        children = self._children()
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        self.process.signal(signal.SIGKILL)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.stop()

    def reload(self) -> None:
        assert self.process is not None
        self.process.signal(signal.SIGHUP)

    def states(self) -> list[str]:
        """Return the states that its instances have entered, in order."""
        assert self.process is not None
        lines = [line.split() for line in self.process.stdout().splitlines()]
        return [words[2] for words in lines if words[0] == "state"]

    def log(self) -> str:
        assert self.process is not None
        return self.process.stdout() + self.process.stderr()

    def holds(self, address: str = VIP4, interface: str = "") -> bool:
        """Say whether the host has an address, on an interface if one is named."""
        words = ["ip", "-j", "addr", "show", *(["dev", interface] if interface else [])]
        listed = json.loads(self.net.run(self.host, words).stdout or "[]")
        return any(
            info.get("local") == address for one in listed for info in one.get("addr_info", ())
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """An advert that the observer has seen."""

    at: float
    mac: str
    priority: int
    packet: Packet


def adverts(capture: Capture, mac: str = "") -> list[Sent]:
    """Return the adverts of a capture in order, of one sender if `mac` is given."""
    found = []
    for packet in capture.packets:
        message = message_of(packet)
        sender = bytes(packet)[6:12].hex(":")
        if message and mac in ("", sender):
            found.append(Sent(float(packet.time), sender, message[2], packet))
    return found


def message_of(packet: Packet) -> bytes:
    """Return the VRRP message of a frame, empty if it is something else."""
    data = bytes(packet)
    kind, body = data[12:14], data[14:]
    if kind == b"\x08\x00" and body[9] in (51, 112):
        start = (body[0] & 15) * 4 + (24 if body[9] == 51 else 0)
        return body[start : int.from_bytes(body[2:4], "big")]
    if kind == b"\x86\xdd" and body[6] == 112:
        return body[40:]
    return b""


def announced(capture: Capture, mac: str) -> list[tuple[float, str]]:
    """Return (time, address) of gratuitous ARPs and unsolicited NAs of a sender."""
    found = []
    for packet in capture.packets:
        data = bytes(packet)
        if data[6:12].hex(":") != mac:
            continue
        if data[12:14] == b"\x08\x06" and data[28:32] == data[38:42]:
            found.append((float(packet.time), str(ipaddress.ip_address(data[28:32]))))
        elif data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 136:
            found.append((float(packet.time), str(ipaddress.ip_address(data[62:78]))))
    return found


def mac_of(net: Net, host: str, interface: str = "eth0") -> str:
    return net.run(host, ["cat", f"/sys/class/net/{interface}/address"]).stdout.strip()


def vip_of(instance: VrrpInstance) -> str:
    return VIP4 if instance.family != AF_INET6 else VIP6


def masters(routers: list[Router], vip: str) -> set[str]:
    return {router.host for router in routers if router.holds(vip)}


def wait_masters(routers: list[Router], vip: str, *hosts: str, timeout_s: float = 20) -> None:
    """Wait until exactly these hosts hold the address."""
    what = f"{vip} on {', '.join(hosts) or 'nobody'}"
    wait_for(lambda: masters(routers, vip) == set(hosts), timeout_s, what)


def spacing(sent: list[Sent]) -> float:
    """Return the median distance of adverts in seconds."""
    return statistics.median(later.at - earlier.at for earlier, later in itertools.pairwise(sent))


def unicast(instance: VrrpInstance, host: str) -> VrrpInstance:
    """Return the instance as `host` needs it, va and vb being each other's peers."""
    other = {"va": "vb", "vb": "va"}[host]
    return replace(instance, source=packed(SOURCE4[host]), peers=(Peer(packed(SOURCE4[other])),))
