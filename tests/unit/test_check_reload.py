"""What a reload does to a virtual service (spec 5.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbfast.check.actions import Action
from lbfast.check.effects import Known, ServiceStatus
from lbfast.model.check import CheckedService, CheckSettings
from tests.checklab import at, begun, server, service, table, trace, vip

A, B, C = "10.7.0.11", "10.7.0.12", "10.7.0.13"


def reloaded(
    old: ServiceStatus, config: CheckedService, *failed: str
) -> tuple[ServiceStatus, list[Action]]:
    status = ServiceStatus(config, CheckSettings())
    return status, status.reload(old, [Known(at(one), "check", False) for one in failed])


def test_reload_without_change_does_nothing() -> None:
    config = service(server(A), server(B))
    status, _ = begun(config)
    status.down(at(B), "check", "")
    assert reloaded(status, config, B)[1] == []


@pytest.mark.covers("SIG-05")
def test_reload_edits_only_the_server_whose_weight_changed() -> None:
    status, _ = begun(service(server(A), server(B)))
    _, actions = reloaded(status, service(server(A), server(B, weight=7)))
    assert trace(actions) == [f"SET_DEST {B} weight 7"]


@pytest.mark.covers("SIG-06")
def test_reload_removes_a_server_and_runs_its_script() -> None:
    status, _ = begun(service(server(A), server(B)))
    _, actions = reloaded(status, service(server(A)))
    assert trace(actions) == [
        f"run /down {B}",
        f"fifo RS [{B}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
        f"DEL_DEST {B}",
    ]


def test_reload_adds_a_server_unless_it_is_down() -> None:
    status, _ = begun(service(server(A)))
    _, actions = reloaded(status, service(server(A), server(B), server(C)), C)
    assert trace(actions) == [f"NEW_DEST {B} weight 1"]


def test_reload_edits_a_service_that_changed() -> None:
    status, _ = begun(service(server(A)))
    changed = service(server(A), services=(replace(vip(), scheduler="wlc"),))
    assert trace(reloaded(status, changed)[1]) == ["SET_SERVICE 10.7.0.100"]


def test_reload_of_a_group_moves_its_addresses() -> None:
    first, second, third = vip(), vip("10.7.0.101"), vip("10.7.0.102")
    status, _ = begun(service(server(A), services=(first, second), group="G"))
    _, actions = reloaded(status, service(server(A), services=(first, third), group="G"))
    assert trace(actions) == [
        f"DEL_DEST {A}",
        "DEL_SERVICE 10.7.0.101",
        "NEW_SERVICE 10.7.0.102",
        f"NEW_DEST {A} weight 1",
    ]


def test_reload_judges_the_quorum_by_the_new_numbers() -> None:
    status, _ = begun(service(server(A), server(B)))
    _, actions = reloaded(status, service(server(A), server(B), quorum=3))
    assert "run /quorum_down" in trace(actions)
    assert table(actions) == []


def test_reload_keeps_dynamic_weights() -> None:
    config = service(server(A, weight=5))
    status, _ = begun(config)
    status.share(at(A), "check", 3)
    new = ServiceStatus(config, CheckSettings())
    assert new.reload(status, [Known(at(A), "check", True, 3)]) == []


def test_reload_takes_a_server_up_whose_failing_checker_is_gone() -> None:
    status, _ = begun(service(server(A), server(B)))
    status.down(at(B), "check", "")
    _, actions = reloaded(status, service(server(A), server(B)))
    assert f"run /up {B}" in trace(actions)
    assert table(actions) == [f"NEW_DEST {B} weight 1"]


def test_removed_service_goes_with_its_scripts() -> None:
    status, _ = begun(service(server(A)))
    assert trace(status.stop(is_removed=True)) == [
        f"run /down {A}",
        f"fifo RS [{A}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
        "run /quorum_down",
        "fifo VS [10.7.0.100]:tcp:80 DOWN",
        f"DEL_DEST {A}",
        "DEL_SERVICE 10.7.0.100",
    ]
