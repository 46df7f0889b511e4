"""What results do to a virtual service: the traces of spec 3.12."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lbfast.check.actions import Alert, Note
from lbfast.model import AF_INET, ServiceKey, VirtualService
from lbfast.model.check import CheckSettings, SorryServer
from tests.checklab import at, begun, packed, real, server, service, table, trace, vip

A, B, C = "10.7.0.11", "10.7.0.12", "10.7.0.13"
SORRY = SorryServer(real("10.7.0.200"))
SORRY_ADD, SORRY_DEL = "NEW_DEST 10.7.0.200 weight 1", "DEL_DEST 10.7.0.200"


@pytest.mark.covers("CHK-01", "CHK-33", "CHK-34", "QUO-01")
def test_start_adds_service_and_servers_then_runs_quorum_up() -> None:
    _, actions = begun(service(server(A, weight=2), server(B, weight=0)))
    assert trace(actions) == [
        "NEW_SERVICE 10.7.0.100",
        f"NEW_DEST {A} weight 2",
        f"NEW_DEST {B} weight 0",
        "run /quorum_up",
        "fifo VS [10.7.0.100]:tcp:80 UP",
    ]


def test_start_runs_notify_up_only_with_rs_init_notifies() -> None:
    config = service(server(A))
    assert f"run /up {A}" not in trace(begun(config)[1])
    settings = CheckSettings(rs_init_notifies=True)
    assert f"run /up {A}" in trace(begun(config, settings=settings)[1])


@pytest.mark.covers("CHK-02")
def test_alpha_server_is_absent_until_its_first_success() -> None:
    status, actions = begun(service(server(A), server(B)), B)
    assert table(actions) == ["NEW_SERVICE 10.7.0.100", f"NEW_DEST {A} weight 1"]
    assert trace(status.up(at(B), "check", "")) == [
        f"NEW_DEST {B} weight 1",
        f"run /up {B}",
        f"fifo RS [{B}]:tcp:80 [10.7.0.100]:tcp:80 UP",
    ]


@pytest.mark.covers("CHK-02")
def test_alpha_server_with_inhibit_has_weight_0_until_its_first_success() -> None:
    status, actions = begun(service(server(A), server(B, inhibit_on_failure=True)), B)
    assert table(actions)[2:] == [f"NEW_DEST {B} weight 0"]
    assert table(status.up(at(B), "check", "")) == [f"SET_DEST {B} weight 1"]


def test_first_failure_of_an_alpha_server_runs_its_script_once() -> None:
    status, _ = begun(service(server(A), server(B)), B)
    assert trace(status.still_down(at(B))) == [
        f"run /down {B}",
        f"fifo RS [{B}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
    ]


def test_down_then_up_deletes_and_adds() -> None:
    status, _ = begun(service(server(A), server(B, weight=3)))
    assert trace(status.down(at(B), "check", "")) == [
        f"DEL_DEST {B}",
        f"run /down {B}",
        f"fifo RS [{B}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
    ]
    assert table(status.up(at(B), "check", "")) == [f"NEW_DEST {B} weight 3"]


@pytest.mark.covers("CHK-32")
def test_down_then_up_with_inhibit_changes_the_weight() -> None:
    status, _ = begun(service(server(A), server(B, weight=3), inhibit_on_failure=True))
    assert table(status.down(at(B), "check", "")) == [f"SET_DEST {B} weight 0"]
    assert table(status.up(at(B), "check", "")) == [f"SET_DEST {B} weight 3"]


@pytest.mark.covers("CHK-31")
def test_first_failing_checker_takes_down_and_the_last_brings_up() -> None:
    status, _ = begun(service(server(A), server(B)))
    assert table(status.down(at(B), "one", "")) == [f"DEL_DEST {B}"]
    assert trace(status.down(at(B), "two", "")) == []
    assert trace(status.up(at(B), "one", "")) == []
    assert table(status.up(at(B), "two", "")) == [f"NEW_DEST {B} weight 1"]


@pytest.mark.covers("QUO-09")
def test_loss_of_quorum_comes_after_the_servers_own_script() -> None:
    status, _ = begun(service(server(A)))
    assert trace(status.down(at(A), "check", "")) == [
        f"DEL_DEST {A}",
        f"run /down {A}",
        f"fifo RS [{A}]:tcp:80 [10.7.0.100]:tcp:80 DOWN",
        "run /quorum_down",
        "fifo VS [10.7.0.100]:tcp:80 DOWN",
    ]


def test_loss_of_quorum_without_sorry_server_leaves_the_table() -> None:
    config = service(server(A, weight=2), server(B, weight=1), quorum=2)
    status, _ = begun(config)
    actions = status.down(at(A), "check", "")
    assert table(actions) == [f"DEL_DEST {A}"]
    assert "run /quorum_down" in trace(actions)


@pytest.mark.covers("QUO-02")
def test_hysteresis_as_measured() -> None:
    """Weights 2 + 1, quorum 2, hysteresis 1: gained only at 3, kept at 1, lost at 0."""
    config = service(server(A, weight=2), server(B, weight=1), quorum=2, hysteresis=1)
    status, _ = begun(config, A, B)
    assert not status.has_quorum
    status.up(at(A), "check", "")
    assert not status.has_quorum
    status.up(at(B), "check", "")
    assert status.has_quorum
    status.down(at(A), "check", "")
    assert status.has_quorum
    status.down(at(B), "check", "")
    assert not status.has_quorum


@pytest.mark.covers("QUO-03")
def test_quorum_without_any_weight_is_never_met() -> None:
    status, actions = begun(service(server(A, weight=0), quorum=1))
    assert not status.has_quorum
    assert "run /quorum_up" not in trace(actions)


@pytest.mark.covers("QUO-04")
def test_sorry_server_comes_before_the_servers_go() -> None:
    config = service(server(A, weight=2), server(B), quorum=2, sorry=SORRY)
    status, _ = begun(config)
    assert table(status.down(at(A), "check", "")) == [
        f"DEL_DEST {A}",
        SORRY_ADD,
        f"DEL_DEST {B}",
    ]


@pytest.mark.covers("QUO-05")
def test_servers_come_back_before_the_sorry_server_goes() -> None:
    status, _ = begun(service(server(A), server(B), quorum=2, sorry=SORRY), A)
    assert table(status.up(at(A), "check", "")) == [
        f"NEW_DEST {A} weight 1",
        f"NEW_DEST {B} weight 1",
        SORRY_DEL,
    ]


def test_start_without_quorum_has_the_sorry_server_and_says_so() -> None:
    _, actions = begun(service(server(A), server(B), quorum=2, sorry=SORRY), A)
    assert trace(actions) == [
        "NEW_SERVICE 10.7.0.100",
        SORRY_ADD,
        "run /quorum_down",
        "fifo VS [10.7.0.100]:tcp:80 DOWN",
    ]


def test_start_without_quorum_and_sorry_server_says_nothing() -> None:
    _, actions = begun(service(server(A)), A)
    assert trace(actions) == ["NEW_SERVICE 10.7.0.100"]


@pytest.mark.covers("QUO-06")
def test_changes_while_the_sorry_server_serves_do_not_touch_the_table() -> None:
    config = service(server(A), server(B), server(C), quorum=3, sorry=SORRY)
    status, _ = begun(config, C)
    actions = [*status.down(at(A), "x", ""), *status.up(at(A), "x", "")]
    assert table(actions) == []
    assert f"run /down {A}" in trace(actions)
    assert table(status.up(at(C), "check", ""))[-1] == SORRY_DEL


@pytest.mark.covers("QUO-07")
def test_sorry_server_inhibit_keeps_it_with_weight_0() -> None:
    sorry = replace(SORRY, inhibit=True)
    status, actions = begun(service(server(A), sorry=sorry))
    assert "NEW_DEST 10.7.0.200 weight 0" in table(actions)
    assert table(status.down(at(A), "x", "")) == [f"DEL_DEST {A}", "SET_DEST 10.7.0.200 weight 1"]
    assert table(status.up(at(A), "x", "")) == [
        f"NEW_DEST {A} weight 1",
        "SET_DEST 10.7.0.200 weight 0",
    ]


def test_inhibited_servers_stay_with_weight_0_beside_the_sorry_server() -> None:
    config = service(
        server(A, weight=2), server(B), quorum=2, sorry=SORRY, inhibit_on_failure=True
    )
    status, _ = begun(config)
    assert table(status.down(at(A), "x", "")) == [
        f"SET_DEST {A} weight 0",
        f"SET_DEST {B} weight 0",
        SORRY_ADD,
    ]


@pytest.mark.covers("QUO-08")
def test_sorry_server_may_be_one_of_the_servers() -> None:
    sorry = SorryServer(real(B))
    status, _ = begun(service(server(A, weight=2), server(B, weight=5), quorum=6, sorry=sorry))
    assert table(status.down(at(A), "x", "")) == [f"DEL_DEST {A}", f"SET_DEST {B} weight 1"]
    assert table(status.up(at(A), "x", "")) == [f"NEW_DEST {A} weight 2", f"SET_DEST {B} weight 5"]


def test_dynamic_weight_edits_without_scripts() -> None:
    status, _ = begun(service(server(A, weight=5), server(B)))
    assert trace(status.share(at(A), "check", 3)) == [f"SET_DEST {A} weight 8"]
    assert trace(status.share(at(A), "check", 3)) == []
    assert trace(status.share(at(A), "other", -20)) == [f"SET_DEST {A} weight 0"]


def test_dynamic_weights_of_several_checkers_add_up() -> None:
    status, _ = begun(service(server(A, weight=5)))
    status.share(at(A), "one", 3)
    assert table(status.share(at(A), "two", -4)) == [f"SET_DEST {A} weight 4"]


@pytest.mark.covers("QUO-03", "QUO-13")
def test_weight_0_of_the_only_server_loses_the_quorum_and_keeps_the_server() -> None:
    status, _ = begun(service(server(A, weight=5)))
    actions = status.share(at(A), "check", -5)
    assert table(actions) == [f"SET_DEST {A} weight 0"]
    assert "run /quorum_down" in trace(actions)
    assert "run /quorum_up" in trace(status.share(at(A), "check", 0))


def test_dynamic_weight_of_a_server_that_is_down_counts_when_it_is_up() -> None:
    status, _ = begun(service(server(A, weight=5), server(B)))
    status.down(at(A), "check", "")
    assert table(status.share(at(A), "check", 15)) == []
    assert table(status.up(at(A), "check", "")) == [f"NEW_DEST {A} weight 20"]


@pytest.mark.covers("QUO-11")
def test_group_gets_the_same_edits_at_each_address() -> None:
    other, mark = vip("10.7.0.101", 81), VirtualService(ServiceKey(AF_INET, fwmark=7))
    status, actions = begun(service(server(A), services=(vip(), other, mark), group="G"))
    assert trace(actions) == [
        "NEW_SERVICE 10.7.0.100",
        "NEW_SERVICE 10.7.0.101",
        "NEW_SERVICE fwmark 7",
        *[f"NEW_DEST {A} weight 1"] * 3,
        "run /quorum_up",
        "fifo VS [G]:0 UP",
    ]
    down = trace(status.down(at(A), "x", ""))
    assert down[:3] == [f"DEL_DEST {A}"] * 3
    assert f"fifo RS [{A}]:tcp:80 [G]:0 DOWN" in down


@pytest.mark.covers("QUO-11")
def test_fwmark_service_is_called_by_its_mark() -> None:
    mark = VirtualService(ServiceKey(AF_INET, fwmark=9))
    status, actions = begun(service(server(A), services=(mark,)))
    assert "fifo VS FWM 9 UP" in trace(actions)
    assert f"fifo RS [{A}]:none:80 FWM 9 DOWN" in trace(status.down(at(A), "x", ""))


def test_ipv6_names_have_brackets() -> None:
    config = service(server("2001:db8::11"), services=(vip("2001:db8::100"),))
    status, _ = begun(config)
    line = "fifo RS [2001:db8::11]:tcp:80 [2001:db8::100]:tcp:80 DOWN"
    assert line in trace(status.down(at("2001:db8::11"), "x", ""))


@pytest.mark.covers("QUO-10")
@pytest.mark.parametrize(
    ("omega", "expected"),
    [(False, []), (True, [f"run /down {A}", "run /quorum_down"])],
)
def test_stop_runs_down_scripts_with_omega_only(omega: bool, expected: list[str]) -> None:
    status, _ = begun(service(server(A), server(B), omega=omega), B)
    actions = status.stop()
    assert [one for one in trace(actions) if one.startswith("run")] == expected
    assert table(actions) == [f"DEL_DEST {A}", "DEL_SERVICE 10.7.0.100"]


def test_stop_with_flush_vs_deletes_services_alone() -> None:
    status, _ = begun(service(server(A)), settings=CheckSettings(lvs_flush_on_stop="VS"))
    assert table(status.stop()) == ["DEL_SERVICE 10.7.0.100"]


@pytest.mark.covers("QUO-12")
@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        pytest.param({}, None, True, id="on by default"),
        pytest.param({"smtp_alert": False}, None, False, id="global off"),
        pytest.param({"smtp_alert": False}, True, True, id="own on"),
        pytest.param({}, False, False, id="own off"),
    ],
)
def test_mail_about_a_server(settings: dict[str, Any], own: bool | None, expected: bool) -> None:
    config = service(server(A, smtp_alert=own), server(B))
    status, _ = begun(config, settings=CheckSettings(**settings))
    mails = trace(status.down(at(A), "x", "TCP_CHECK failed"), Alert)
    subject = f"Realserver [{A}]:tcp:80 of virtual server [10.7.0.100]:tcp:80 - DOWN"
    assert mails == ([f"mail {subject}: TCP_CHECK failed"] if expected else [])


@pytest.mark.covers("QUO-12")
def test_mail_about_the_quorum_is_off_unless_asked_for() -> None:
    assert trace(begun(service(server(A)))[1], Alert) == []
    asked = trace(begun(service(server(A), smtp_alert=True))[1], Alert)
    assert asked == [
        "mail Virtualserver [10.7.0.100]:tcp:80 - UP: Starting with quorum up 1+0=1 <= 1"
    ]


def test_mail_per_checker_unless_no_checker_emails() -> None:
    config = service(server(A, smtp_alert=True), server(B))
    for is_quiet, mails in ((False, 1), (True, 0)):
        status, _ = begun(config, settings=CheckSettings(no_checker_emails=is_quiet))
        status.down(at(A), "one", "")
        assert len(trace(status.down(at(A), "two", ""), Alert)) == mails


def test_log_names_server_and_service() -> None:
    status, _ = begun(service(server(A), server(B)))
    notes = trace(status.down(at(A), "x", ""), Note)
    assert notes == [f"log Removing service [{A}]:tcp:80 from VS [10.7.0.100]:tcp:80"]


def test_thresholds_and_method_reach_the_table() -> None:
    one = server(A)
    one = replace(one, server=replace(one.server, u_threshold=9, l_threshold=3))
    status, _ = begun(service(one))
    held = status.desired()[at(A)]
    assert (held.u_threshold, held.l_threshold, held.key.addr) == (9, 3, packed(A))
