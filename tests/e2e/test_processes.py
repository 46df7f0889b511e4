"""The processes of a director by a file: they die, hang, reload, tell of themselves, and stop."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from lbfast.demos.traffic import file_digest, make_file
from lbfast.selfcall import COMMAND, environment
from netns import recipes_r3 as r3
from netns.build import Net
from netns.process import Process
from netns.wait import wait_for
from netns.web import start_web
from tests.e2e.client import download, fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director

KINDS = ("forwarder", "vrrp", "checker")
EXTRA = "192.168.7.253"
SIZE, RATE = 12 << 20, "1M"  # a download of twelve seconds

CONF = """\
global_defs {{
    enable_script_security
    script_user root
    {settings}
}}
vrrp_instance V {{
    interface eth1
    virtual_router_id 7
    priority 200
    virtual_ipaddress {{
        192.168.7.253
        {addresses}
    }}
}}
virtual_server 172.16.16.172 80 {{
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    {servers}
}}
"""
SERVER = """\
    real_server {rip} {port} {{
        weight {weight}
        {more}
        TCP_CHECK {{
            connect_timeout 1
            retry 0
            warmup 0
        }}
    }}
"""


class Site:
    """A director by a file, with two real servers."""

    def __init__(self, net: Net, director: Directors) -> None:
        self.net = net
        self.file = net.scratch / "keepalived.conf"
        self._director = director

    def write(
        self, weights: dict[str, int], settings: str = "", addresses: str = "", more: str = ""
    ) -> None:
        servers = "".join(
            SERVER.format(rip=r3.RIPS[name], port=r3.PORTS[name], weight=weight, more=more)
            for name, weight in weights.items()
        )
        self.file.write_text(CONF.format(settings=settings, addresses=addresses, servers=servers))

    def start(self) -> Director:
        director = self._director(self.net, "director", "-f", str(self.file))
        wait_for(lambda: EXTRA in self.addresses(), what="the VIP")
        return director

    def addresses(self) -> str:
        return self.net.run("director", ["ip", "addr"]).stdout


@pytest.fixture
def site(network: Networks, director: Directors) -> Site:
    net = network(r3.topology())
    (net.scratch / "files").mkdir()
    for name in ("rs1", "rs2"):
        start_web(net, name, r3.PORTS[name], files=net.scratch / "files")
    made = Site(net, director)
    made.write({"rs1": 1, "rs2": 2})
    return made


def children(director: Director) -> dict[str, int]:
    """Return the pids of the processes by their kind."""
    return children_of(director.process.pid)


def children_of(parent: int) -> dict[str, int]:
    found = {}
    for task in Path(f"/proc/{parent}/task").iterdir():
        for pid in (task / "children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"lbfast.processes" in words:
                    found[words[-3].decode()] = int(pid)
    return found


def weights(director: Director) -> dict[str, int]:
    """Return the real servers' weights; none while the forwarder is started again."""
    if director.typed("ipvsadm -Ln", check=False).returncode:
        return {}
    return {address: row.weight for address, row in director.loads().items()}


def replaced(director: Director, kind: str, pid: int) -> int:
    """Wait until a child has another pid; return it."""
    return replaced_of(director.process.pid, kind, pid)


def replaced_of(parent: int, kind: str, pid: int) -> int:
    return wait_for(
        lambda: new if (new := children_of(parent).get(kind)) not in (None, pid) else None,
        what=f"another {kind}",
    )


def transfer(site: Site, name: str) -> Process:
    """Start a download, and wait until it is under way."""
    make_file(site.net.scratch / "files" / "large", SIZE)
    url, target = f"http://{r3.VIP}/files/large", site.net.scratch / name
    process = download(site.net, "client", url, target, "--limit-rate", RATE)
    wait_for(lambda: target.exists() and target.stat().st_size > 0, what="the first bytes")
    return process


def assert_whole(site: Site, process: Process, name: str) -> None:
    assert process.wait(120) == 0, process.stderr()
    digest = file_digest(site.net.scratch / "files" / "large")
    assert file_digest(site.net.scratch / name) == digest


@pytest.mark.covers("SIG-12")
def test_killed_children_come_back_and_a_connection_goes_on(site: Site) -> None:
    director = site.start()
    transferred = transfer(site, "got")
    for kind in KINDS:
        before = children(director)
        os.kill(before[kind], signal.SIGKILL)
        replaced(director, kind, before[kind])
        director.process.wait_for_line(f"lbfast: {kind}, pid {before[kind]}, ended")
        after = children(director)
        assert {k: p for k, p in after.items() if k != kind} == {
            k: p for k, p in before.items() if k != kind
        }, "the others do not notice"
    assert_whole(site, transferred, "got")
    wait_for(lambda: EXTRA in site.addresses(), what="the VIP again")
    assert set(weights(director).values()) == {1, 2}
    assert len(fetch(site.net, "client", r3.VIP, 4)) == 4


@pytest.mark.covers("SIG-12")
@pytest.mark.parametrize("kind", KINDS)
def test_hung_child_is_found_and_replaced(site: Site, kind: str) -> None:
    director = site.start()
    before = children(director)
    os.kill(before[kind], signal.SIGSTOP)
    replaced(director, kind, before[kind])
    director.process.wait_for_line("s, stopped (T): killed")
    others = {k: p for k, p in before.items() if k != kind}
    assert {k: p for k, p in children(director).items() if k != kind} == others
    wait_for(lambda: set(weights(director).values()) == {1, 2}, what="both servers")
    assert len(fetch(site.net, "client", r3.VIP, 4)) == 4


@pytest.mark.covers("SIG-03", "SIG-05", "SIG-06", "SIG-08")
def test_reload_edits_only_what_differs(site: Site) -> None:
    noted = site.net.scratch / "down"
    script = site.net.scratch / "down.sh"
    script.write_text(f"#!/bin/sh\necho gone >> {noted}\n")
    script.chmod(0o755)
    more = f'notify_down "{script}"'
    site.write({"rs1": 1, "rs2": 2}, "script_user root", more=more)
    director = site.start()
    before = children(director)
    entered = director.process.stderr().count("Entering")
    site.write({"rs1": 5, "rs2": 2}, addresses="192.168.7.252", more=more)
    for _ in range(2):
        os.kill(director.process.pid, signal.SIGHUP)
    one, two = (f"{r3.RIPS[name]}:{r3.PORTS[name]}" for name in ("rs1", "rs2"))
    wait_for(lambda: weights(director) == {one: 5, two: 2}, what="the new weight")
    wait_for(lambda: "192.168.7.252" in site.addresses(), what="the new VIP")
    assert EXTRA in site.addresses()
    assert director.process.stderr().count("Entering") == entered, "the state is kept"
    site.write({"rs1": 5}, more=more)
    os.kill(director.process.pid, signal.SIGHUP)
    wait_for(lambda: weights(director) == {one: 5}, what="a server less")
    wait_for(lambda: "192.168.7.252" not in site.addresses(), what="the VIP gone")
    assert children(director) == before


@pytest.mark.covers("SIG-04")
def test_reload_keeps_a_failed_server_out(site: Site) -> None:
    site.write({"rs1": 1, "rs2": 2, "rs3": 3})  # nobody listens on rs3
    director = site.start()
    two = {f"{r3.RIPS[name]}:{r3.PORTS[name]}" for name in ("rs1", "rs2")}
    wait_for(lambda: set(weights(director)) == two, what="the failed server gone")
    site.write({"rs1": 4, "rs2": 2, "rs3": 3})
    os.kill(director.process.pid, signal.SIGHUP)
    seen: list[set[str]] = []

    def reloaded() -> bool:
        found = weights(director)
        seen.append(set(found))
        return 4 in found.values()

    wait_for(reloaded, what="the new weight")
    assert all(names == two for names in seen)


@pytest.mark.covers("SIG-02")
def test_killed_parent_leaves_nothing_in_the_way_of_the_next(site: Site) -> None:
    director = site.start()
    transferred = transfer(site, "got")
    pids = children(director)
    director.crash()
    director.start()
    director.process.wait_for_line("took over 1 services, 2 servers")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.values()))
    wait_for(lambda: EXTRA in site.addresses(), what="the VIP again")
    assert_whole(site, transferred, "got")


def test_children_without_a_parent_end_and_the_next_takes_over(site: Site) -> None:
    director = site.start()
    pids = children(director)
    director.crash()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.values()))
    assert EXTRA not in site.addresses(), "VRRP has handed over"
    director.start()
    director.process.wait_for_line("took over 1 services, 2 servers")
    wait_for(lambda: EXTRA in site.addresses(), what="the VIP again")


@pytest.mark.covers("SIG-13")
def test_options_of_keepalived_leave_addresses_and_table(site: Site) -> None:
    director = site.start()
    assert director.stop() == 0
    program = site.net.scratch / "bin" / "keepalived"
    program.write_text((site.net.scratch / "bin" / "ipvsadm").read_text())
    program.chmod(0o755)
    words = [str(program), "-n", "-l", "-V", "-I", "-f", str(site.file)]
    for name in ("p", "r", "c"):
        words += [f"-{name}", str(site.net.scratch / f"{name}.pid")]
    process = site.net.start("director", words, "keepalived", environment())
    process.wait_for_line("ready: director")
    wait_for(lambda: EXTRA in site.addresses(), what="the VIP")
    assert int((site.net.scratch / "p.pid").read_text()) == process.pid
    assert int((site.net.scratch / "r.pid").read_text()) in children_of(process.pid).values()
    assert process.stop() == 0
    assert EXTRA in site.addresses()
    assert not (site.net.scratch / "p.pid").exists()
    director.start()
    director.process.wait_for_line("took over 1 services, 2 servers")


@pytest.mark.covers("SIG-07")
def test_reload_of_a_refused_file_changes_nothing(site: Site) -> None:
    director = site.start()
    before = weights(director)
    text = site.file.read_text()
    site.file.write_text(text.replace("virtual_router_id 7", "").replace("weight 2", "weight 9"))
    os.kill(director.process.pid, signal.SIGHUP)
    director.process.wait_for_line("the old configuration goes on")
    assert "no virtual_router_id" in director.process.stderr()
    assert weights(director) == before
    assert EXTRA in site.addresses()


@pytest.mark.covers("SIG-07")
def test_checked_reload_keeps_the_old_file_for_any_error(site: Site) -> None:
    site.write({"rs1": 1, "rs2": 2}, f"reload_check_config {site.net.scratch / 'found'}")
    director = site.start()
    before = weights(director)
    site.write({"rs1": 7, "rs2": 2}, "nonsense")
    os.kill(director.process.pid, signal.SIGHUP)
    director.process.wait_for_line("has errors: the old configuration goes on")
    assert "unknown keyword 'nonsense'" in (site.net.scratch / "found").read_text()
    assert weights(director) == before


@pytest.mark.covers("SIG-09")
def test_dumps_tell_what_each_process_knows(site: Site) -> None:
    data, stats = site.net.scratch / "data", site.net.scratch / "stats"
    json = site.net.scratch / "json"
    settings = f"state_dump_file {data}\nstats_dump_file {stats}\njson_dump_file {json}"
    site.write({"rs1": 1, "rs2": 2}, settings)
    director = site.start()
    wait_for(lambda: "Entering MASTER" in director.process.stderr())
    for number, path in ((signal.SIGUSR1, data), (signal.SIGUSR2, stats), (36, json)):
        os.kill(director.process.pid, number)
        wait_for(path.exists, what=str(path))
    assert "State = MASTER" in data.read_text()
    assert EXTRA in data.read_text()
    assert "Became master: 1" in stats.read_text()
    assert '"V"' in json.read_text()


def test_stop_between_a_death_and_its_replacement_leaves_no_address(site: Site) -> None:
    director = site.start()
    replaced(director, "vrrp", kill(director, "vrrp"))  # the second time there is a pause
    wait_for(lambda: director.process.stderr().count("vrrp is ready") == 2, what="a successor")
    kill(director, "vrrp")
    wait_for(lambda: "vrrp is started again in" in director.process.stderr(), what="a pause")
    assert EXTRA in site.addresses()
    assert director.stop() == 0
    assert EXTRA not in site.addresses()


def kill(director: Director, kind: str) -> int:
    """Kill a child; return the pid that it had."""
    pid = children(director)[kind]
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.covers("SIG-01", "SIG-11")
def test_stop_takes_everything_away_and_runs_the_script_once(site: Site) -> None:
    noted = site.net.scratch / "noted"
    for word in ("startup", "shutdown"):
        script = site.net.scratch / f"{word}.sh"
        script.write_text(f"#!/bin/sh\necho {word} >> {noted}\n")
        script.chmod(0o755)
    directory = site.net.scratch
    site.write(
        {"rs1": 1},
        f"startup_script {directory}/startup.sh\nshutdown_script {directory}/shutdown.sh",
    )
    director = site.start()
    assert noted.read_text() == "startup\n"
    assert director.stop() == 0
    assert noted.read_text() == "startup\nshutdown\n"
    assert EXTRA not in site.addresses()
    assert "lbfast" not in site.net.run("director", ["nft", "list", "tables"]).stdout


def test_lines_of_lbfast_s_own_give_marks_and_fullnat(site: Site) -> None:
    text = site.file.read_text()
    own = "@lbfast lb_kind FNAT\n    @lbfast local_address 192.168.7.254\n"
    text = text.replace("    protocol TCP", f"    {own}    protocol TCP", 1)
    site.file.write_text(f"@lbfast mark 9 -p tcp --dport 8000:8010\n{text}")
    director = site.start()
    answers = fetch(site.net, "client", r3.VIP, 4)
    assert {answer.client for answer in answers} == {"192.168.7.254"}
    assert director.lbfast("mark list").stdout == "add 9 -4 -p tcp --dport 8000:8010\n"
    site.file.write_text(text)
    os.kill(director.process.pid, signal.SIGHUP)
    wait_for(lambda: not director.lbfast("mark list").stdout, what="the mark gone")
    assert len(fetch(site.net, "client", r3.VIP, 4)) == 4


def test_file_that_is_refused_starts_nothing(site: Site) -> None:
    site.file.write_text(site.file.read_text().replace("interface eth1", ""))
    words = [*COMMAND, "run", "-f", str(site.file)]
    director = site.net.start("director", words, "refused", environment())
    assert director.wait(30) == 2
    assert "(V) no interface, expected one" in director.stderr()
