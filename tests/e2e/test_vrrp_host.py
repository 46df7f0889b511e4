"""Virtual MACs, filters, static items and trackers of lbfast's VRRP on a real host."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lbfast.model import AF_INET, AF_INET6
from lbfast.model.script import Script
from lbfast.model.vrrp import (
    Notify,
    Track,
    TrackFile,
    Tracking,
    TrackProcess,
    Vmac,
    VmacKind,
    VrrpConfig,
    VrrpGlobals,
    VrrpInstance,
    VrrpScript,
)
from netns.build import Net
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.conftest import Networks
from tests.e2e.vrrplab import (
    EXPRESSION,
    LOCAL6,
    VIP4,
    VIP6,
    Router,
    adverts,
    mac_of,
    packed,
    segment,
    v3,
    vip_of,
    virtual,
    wait_masters,
)

EXTRA = "10.9.0.150"


def sysctl(net: Net, host: str, family: str, interface: str, name: str) -> str:
    path = f"/proc/sys/net/{family}/conf/{interface}/{name}"
    return net.run(host, ["cat", path]).stdout.strip()


def ask(net: Net, address: str) -> None:
    """Let the observer ask for an address anew and use it."""
    net.run("vo", ["ip", "neigh", "flush", "dev", "eth0"])
    ping = ["ping", "-c1", "-W2", address]
    wait_for(lambda: net.run("vo", ping, check=False).returncode == 0, 10, f"{address} answers")


def answers(capture: Capture, address: str) -> list[str]:
    """Return the MACs that ARP answers and solicited neighbour advertisements gave."""
    wanted, found = packed(address), []
    for packet in capture.packets:
        data = bytes(packet)
        if data[12:14] == b"\x08\x06" and data[21] == 2 and data[28:32] == wanted:
            found.append(data[22:28].hex(":"))
        elif data[20] == 58 and data[54] == 136 and data[58] & 0x40 and data[62:78] == wanted:
            found.append(data[80:86].hex(":"))
    return found


@pytest.mark.covers("VRP-39", "IOP-14")
@pytest.mark.parametrize("other", ["lbfast", "keepalived"])
def test_vmac_stays_the_same_over_a_failover(other: str, network: Networks) -> None:
    net = segment(network)
    instance = replace(v3(150), vmac=Vmac(VmacKind.MACVLAN))
    mac = "00:00:5e:00:01:33"
    before = sysctl(net, "va", "ipv4", "eth0", "arp_ignore")
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        high = Router(net, "va", "lbfast", instance).start()
        wait_masters([high], VIP4, "va")
        low = Router(net, "vb", other, replace(instance, priority=100)).start()
        assert high.holds(VIP4, "vrrp.51")
        assert mac_of(net, "va", "vrrp.51") == mac
        assert sysctl(net, "va", "ipv6", "vrrp.51", "disable_ipv6") == "1"
        assert sysctl(net, "va", "ipv4", "vrrp.51", "rp_filter") == "0"
        assert sysctl(net, "va", "ipv4", "eth0", "arp_ignore") == "1"
        ask(net, VIP4)
        high.stop()
        wait_masters([high, low], VIP4, "vb")
        ask(net, VIP4)
    assert "vrrp.51" not in net.run("va", ["ip", "link"]).stdout
    assert sysctl(net, "va", "ipv4", "eth0", "arp_ignore") == before
    sent = adverts(capture)
    assert {one.mac for one in sent} == {mac}
    assert len(answers(capture, VIP4)) >= 2
    assert set(answers(capture, VIP4)) == {mac}
    assert {bytes(one.packet)[29] for one in sent} == {1, 2}  # the bases' own addresses


def test_vmac_of_ipv6_sends_from_its_own_link_local(network: Networks) -> None:
    net = segment(network)
    instance = replace(v3(150, AF_INET6), vmac=Vmac(VmacKind.MACVLAN))
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        router = Router(net, "va", "lbfast", instance).start()
        wait_masters([router], VIP6, "va")
        assert router.holds(LOCAL6, "vrrp.51")
        ask(net, VIP6)
    assert set(answers(capture, VIP6)) == {"00:00:5e:00:02:33"}
    assert {one.mac for one in adverts(capture)} == {"00:00:5e:00:02:33"}


@pytest.mark.covers("VRP-40")
def test_vmac_xmit_base_sends_from_the_base(network: Networks) -> None:
    net = segment(network)
    vmac = Vmac(VmacKind.MACVLAN, name="virt0", xmit_base=True)
    with Capture(net, "vo", "eth0", EXPRESSION) as capture:
        router = Router(net, "va", "lbfast", replace(v3(150), vmac=vmac)).start()
        wait_masters([router], VIP4, "va")
        assert router.holds(VIP4, "virt0")
    assert {one.mac for one in adverts(capture)} == {mac_of(net, "va")}


def test_vmac_is_made_for_addresses_elsewhere_and_spares_strangers(network: Networks) -> None:
    net = segment(network)
    for words in ("link add eth1 type veth peer eth1p", "link set eth1p up", "link set eth1 up"):
        net.run("va", ["ip", *words.split()])
    elsewhere = replace(virtual("10.8.0.100/32")[0], device="eth1", use_vmac=True)
    plain = replace(virtual("10.8.0.101/32")[0], device="eth1")
    instance = replace(v3(150), vmac=Vmac(VmacKind.MACVLAN), excluded=(elsewhere, plain))
    other_family = virtual(f"{VIP6}/64")
    instance = replace(instance, excluded=(*instance.excluded, *other_family))
    router = Router(net, "va", "lbfast", instance).start()
    wait_masters([router], VIP4, "va")
    assert router.holds(VIP6, "vrrp.51")
    assert router.holds("10.8.0.100", "vrrp.51.eth1")
    assert router.holds("10.8.0.101", "eth1")
    assert mac_of(net, "va", "vrrp.51.eth1") == "00:00:5e:00:01:33"
    router.stop()
    assert "vrrp" not in net.run("va", ["ip", "link"]).stdout
    router.configure(replace(v3(150), vmac=Vmac(VmacKind.MACVLAN, name="eth1p")))
    router.start()
    assert "interface eth1p is there already, and not on eth0" in router.log()
    assert "eth1p" in net.run("va", ["ip", "link"]).stdout


@pytest.mark.covers("VRP-41")
@pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["IPv4", "IPv6"])
def test_no_accept_drops_packets_but_is_found(family: int, network: Networks) -> None:
    net = segment(network)
    instance = replace(v3(150, family), accept=False)
    router = Router(net, "va", "lbfast", instance).start()
    address = vip_of(instance)
    wait_masters([router], address, "va")
    ping = ["ping", "-c1", "-W1", address]
    assert net.run("vo", ping, check=False).returncode != 0
    assert mac_of(net, "va") in net.run("vo", ["ip", "neigh", "show", address]).stdout
    router.configure(v3(150, family))
    router.reload()
    wait_for(lambda: net.run("vo", ping, check=False).returncode == 0, 10, "an answer")
    router.configure(instance)
    router.reload()
    wait_for(lambda: net.run("vo", ping, check=False).returncode != 0, 10, "silence")
    router.stop()
    assert "keepalived" not in net.run("va", ["nft", "list", "tables"]).stdout


@pytest.mark.covers("CFG-25")
def test_static_address_is_there_in_every_state_and_comes_back(network: Networks) -> None:
    net = segment(network)
    settings = VrrpGlobals(default_interface="eth0")
    config = VrrpConfig((v3(100),), static_addresses=virtual(f"{EXTRA}/32"), settings=settings)
    router = Router(net, "va", "lbfast", config).start()
    assert router.holds(EXTRA)
    net.run("va", ["ip", "addr", "del", f"{EXTRA}/32", "dev", "eth0"])
    wait_for(lambda: router.holds(EXTRA), 10)
    router.stop()
    assert not router.holds(EXTRA)


def script(path: Path, text: str) -> Script:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Script((str(path),))


def tracked(net: Net, tracking: Tracking, **parts: object) -> Router:
    """Start va with an instance of priority 150 that tracks something."""
    instance: VrrpInstance = replace(v3(150), tracking=tracking)
    config = VrrpConfig((instance,), **parts)  # type: ignore[arg-type]
    return Router(net, "va", "lbfast", config).start()


@pytest.mark.covers("VRP-28")
def test_script_counts_rise_fall_and_time_outs(network: Networks) -> None:
    net = segment(network)
    mood = net.scratch / "mood"
    mood.write_text("exit 0")
    check = VrrpScript(
        "chk", script(net.scratch / "chk", f". {mood}"), interval_us=100_000, fall=3, rise=2
    )
    router = tracked(net, Tracking(scripts=(Track("chk"),)), scripts=(check,))
    wait_masters([router], VIP4, "va")
    mood.write_text("exit 1")
    wait_for(lambda: router.states()[-1] == "FAULT", 10)
    mood.write_text("exit 0")
    wait_for(lambda: router.states()[-1] == "MASTER", 10)
    mood.write_text("exec sleep 60")
    wait_for(lambda: router.states()[-1] == "FAULT", 10)
    assert router.states() == ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "FAULT"]


@pytest.mark.covers("VRP-29")
def test_file_changes_the_priority_and_its_end_is_zero(network: Networks) -> None:
    net = segment(network)
    path = net.scratch / "weight"
    file = TrackFile("f", str(path), weight=2, init_value=5)
    router = tracked(net, Tracking(files=(Track("f", 2),)), files=(file,))
    assert "priority from 150 to 160" in router.log()
    path.write_text("-10\n")
    wait_for(lambda: "from 160 to 130" in router.log(), 10)
    path.unlink()
    wait_for(lambda: "from 130 to 150" in router.log(), 10)
    path.write_text("-127\n")
    wait_for(lambda: router.states()[-1] == "FAULT", 10)


@pytest.mark.covers("VRP-30")
def test_process_that_ends_is_seen_at_once(network: Networks) -> None:
    net = segment(network)
    words = (sys.executable, "-c", "import signal; signal.pause()", net.prefix)
    process = net.start("vo", words, "tracked")
    config = TrackProcess("p", words, full_command=True)
    router = tracked(net, Tracking(processes=(Track("p"),)), processes=(config,))
    wait_masters([router], VIP4, "va")
    process.kill()
    wait_for(lambda: router.states()[-1] == "FAULT", 10)
    net.start("vo", words, "tracked-again")
    wait_for(lambda: router.states()[-1] == "MASTER", 10)


@pytest.mark.covers("VRP-36", "VRP-38")
def test_notify_scripts_get_their_words_and_no_shell(network: Networks) -> None:
    net = segment(network)
    log = net.scratch / "log"
    log.touch()
    note = script(net.scratch / "note", f'echo "$*" >>{log}')

    def words(*more: str) -> Script:
        return Script((*note.argv, *more))

    notify = Notify(
        master=words("master; $(reboot)"), backup=words("backup"), fault=words("fault"),
        stop=words("stop"), any=words("any"),
    )  # fmt: skip
    router = Router(net, "va", "lbfast", replace(v3(150), notify=notify)).start()
    wait_for(lambda: len(log.read_text().splitlines()) == 4, 10)
    net.run("va", ["ip", "link", "set", "eth0", "down"])
    wait_for(lambda: len(log.read_text().splitlines()) == 6, 10)
    router.stop()
    wait_for(lambda: len(log.read_text().splitlines()) == 8, 10)
    lines = log.read_text().splitlines()
    pairs = [sorted(lines[at : at + 2]) for at in range(0, 8, 2)]
    assert pairs == [
        ["any INSTANCE VI_1 BACKUP 150", "backup"],
        ["any INSTANCE VI_1 MASTER 150", "master; $(reboot)"],
        ["any INSTANCE VI_1 FAULT 150", "fault"],
        ["any INSTANCE VI_1 STOP 150", "stop"],
    ]
