"""What is asked wrongly is answered by one clear sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lbfast.selfcall import COMMAND, environment
from netns import basic
from netns.build import Net
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director


@pytest.fixture
def net(network: Networks) -> Net:
    return network(basic.topology("nat"))


def run(net: Net, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, *COMMAND, *words]
    return net.run("director", command, check=False, environment=environment(), timeout_s=30)


def assert_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """It failed, with one line on standard error that names what was wrong."""
    assert done.returncode not in (0, None)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def test_unknown_interface_is_named(net: Net) -> None:
    assert_sentence(run(net, "run", "-i", "eth9"), "eth9")


def test_tables_that_memory_cannot_hold_are_refused_before_anything_is_made(net: Net) -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    connections = min(1 << 28, pages // 100)
    if connections * 128 < pages:
        pytest.skip("this machine holds every table that can be asked for")
    wanted = ("run", "--connections", str(connections))
    assert_sentence(run(net, *wanted), f"--connections {connections}", "GiB free")
    assert "is not used" not in run(net, *wanted).stderr


def test_start_that_fails_leaves_the_tables_of_a_killed_director(
    net: Net, director: Directors
) -> None:
    balancer = director(net)
    balancer.rules("-A -t 10.2.0.100:80 -s rr")
    balancer.crash()
    without = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    assert_sentence(run(net, "run", "-i", "eth9"), "eth9")
    assert_sentence(run(net, "run", before=without), "CAP_NET_RAW")
    balancer.start()
    assert "took over 1 services" in balancer.process.stderr()


@pytest.mark.parametrize(
    ("capability", "name"),
    [("net_raw", "CAP_NET_RAW"), ("net_admin", "CAP_NET_ADMIN")],
)
def test_missing_capability_is_named(net: Net, capability: str, name: str) -> None:
    without = ("setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}")
    assert_sentence(run(net, "run", before=without), name)


def test_second_director_of_a_namespace_is_refused(net: Net, director: Directors) -> None:
    director(net)
    assert_sentence(run(net, "run"), "runs already")


def test_missing_namespace_is_named_and_not_made(net: Net, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text("net_namespace lbfast-nowhere\n")
    done = run(net, "run", "-f", str(file))
    assert done.returncode not in (0, None)
    assert "'lbfast-nowhere': No such file or directory" in done.stderr.splitlines()[-1]
    assert not Path("/run/netns/lbfast-nowhere").exists()


def test_words_without_a_director_say_so(net: Net) -> None:
    done = run(net, "ipvsadm", "-Ln")
    assert done.returncode == 2
    # ipvsadm's own two lines, the first with our reason
    assert "no lbfast daemon runs for this network namespace" in done.stderr.splitlines()[0]


@pytest.fixture
def balancer(net: Net, director: Directors) -> Director:
    balancer = director(net)
    balancer.ipvsadm("-A -t 10.2.0.100:80 -s rr")
    balancer.ipvsadm("-a -t 10.2.0.100:80 -r 10.3.0.11 -m")
    return balancer


WRONG = {
    "a duplicate service": ("-A -t 10.2.0.100:80 -s rr", "Service already exists"),
    "a duplicate server": (
        "-a -t 10.2.0.100:80 -r 10.3.0.11 -m",
        "Destination already exists",
    ),
    "an unknown service": ("-d -t 10.2.0.100:81 -r 10.3.0.11", "Service not defined"),
    "an unknown server": ("-d -t 10.2.0.100:80 -r 10.3.0.99", "No such destination"),
    "an address that is none": ("-A -t 10.2.0.1000:80 -s rr", "illegal virtual server address"),
}


def test_refused_words_change_nothing(balancer: Director) -> None:
    before = balancer.ipvsadm("-S -n")
    for what, (words, sentence) in WRONG.items():
        done = balancer.typed(f"ipvsadm {words}", check=False)
        assert done.returncode != 0, what
        assert sentence in done.stderr, what
        assert "Traceback" not in done.stderr, what
    assert balancer.ipvsadm("-S -n") == before
