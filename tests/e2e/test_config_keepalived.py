"""The exit status of a check beside keepalived's own, on the files of its package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.selfcall import environment
from netns.build import Net
from netns.topo import Host, Topology, addresses, link
from tests.e2e.conftest import Networks
from tests.mutation import mutated

SAMPLES = Path("/usr/share/doc/keepalived/samples")
INTERFACES = ("eth0", "eth1", "eth2", "eth3", "eth4", "eth0.1")
MUTATIONS = 120
JUDGE = """\
import json, sys
from lbfast.cli.confcheck import judge
print(json.dumps([[f.exit_status(), f.is_refused, [str(x) for x in f if x.severity]]
                  for f in (judge(path).findings for path in sys.argv[1:])]))
"""

pytestmark = pytest.mark.skipif(
    shutil.which("keepalived") is None, reason="keepalived is not installed"
)


def topology() -> Topology:
    """Return one host with the interfaces that the samples name."""
    ends = [addresses(name, f"10.77.{n}.1/24") for n, name in enumerate(INTERFACES)]
    own = tuple(address for group in ends for address in group)
    others = tuple(
        address
        for n in range(len(INTERFACES))
        for address in addresses(f"p{n}", f"10.77.{n}.2/24")
    )
    links = tuple(link(f"node:{name}", f"peer:p{n}") for n, name in enumerate(INTERFACES))
    return Topology("cfg", (Host("node", own), Host("peer", others)), links)


def keepalived(net: Net, path: Path) -> int:
    return net.run("node", ["keepalived", "-t", "-f", str(path)], check=False).returncode


def ours(net: Net, paths: list[Path]) -> list[tuple[int, bool, list[str]]]:
    """Return status, refusal and complaints for each file, from one process."""
    words = [sys.executable, "-c", JUDGE, *map(str, paths)]
    return [tuple(row) for row in json.loads(
        net.run("node", words, environment=environment()).stdout
    )]  # fmt: skip


@pytest.mark.covers("CFG-12")
def test_samples_have_keepalived_s_status_and_none_is_refused(network: Networks) -> None:
    samples = sorted(SAMPLES.glob("keepalived.conf.*"))
    assert len(samples) >= 20
    net = network(topology())
    wrong = [
        (path.name, status, found)
        for path, (status, is_refused, found) in zip(samples, ours(net, samples), strict=True)
        if is_refused or status != keepalived(net, path)
    ]
    assert not wrong


def test_broken_files_have_keepalived_s_status(network: Networks) -> None:
    net = network(topology())
    files = []
    for seed in range(1001, 1001 + MUTATIONS):
        path = net.scratch / f"{seed}.conf"
        path.write_text(mutated(seed))
        files.append(path)
    (net.scratch / "tf").write_text("0\n")
    differing = []
    for path, (status, _, found) in zip(files, ours(net, files), strict=True):
        theirs = keepalived(net, path)
        if theirs >= 0 and theirs != status:  # a crash of keepalived's is no verdict
            differing.append((path.name, theirs, status, found[:2]))
    assert len(differing) <= 1, differing


def test_long_file_is_read_in_seconds(tmp_path: Path) -> None:
    servers = "".join(
        f" real_server 10.{100 + n}.0.1 80 {{\n  TCP_CHECK {{\n  }}\n }}\n" for n in range(10)
    )
    path = tmp_path / "long.conf"
    path.write_text("".join(
        f"virtual_server 10.1.{n >> 8}.{n & 255} 80 {{\n lb_algo rr\n lb_kind NAT\n"
        f" protocol TCP\n{servers}}}\n" for n in range(500)
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lbfast", "check", str(path)],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
