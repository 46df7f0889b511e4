"""Where things have to stand in a file, and which line a finding names."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from lbfast.config.findings import Severity
from lbfast.config.load import Loaded, load
from lbfast.config.system import System
from lbfast.model import ServiceFlags
from lbfast.model.vrrp import VmacKind
from tests.unit.config_host import MAIN, MemoryHost, complaints, read

VIP = " interface eth0\n virtual_router_id 3\n virtual_ipaddress {\n 10.0.0.1\n }\n"
TRACKED = {
    "track_script": 'vrrp_script x {\n script "/bin/true"\n user root\n}\n',
    "track_file": "track_file x {\n file /run/x\n}\n",
    "track_process": "vrrp_track_process x {\n process x\n}\n",
    "track_bfd": "bfd_instance x {\n neighbor_ip 10.0.0.9\n}\n",
}
SECURE = "global_defs {\n enable_script_security\n}\n"
SERVICE = (
    "virtual_server 10.0.0.1 80 {\n protocol TCP\n lb_kind DR\n%s\n"
    " real_server 10.0.0.2 80 {\n weight 5\n%s\n }\n}\n"
)


def tracked(loaded: Loaded) -> list[str]:
    instance = loaded.configuration.vrrp.instances[0].tracking
    kinds = (instance.scripts, instance.files, instance.processes, instance.bfds)
    return [track.name for kind in kinds for track in kind]


@pytest.mark.parametrize("block", TRACKED)
def test_instance_tracks_what_stands_above_it(block: str) -> None:
    instance = f"vrrp_instance V {{\n{VIP} {block} {{\n x\n }}\n}}\n"
    loaded = read(SECURE + TRACKED[block] + instance)
    assert complaints(loaded) == []
    assert tracked(loaded) == ["x"]


@pytest.mark.parametrize("block", TRACKED)
def test_instance_does_not_track_what_stands_below_it(block: str) -> None:
    instance = f"vrrp_instance V {{\n{VIP} {block} {{\n x\n }}\n}}\n"
    loaded = read(SECURE + instance + TRACKED[block])
    assert complaints(loaded) == [
        f"{MAIN}:11: (V): {block} x not found further up, expected it there; ignored"
    ]
    assert tracked(loaded) == []


@pytest.mark.parametrize("block", TRACKED)
def test_sync_group_does_not_track_what_stands_below_it(block: str) -> None:
    first = f"vrrp_instance V {{\n{VIP}}}\n"
    second = first.replace("V", "W").replace("id 3", "id 4")
    group = f"vrrp_sync_group G {{\n group {{\n V W\n }}\n {block} {{\n x\n }}\n}}\n"
    loaded = read(SECURE + first + second + group + TRACKED[block])
    assert [line.split(":")[1] for line in complaints(loaded)] == ["23"]
    loaded = read(SECURE + TRACKED[block] + first + second + group)
    assert complaints(loaded) == []


@pytest.mark.parametrize(
    ("check", "block"),
    [("FILE_CHECK {\n track_file x\n }", "track_file"), ("BFD_CHECK {\n name x\n }", "track_bfd")],
)
def test_check_names_what_stands_above_it(check: str, block: str) -> None:
    service = SERVICE % (" lb_algo rr", check)
    loaded = read(TRACKED[block] + service)
    assert complaints(loaded) == []
    assert len(loaded.configuration.check.services[0].servers[0].checkers) == 1
    loaded = read(service + TRACKED[block])
    assert [line.split(":")[1] for line in complaints(loaded)] == ["8"]
    assert loaded.configuration.check.services[0].servers[0].checkers == ()


def test_own_interface_is_not_tracked_twice() -> None:
    own = " track_interface {\n eth1\n eth0 weight 5\n }\n"
    loaded = read(f"vrrp_instance V {{\n{VIP}{own}}}\n")
    assert complaints(loaded) == [
        f"{MAIN}:9: (V): track_interface eth0 is its own interface, ignored"
    ]
    tracking = loaded.configuration.vrrp.instances[0].tracking
    assert [track.name for track in tracking.interfaces] == ["eth1"]


def test_absent_interface_of_an_address_is_reported_at_its_line() -> None:
    more = " virtual_ipaddress_excluded {\n 10.0.0.8\n 10.0.0.9 dev eth9\n }\n"
    found = " virtual_ipaddress {\n 10.0.0.4 dev eth8\n }\n"
    loaded = read(f"vrrp_instance V {{\n{VIP}{more}{found}}}\n")
    assert sorted(complaints(loaded)) == [
        f"{MAIN}:12: address: interface eth8 does not exist, expected an interface",
        f"{MAIN}:9: address: interface eth9 does not exist, expected an interface",
    ]


def test_weight_of_a_group_s_member_is_reported_at_the_member() -> None:
    first = f"vrrp_instance V {{\n{VIP} track_interface {{\n eth1 weight 5\n }}\n}}\n"
    second = f"vrrp_instance W {{\n{VIP}}}\n".replace("id 3", "id 4")
    loaded = read(first + second + "vrrp_sync_group G {\n group {\n V W\n }\n}\n")
    assert complaints(loaded) == [
        f"{MAIN}:1: (V) weight of eth1, ignored: the instance is of a sync group"
    ]


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
@pytest.mark.parametrize("prefix", ["sh", "mh"])
def test_flags_of_sh_and_mh_are_the_same(scheduler: str, prefix: str) -> None:
    words = f" lb_algo {scheduler}\n {prefix}-port\n {prefix}-fallback"
    loaded = read(SERVICE % (words, ""))
    assert complaints(loaded) == []
    flags = loaded.configuration.check.services[0].services[0].flags
    assert flags & (ServiceFlags.SCHED1 | ServiceFlags.SCHED2) == (
        ServiceFlags.SCHED1 | ServiceFlags.SCHED2
    )


@pytest.mark.parametrize("words", [" lb_algo rr\n sh-port", " sh-port\n lb_algo rr"])
def test_flags_of_sh_without_sh_are_reported_at_their_line(words: str) -> None:
    loaded = read(SERVICE % (words, ""))
    line = 4 + words.split("\n").index(" sh-port")
    assert any(text.startswith(f"{MAIN}:{line}: sh-port") for text in complaints(loaded))
    flags = loaded.configuration.check.services[0].services[0].flags
    assert not flags & ServiceFlags.SCHED2


def test_absent_interface_hides_the_security_of_vrrp_s_scripts_only() -> None:
    script = TRACKED["track_script"]
    instance = f"vrrp_instance V {{\n{VIP}}}\n"
    absent = instance.replace("eth0", "eth9")
    notify = ' notify_up "/bin/true" root'
    assert read(script + instance).findings.exit_status() == 6
    loaded = read(script + absent)
    assert loaded.findings.exit_status() == 5
    assert Severity.SECURITY in {finding.severity for finding in loaded.findings}
    service = SERVICE % (" lb_algo rr", notify)
    assert read(script + absent + service).findings.exit_status() == 6


def test_scripts_are_not_judged_without_an_instance() -> None:
    loaded = read('vrrp_script x {\n script "/bin/nowhere"\n}\n')
    assert complaints(loaded) == []


def test_list_without_a_brace_takes_the_next_one() -> None:
    text = f"vrrp_instance V {{\n track_interface eth1\n foo {{\n bar\n }}\n{VIP}}}\n"
    loaded = read(text)
    assert [line.split(":")[1] for line in complaints(loaded)] == ["2", "3", "3", "4"]
    assert len(loaded.configuration.vrrp.instances[0].addresses) == 1


def test_limits_are_written_out() -> None:
    loaded = read("bfd_instance x {\n neighbor_ip 10.0.0.9\n min_tx y\n}\n")
    assert complaints(loaded) == [f"{MAIN}:3: min_tx: 'y', expected a number from 1 to 4294967"]
    loaded = read("global_defs {\n vrrp_garp_interval 0\n}\n")
    assert "from 0.000001 to 4294.967295" in complaints(loaded)[0]


def test_quorum_and_hysteresis_are_unsigned_numbers() -> None:
    loaded = read(SERVICE % (" lb_algo rr\n quorum 4294967295\n hysteresis 4294967295", ""))
    assert [line.split(": ")[2] for line in complaints(loaded)] == [
        "quorum 4294967295 above the sum of weights, 5",
        "hysteresis 4294967295 not below the quorum, 4 is used",
    ]
    service = loaded.configuration.check.services[0]
    assert (service.quorum, service.hysteresis) == (5, 4)
    loaded = read(SERVICE % (" lb_algo rr\n quorum 4294967296", ""))
    assert "expected a number from 1 to 4294967295" in complaints(loaded)[0]


def test_empty_group_of_addresses_is_removed_and_reported() -> None:
    loaded = read("virtual_server_group x {\n}\n")
    assert complaints(loaded) == [f"{MAIN}:1: virtual_server_group x is empty, removed"]


@pytest.mark.parametrize("tail", ["/24", "/x", "-9"])
def test_tail_of_a_lone_address_means_nothing(tail: str) -> None:
    peers = f" unicast_src_ip 10.0.0.7{tail}\n unicast_peer {{\n 10.0.0.8{tail}\n }}\n"
    loaded = read(f"vrrp_instance V {{\n{VIP}{peers}}}\n")
    assert complaints(loaded) == []
    instance = loaded.configuration.vrrp.instances[0]
    assert [peer.addr for peer in instance.peers] == [bytes((10, 0, 0, 8))]
    assert instance.source == bytes((10, 0, 0, 7))
    check = f" TCP_CHECK {{\n connect_ip 10.0.0.9{tail}\n }}"
    service = (SERVICE % (" lb_algo rr", check)).replace("10.0.0.1 80", f"10.0.0.1{tail} 80")
    loaded = read(service.replace("10.0.0.2 80", f"10.0.0.2{tail} 80"))
    assert complaints(loaded) == []
    made = loaded.configuration.check.services[0]
    assert made.services[0].key.addr == bytes((10, 0, 0, 1))
    assert made.servers[0].server.key.addr == bytes((10, 0, 0, 2))


def test_range_among_the_addresses_of_an_instance_is_none() -> None:
    loaded = read(f"vrrp_instance V {{\n{VIP}}}\n".replace("10.0.0.1", "10.0.0.1-9"))
    assert complaints(loaded)[0].startswith(f"{MAIN}:5: 10.0.0.1-9: ")


def test_every_interface_that_is_named_has_to_be_there() -> None:
    loaded = read(f"vrrp_instance V {{\n interface eth9\n{VIP}}}\n")
    assert complaints(loaded) == [
        f"{MAIN}:2: (V): interface eth9 does not exist, expected an interface"
    ]
    assert loaded.configuration.vrrp.instances[0].interface == "eth0"


def test_peers_without_an_interface_are_reported_and_have_no_vmac() -> None:
    peers = " use_vmac\n unicast_peer {\n 10.0.0.8\n }\n"
    loaded = read(f"vrrp_instance V {{\n{VIP}{peers}}}\n".replace(" interface eth0\n", ""))
    assert [line.split(":")[1] for line in complaints(loaded)] == ["1", "6"]
    assert not loaded.findings.is_refused
    assert loaded.configuration.vrrp.instances[0].vmac.kind is VmacKind.NONE


def test_interfaces_are_those_of_the_configuration_s_namespace() -> None:
    text = f"net_namespace blue\nvrrp_instance V {{\n{VIP}}}\n"
    host = MemoryHost(namespaces={"blue": frozenset(("lo",)), "red": frozenset(("eth0",))})
    assert complaints(read(text, host)) == [
        f"{MAIN}:3: (V): interface eth0 does not exist, expected an interface"
    ]
    host = dataclasses.replace(host, interfaces=frozenset())
    assert complaints(read(text.replace("blue", "red"), host)) == []


def test_missing_namespace_is_refused() -> None:
    loaded = read("net_namespace green\n")
    assert complaints(loaded) == [
        f"{MAIN}:1: net_namespace green: No such file or directory, expected a network namespace"
    ]
    assert loaded.findings.is_refused


def test_system_without_a_namespace_says_so() -> None:
    with pytest.raises(FileNotFoundError):
        System().within("no such namespace")


def test_pipe_is_no_configuration(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loaded = load(str(pipe), System())
    assert complaints(loaded) == [f"{pipe}: not a regular file, expected a configuration file"]
    assert loaded.findings.is_refused


@pytest.mark.parametrize("account", ["daemon", "nobody such"])
def test_account_of_a_checking_script_is_said_by_user_alone(account: str) -> None:
    script = f'vrrp_script x {{\n script "/bin/true" {account}\n}}\n'
    loaded = read(f"{script}vrrp_instance V {{\n{VIP}}}\n")
    assert loaded.findings.exit_status() == 6
    made = loaded.configuration.vrrp.scripts[0].script
    assert (made.user, made.group) == ("", "")
    check = f' MISC_CHECK {{\n misc_path "/bin/true" {account}\n }}'
    assert read(SERVICE % (" lb_algo rr", check)).findings.exit_status() == 6
    user = check.replace(account, "\n user daemon")
    assert read(SERVICE % (" lb_algo rr", user)).findings.exit_status() == 0


def test_notify_of_an_unknown_account_is_not_run_and_no_error() -> None:
    loaded = read(f'vrrp_instance V {{\n{VIP} notify_master "/bin/true" nobody\n}}\n')
    assert complaints(loaded) == []
    assert loaded.configuration.vrrp.instances[0].notify.master is None


def test_unknown_account_of_a_script_s_block_is_an_error() -> None:
    script = TRACKED["track_script"].replace("root", "nobody")
    loaded = read(f"{script}vrrp_instance V {{\n{VIP}}}\n")
    assert loaded.findings.exit_status() == 5


@pytest.mark.parametrize(
    ("words", "for_vrrp", "for_checks"),
    [("", 1, 1), ("vrrp", 1, 0), ("checker", 0, 1), ("vrrp\nchecker", 1, 1)],
    ids=["neither word is both", "vrrp", "checker", "both words"],
)
def test_session_is_known_to_whom_it_is_for(words: str, for_vrrp: int, for_checks: int) -> None:
    session = f"bfd_instance x {{\n neighbor_ip 10.0.0.9\n {words}\n}}\n"
    loaded = read(session + SERVICE % (" lb_algo rr", "BFD_CHECK {\n name x\n }"))
    server = loaded.configuration.check.services[0].servers[0]
    assert [bfd.name for bfd in loaded.configuration.vrrp.bfds] == ["x"], "it runs for the peer"
    assert len(server.checkers) == for_checks
    loaded = read(session + f"vrrp_instance V {{\n{VIP} track_bfd {{\n x\n }}\n}}\n")
    assert len(tracked(loaded)) == for_vrrp


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("global_defs {\n lvs_sync_daemon eth0\n}\n", 2),
        (f"vrrp_instance V {{\n{VIP} lvs_sync_daemon_interface eth0\n}}\n", 7),
    ],
    ids=["global", "of an instance"],
)
def test_synchronisation_that_is_not_built_is_said_once(text: str, line: int) -> None:
    found = [str(one) for one in read(text).findings if "synchronised" in str(one)]
    assert len(found) == 1
    assert found[0].startswith(f"{MAIN}:{line}: lvs_sync_daemon")
