"""The ground of the benches: every subject that is installed carries requests, by its method."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from bench.ground import FAMILIES, Ground, ground
from bench.others import census, tree
from bench.subjects import EVERY, SUBJECTS, available
from bench.subjects.base import Place, Subject, endpoint
from netns.web import start_web
from tests.e2e.client import fetch

FOUND, ABSENT = available()


@pytest.fixture(scope="module")
def field() -> Iterator[Ground]:
    with ground(FOUND) as made:
        start_web(made.net, "server")
        yield made


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_subject_carries_requests_as_its_method_does(
    field: Ground, name: str, family: int
) -> None:
    if name not in FOUND:
        pytest.skip(next(sentence for sentence in ABSENT if sentence.startswith(f"{name}:")))
    subject = SUBJECTS[name]
    answers = fetch(field.net, "client", endpoint(field.target(name, family), 80), 4)
    assert len(answers) == 4
    if not subject.has_director:
        return
    pool = field.places[name].pool(family)
    asks = {"server": pool.servers[:1], "vip": pool.servers}[subject.aims_at]
    if subject.answers_past_director:  # the server is asked by the virtual address
        asks = (pool.vip,)
    answered, asked = {ip_address(a.server) for a in answers}, set(map(ip_address, asks))
    # each worker of a proxy has a turn of its own, so with many all may begin with the first
    assert answered <= asked if subject.is_proxy else answered == asked
    client = pool.vip.removesuffix("00")  # .100 and .1, ::100 and ::1
    seen = {ip_address(a.client) for a in answers}
    if subject.method in ("fullnat", "proxy"):
        assert ip_address(client) not in seen
    else:
        assert seen == {ip_address(client)}


def test_everything_on_the_ground_belongs_to_the_bench(field: Ground) -> None:
    """The CPU time of daemons, peers and their workers is none of others beside a turn."""
    ours = {pid for pid, _ in tree(census(), os.getpid())}
    for place in field.places.values():
        found = set(
            map(int, place.run("ip", "netns", "pids", place.net.namespace(place.host)).split())
        )
        there = {pid for pid in found if Path(f"/proc/{pid}").exists()}
        assert there <= ours
        assert there or not place.pids()


def connections(place: Place, family: int) -> set[tuple[str, str]]:
    """Return client and real server of the connections that IPVS in a director knows.

    Its counters say the same two seconds later: the kernel sums them up that often.
    """
    rows = [line.split() for line in place.run("ipvsadm", "-Lnc").splitlines()]
    vip = endpoint(place.pool(family).vip, 80)
    return {(row[3], row[5]) for row in rows if row[4:5] == [vip]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name.startswith("ipvs-")])
def test_ipvs_itself_schedules_what_it_carries(field: Ground, name: str, family: int) -> None:
    """Both servers are the same host: without IPVS requests may be answered all the same."""
    if name not in FOUND:
        pytest.skip(next(sentence for sentence in ABSENT if sentence.startswith(f"{name}:")))
    place = field.places[name]
    before = connections(place, family)
    fetch(field.net, "client", endpoint(field.target(name, family), 80), 4)
    fresh = sorted(server for _, server in connections(place, family) - before)
    servers = [endpoint(server, 80) for server in place.pool(family).servers]
    assert fresh == sorted(servers * 2)
    assert not connections(field.places["forward"], family)  # each namespace has its own


def broken(monkeypatch: pytest.MonkeyPatch, started: list[Place]) -> None:
    """Have a subject "broken", which starts a process and fails then."""

    @contextmanager
    def fail(place: Place) -> Iterator[None]:
        place.start("sleep", "infinity")
        started.append(place)
        raise RuntimeError("no good")
        yield

    monkeypatch.setitem(EVERY, "broken", Subject("broken", "broken", "nat", fail))


def test_subject_that_fails_to_start_is_left_out_and_the_others_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Place] = []
    left_out: list[str] = []
    broken(monkeypatch, started)
    with ground(("none", "broken", "forward"), left_out=left_out) as made:
        assert list(made.names) == ["none", "forward"]
        assert list(made.places) == ["forward"]
        assert not [process for process in started[0].processes() if process.alive()]
    assert left_out == ["broken: not measured, it failed to start: no good"]


def test_subject_that_fails_to_start_is_a_failure_where_all_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch, [])
    with pytest.raises(RuntimeError, match="no good"), ground(("none", "broken")):
        pass
