"""What the end-to-end tests stand on: networks of their own, logs kept when one fails."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netns.build import Net
from netns.topo import Topology
from tests.e2e.director import Director

FAILED = pytest.StashKey[bool]()

Networks = Callable[[Topology], Net]
Directors = Callable[..., Director]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs namespaces."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("net_admin")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember a failure for the fixture that decides whether logs are kept."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        item.stash[FAILED] = True
    return report


@pytest.fixture
def scratch(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory for logs, captures and files; kept and named if the test fails."""
    name = re.sub(r"\W+", "-", request.node.name)[:60]
    directory = Path(tempfile.mkdtemp(prefix=f"lbfast-e2e-{name}-"))
    yield directory
    if request.node.stash.get(FAILED, False):
        print(f"logs and captures kept in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def network(scratch: Path) -> Iterator[Networks]:
    """Build topologies; all of them are removed at the end."""
    nets: list[Net] = []

    def make(topology: Topology) -> Net:
        nets.append(Net(topology, scratch))
        return nets[-1]

    yield make
    for net in reversed(nets):
        net.remove()


@pytest.fixture
def director(request: pytest.FixtureRequest) -> Iterator[Directors]:
    """Start `lbfast run` in a host of a network; stopped before the network goes."""
    started: list[Director] = []

    def make(net: Net, host: str = "director", *words: str) -> Director:
        started.append(Director(net, host, *words))
        return started[-1]

    yield make
    for each in started:
        if request.node.stash.get(FAILED, False):
            each.keep_state()
        each.stop()
