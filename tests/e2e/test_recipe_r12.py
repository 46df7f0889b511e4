"""Recipe R12: the machine boots, with systemd's own units, log and shutdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from netns import recipes_r3 as r3
from netns import recipes_r4 as r4
from netns.build import Net
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import FAILED, Networks
from tests.e2e.director import STATE, realserver
from tests.e2e.machine import Machine, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CONF = "/etc/keepalived/keepalived.conf"
STATE_S = 40
INFO = "6"


@pytest.fixture
def site(network: Networks) -> Net:
    """The network of recipe R4 with its web servers; nothing runs on the directors."""
    net = network(r4.topology())
    for name in r4.WEB:
        assert realserver(net, name, "add", r4.VIP).returncode == 0
        start_web(net, name)
    return net


def boots(net: Net, text: str) -> Machine:
    """Boot the master with lbfast.service; return it once it leads and its servers are known."""
    machine = Machine(net, "master", {CONF: text}, ["lbfast.service"])
    wait_for(lambda: holds_vip(net), STATE_S, "the VIP on the booted master")
    return machine


def holds_vip(net: Net) -> bool:
    return r4.VIP in net.run("master", ["ip", "-4", "addr", "show", "dev", "eth1"]).stdout


def leaves_no_trace(net: Net) -> bool:
    tables = net.run("master", ["nft", "list", "tables"]).stdout
    return not holds_vip(net) and "lbfast" not in tables


def answering(net: Net, count: int = 6) -> Counter[str]:
    return Counter(answer.host for answer in fetch(net, "client", r4.VIP, count))


def weights(machine: Machine) -> list[str]:
    rows = [line.split() for line in machine.shell("ipvsadm -Ln").splitlines()[3:]]
    return sorted(row[3] for row in rows if row[0] == "->")


@pytest.mark.covers("SIG-01")
def test_director_comes_up_with_the_machine_and_goes_down_with_it(site: Net) -> None:
    machine = boots(site, r4.connected())
    assert machine.run("systemctl", "is-system-running").stdout.strip() == "running"
    assert machine.show("lbfast", "ActiveState") == "active"
    main = machine.show("lbfast", "MainPID")
    assert set(answering(site)) == set(r4.WEB)

    own = machine.journal("-u", "lbfast", "_TRANSPORT=stdout")
    assert {record["SYSLOG_IDENTIFIER"] for record in own} == {"lbfast"}
    said = {record["MESSAGE"]: record for record in own}
    assert said["(VI_1) Entering MASTER STATE"]["PRIORITY"] == INFO
    assert said["(VI_1) Entering MASTER STATE"]["_PID"] != main, "the VRRP process says it"
    assert not [line for line in said if line.startswith("<")], "no priority is left in a text"

    machine.power_off()
    assert leaves_no_trace(site)


@pytest.mark.covers("SIG-03", "SIG-07")
def test_systemctl_reloads_restarts_and_stops(site: Net) -> None:
    text = r4.connected()
    machine = boots(site, text)
    main = machine.show("lbfast", "MainPID")
    conf = f"cat >{CONF} <<'END'\n{{}}END\nsystemctl reload lbfast"
    machine.shell(conf.format(text.replace("weight 1", "weight 7")))
    wait_for(lambda: weights(machine) == ["7", "7"], what="the new weights")
    machine.shell(conf.format(text.replace("virtual_router_id 100", "")))
    machine.wait_for_line("the old configuration goes on", "-u", "lbfast", "-p", "err")
    assert (machine.show("lbfast", "MainPID"), weights(machine)) == (main, ["7", "7"])
    machine.shell(conf.format(text))
    wait_for(lambda: weights(machine) == ["1", "1"], what="the old weights")

    machine.run("kill", "-9", main)
    wait_for(lambda: machine.show("lbfast", "NRestarts") == "1", what="a restart")
    machine.wait_for_line("took over 1 services, 2 servers", "-u", "lbfast")
    wait_for(lambda: holds_vip(site), STATE_S, "the VIP after a crash")
    wait_for(lambda: machine.show("lbfast", "SubState") == "running", what="ready again")
    assert set(answering(site)) == set(r4.WEB)

    machine.run("systemctl", "stop", "lbfast")
    assert machine.show("lbfast", "Result") == "success"
    assert leaves_no_trace(site)
    machine.run("systemctl", "start", "lbfast")
    wait_for(lambda: holds_vip(site), STATE_S, "the VIP after a start")


def test_start_waits_until_the_director_is_ready_and_tells_of_failures(site: Net) -> None:
    """`systemctl start` of a notify unit comes back when it works, and fails when it cannot."""
    machine = boots(site, r4.connected())
    machine.run("systemctl", "stop", "lbfast")
    machine.shell(f"sed -i /virtual_router_id/d {CONF}")
    assert machine.run("systemctl", "start", "lbfast", check=False).returncode == 1
    machine.wait_for_line("is refused: nothing is started", "-u", "lbfast", "-p", "err")
    machine.run("systemctl", "stop", "lbfast")
    machine.shell(f"rm {CONF}")
    machine.run("systemctl", "start", "lbfast")  # the unit's condition: nothing to do
    assert machine.show("lbfast", "ActiveState") == "inactive"


@pytest.mark.covers("SIG-10")
def test_called_as_keepalived_it_writes_keepalived_s_names_into_the_log(site: Net) -> None:
    machine = boots(site, r4.connected())
    machine.run("systemctl", "stop", "lbfast")
    machine.shell(f"/usr/bin/keepalived -D -S 3 -f {CONF}")
    machine.wait_for_line("Entering MASTER STATE", "-t", "Keepalived_vrrp")
    records = machine.journal("_TRANSPORT=syslog")
    assert {record["SYSLOG_FACILITY"] for record in records} == {"19"}  # local3
    said = {record["MESSAGE"]: record for record in records}
    vrrp = said["(VI_1) Entering MASTER STATE"]
    assert (vrrp["SYSLOG_IDENTIFIER"], vrrp["PRIORITY"]) == ("Keepalived_vrrp", INFO)
    assert vrrp["SYSLOG_PID"] == vrrp["_PID"] == machine.shell("cat /run/vrrp.pid").strip()
    names = {record["SYSLOG_IDENTIFIER"] for record in records}
    assert {"Keepalived", "Keepalived_vrrp", "Keepalived_healthcheckers"} <= names

    # the log is started anew, and a line that comes later is in it
    machine.run("systemctl", "restart", "systemd-journald")
    machine.shell("echo nonsense >>/etc/keepalived/keepalived.conf")
    machine.shell("kill -HUP $(cat /run/keepalived.pid)")
    machine.wait_for_line("reloaded", "-t", "Keepalived")
    machine.shell("kill $(cat /run/keepalived.pid)")
    machine.wait_for_line("stopped", "-t", "Keepalived")
    assert leaves_no_trace(site)
    assert not machine.shell("ls /run/*.pid", check=False)


# ---- rules saved by ipvsadm -S

RULES = (
    "-A -t 172.16.16.172:80 -s wrr\n"
    "-a -t 172.16.16.172:80 -r 192.168.7.1:80 -m -w 3\n"
    "-a -t 172.16.16.172:80 -r 192.168.7.3:8080 -m -w 1\n"
)
FORWARDER = ("lbfast-forwarder.service", "lbfast-rules.service")


@pytest.fixture
def routed(network: Networks) -> Net:
    net = network(r3.topology())
    for name, port in r3.PORTS.items():
        start_web(net, name, port)
    return net


def saved(machine: Machine) -> str:
    return machine.shell("ipvsadm -S -n")


Boot = Callable[[dict[str, str]], Machine]


@pytest.fixture
def boot(routed: Net, request: pytest.FixtureRequest) -> Iterator[Boot]:
    booted: list[Machine] = []

    def start(files: dict[str, str]) -> Machine:
        booted.append(Machine(routed, "director", files, FORWARDER))
        assert booted[-1].run("systemctl", "is-system-running").stdout.strip() == "running"
        return booted[-1]

    yield start
    if request.node.stash.get(FAILED, False):
        state = booted[-1].shell(f"{STATE}; lbfast counters; journalctl -b", check=False)
        (routed.scratch / "director-state").write_text(state)


def test_saved_rules_are_there_after_the_next_boot(routed: Net, boot: Boot) -> None:
    first = boot({})
    first.shell(f"printf %s '{RULES}' | ipvsadm -R && ipvsadm -S -n >/etc/ipvsadm.rules")
    kept = first.shell("cat /etc/ipvsadm.rules")
    first.power_off()
    assert "lbfast" not in routed.run("director", ["nft", "list", "tables"]).stdout

    second = boot({"/etc/ipvsadm.rules": kept})
    assert saved(second) == RULES
    answers = Counter(answer.host for answer in fetch(routed, "client", r3.VIP, 8))
    assert answers == {"rs1": 6, "rs3": 2}


def test_rules_follow_their_file_and_unit(boot: Boot) -> None:
    machine = boot({"/etc/sysconfig/ipvsadm": f"# by hand\n{RULES}", "/etc/ipvsadm.rules": "-C\n"})
    assert saved(machine) == RULES  # Red Hat's place goes before Debian's
    machine.shell("sed -i 's/-w 3/-w 9/' /etc/sysconfig/ipvsadm && systemctl reload lbfast-rules")
    assert saved(machine) == RULES.replace("-w 3", "-w 9")
    machine.run("systemctl", "stop", "lbfast-rules")
    assert saved(machine) == ""
    machine.run("systemctl", "restart", "lbfast-forwarder")
    machine.run("systemctl", "start", "lbfast-rules")
    assert saved(machine) == RULES.replace("-w 3", "-w 9")


def test_wrong_rule_fails_the_reload_and_is_in_the_log(boot: Boot) -> None:
    machine = boot({"/etc/ipvsadm.rules": RULES})
    machine.shell("sed -i '2s/.*/-a -t 172.16.16.172:80 -r nowhere -m/' /etc/ipvsadm.rules")
    assert machine.run("systemctl", "reload", "lbfast-rules", check=False).returncode == 1
    assert "illegal real server address" in " ".join(machine.lines("-t", "lbfast-rules"))
