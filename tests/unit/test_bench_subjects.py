"""The peers of the benches: what they are configured to do, judged by their own checkers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.ground import pool, topology
from bench.subjects import (
    EVERY,
    SUBJECTS,
    available,
    haproxy,
    nft_dnat,
    nft_forward,
    nginx_stream,
    rules,
)
from bench.subjects.base import PORTS, Place, Pool, Subject, endpoint
from bench.subjects.none import nothing
from netns.topo import check
from tests.conftest import namespaces_allowed

POOLS = (pool(1, 4), pool(1, 6))
HERE = (  # nginx -t binds the addresses
    Pool("127.0.0.1", ("127.0.0.2", "127.0.0.3"), ()),
    Pool("::1", ("fd00::2", "fd00::3"), ()),
)
FREE_PORTS = (48080, 48007)
OWN, SERVER = "02:00:00:00:00:01", "02:00:00:00:00:02"


def checker(name: str) -> str:
    """Return a program's path, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def judged(argv: list[str], text: str | None = None) -> str:
    """Return what a checker says; it must accept."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(haproxy.configuration(POOLS, PORTS))
    said = judged([checker("haproxy"), "-c", "-f", str(path)])
    assert "WARNING" not in said


def test_haproxy_listens_for_every_address_and_port() -> None:
    text = haproxy.configuration(POOLS, PORTS)
    assert re.findall(r"bind (.*)", text) == [endpoint(p.vip, n) for p in POOLS for n in PORTS]
    assert len(re.findall(r"^    server rs", text, re.MULTILINE)) == 2 * 2 * len(PORTS)


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    if missing := SUBJECTS["nginx-stream"].missing():
        pytest.skip(f"{', '.join(missing)} not installed")
    path = tmp_path / "nginx.conf"
    path.write_text(nginx_stream.configuration(HERE, FREE_PORTS))
    words = ["-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)]
    assert "test is successful" in judged([checker("nginx"), *words])


def test_nginx_passes_every_port_to_both_servers() -> None:
    text = nginx_stream.configuration(POOLS, PORTS)
    for each in POOLS:
        for port in PORTS:
            servers = "".join(f" server {endpoint(a, port)};" for a in each.servers)
            assert servers in text
            assert f"listen {endpoint(each.vip, port)};" in text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(nft_dnat.rules(POOLS, PORTS), id="dnat"),
        pytest.param(
            nft_forward.rules(POOLS, PORTS, OWN, SERVER).replace("device in0", "device lo"),
            id="forward",
        ),
    ],
)
def test_nft_accepts_the_rules(text: str) -> None:
    if not namespaces_allowed():
        pytest.skip("nft -c asks the kernel: needs CAP_NET_ADMIN")
    judged([checker("nft"), "-c", "-f", "-"], text.replace("fwd to out0", "fwd to lo"))


def test_nft_forward_rewrites_both_mac_addresses() -> None:
    text = nft_forward.rules(POOLS[:1], (80,), OWN, SERVER)
    assert f"ether saddr set {OWN}" in text
    assert f"{{ 0 : {SERVER}, 1 : {SERVER} }} fwd to out0" in text


def test_rules_of_fullnat_name_the_local_addresses() -> None:
    subject = SUBJECTS["lbfast-fullnat"]
    place = Place(None, subject, POOLS[:1], (80,), "s1")  # type: ignore[arg-type]
    assert list(rules.words(place)) == [
        "-A -t 10.1.1.100:80 -s rr",
        *(f"--add-laddr -t 10.1.1.100:80 -z 10.1.2.{n}" for n in range(250, 254)),
        "-a -t 10.1.1.100:80 -r 10.1.2.2:80 --fullnat",
        "-a -t 10.1.1.100:80 -r 10.1.2.3:80 --fullnat",
    ]


def test_the_network_of_all_subjects_can_be_built() -> None:
    made = topology(list(SUBJECTS.values()))
    assert check(made) == []
    assert {host.name for host in made.hosts} == {"client", "server", *SUBJECTS} - {"none"}


def test_a_missing_program_leaves_a_subject_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Subject("odd", "odd", "nat", nothing, ("no-such-program", "/no/such/file"))
    monkeypatch.setitem(EVERY, "odd", odd)
    found, absent = available(("none", "odd"))
    assert found == ["none"]
    assert absent == ["odd: not measured, no-such-program, /no/such/file missing"]


def test_a_program_counts_where_starting_it_would_find_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = Subject("odd", "odd", "nat", nothing, ("haproxy",))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert odd.missing() == ["haproxy"]
    (tmp_path / "haproxy").touch(0o755)
    assert odd.missing() == []


@pytest.mark.parametrize("loads", [True, False])
def test_a_kernel_module_is_loaded_before_its_subject_is_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loads: bool
) -> None:
    kernel = tmp_path / "vs"
    odd = Subject("odd", "odd", "nat", nothing, ("modprobe", str(kernel)), module="ip_vs")
    modprobe = tmp_path / "modprobe"
    modprobe.write_text(
        f'#!/bin/sh\n[ "$*" = "-q ip_vs" ] && {"echo >" if loads else ": "}{kernel}\n'
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert odd.missing() == ["modprobe", str(kernel)]  # nothing is loaded for what cannot run
    modprobe.chmod(0o755)
    assert odd.missing() == ([] if loads else [str(kernel)])


def test_a_machine_without_modprobe_has_no_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    odd = Subject("odd", "odd", "nat", nothing, (str(tmp_path / "vs"),), module="ip_vs")
    assert odd.missing() == [str(tmp_path / "vs")]


def test_ipvs_is_there_once_its_module_is() -> None:
    every = [subject for subject in SUBJECTS.values() if subject.product == "IPVS"]
    assert {subject.name for subject in every} == {"ipvs-nat", "ipvs-dr", "ipvs-tun"}
    assert {subject.module for subject in every} == {"ip_vs"}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_rule_is_of_the_protocol_asked_for(protocol: str) -> None:
    other = {"tcp": "udp", "udp": "tcp"}[protocol]
    dnat = nft_dnat.rules(POOLS, (9,), protocol)
    forward = nft_forward.rules(POOLS, (9,), OWN, SERVER, protocol)
    place = Place(None, SUBJECTS["lbfast-dr"], POOLS, (9,), "s1", protocol)  # type: ignore[arg-type]
    assert all(f"{protocol} dport" in text and other not in text for text in (dnat, forward))
    assert f"{protocol} sport" in forward
    assert {line.split()[1] for line in rules.words(place)} == {f"-{protocol[0]}"}
