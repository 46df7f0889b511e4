"""The ground of the benches: every subject that is installed carries requests, by its method."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from bench.ground import FAMILIES, Ground, ground
from bench.subjects import SUBJECTS, available
from bench.subjects.base import endpoint
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
