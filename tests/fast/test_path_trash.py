"""Deleted real servers and their connections, overloaded ones: spec 1.7 and 1.8."""

from __future__ import annotations

import pytest

from tests.fast.path import VIP, Lab


def lab(*servers: str, how: str = "-m", **sysctls: int) -> Lab:
    lines = [f"-a -t {VIP}:80 -r {s} {how}" for s in servers or ("10.2.0.1:80", "10.2.0.2:80")]
    return Lab(f"-A -t {VIP}:80 -s rr", *lines, **sysctls)


# ---- the trash (spec 1.7)


@pytest.mark.covers("C-031", "C-053", "C-032")
def test_deleted_server_keeps_its_connections_until_it_comes_back() -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.wait(4)
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    assert world.ask(4000, "A") == "drop"
    assert world.engine.reasons() == {"server-gone": 1}
    assert world.state(4000)[1] < 60  # and the timer runs on
    world.words(f"-a -t {VIP}:80 -r 10.2.0.1:80 -m -w 3")
    assert world.loads() == {"10.2.0.1:80": (1, 0, 0)}
    assert world.server("10.2.0.1:80").stats.conns == 1
    assert world.ask(4000, "A") == "10.2.0.1:80"


@pytest.mark.covers("C-032", "C-040")
def test_server_of_a_service_made_anew_is_revived_with_counters_at_zero() -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.wait(4)
    world.words(f"-A -t {VIP}:81 -s rr")
    world.words(f"-D -t {VIP}:80")
    assert world.ask(4000, "A") == "drop"
    world.words(f"-D -t {VIP}:81")
    assert world.ask(4000, "A") == "rst"  # the family has no service left: the host answers
    world.words(f"-A -t {VIP}:80 -s rr")
    world.words(f"-a -t {VIP}:80 -r 10.2.0.1:80 -m")
    assert world.loads() == {"10.2.0.1:80": (1, 0, 0)}
    assert world.server("10.2.0.1:80").stats.conns == 0
    assert world.ask(4000, "A") == "10.2.0.1:80"


@pytest.mark.covers("C-032")
def test_server_of_another_service_is_another_server() -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.words("-C")
    world.words(f"-A -t {VIP}:81 -s rr")
    world.words(f"-a -t {VIP}:81 -r 10.2.0.1:80 -m")
    assert world.loads(f"tcp {VIP}:81") == {"10.2.0.1:80": (0, 0, 0)}


@pytest.mark.covers("C-011", "C-032")
@pytest.mark.parametrize("other", ["10.2.0.1:81", "10.2.0.2:80"], ids=["port", "address"])
def test_server_with_another_key_is_another_server(other: str) -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    world.words(f"-a -t {VIP}:80 -r {other} -m")
    assert world.loads() == {other: (0, 0, 0)}
    world.words(f"-a -t {VIP}:80 -r 10.2.0.1:80 -m")
    assert world.loads() == {other: (0, 0, 0), "10.2.0.1:80": (1, 0, 0)}


@pytest.mark.covers("C-033")
def test_unreferenced_server_leaves_the_trash_after_two_minutes() -> None:
    world = lab("10.2.0.1:80")
    world.ask(4000)
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    world.wait(119)  # the connection ends at 60 s, the first visit that finds it so is at 120 s
    assert len(world.tables.lingering()) == 1
    world.wait(60)
    assert len(world.tables.lingering()) == 1
    world.wait(122)
    assert world.tables.lingering() == []
    world.words(f"-a -t {VIP}:80 -r 10.2.0.1:80 -m")
    assert world.server("10.2.0.1:80").stats.conns == 0


@pytest.mark.covers("C-054")
def test_expire_nodest_conn_ends_the_connections_of_a_deleted_server() -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80", expire_nodest_conn=1)
    assert world.ask(4000) == "10.2.0.2:80"
    world.words(f"-d -t {VIP}:80 -r 10.2.0.2:80")
    assert world.connections() == []
    assert world.ask(4000, "A") == "rst"  # the host's, which answers
    assert world.ask(4000) == "10.2.0.1:80"


@pytest.mark.covers("C-054")
@pytest.mark.parametrize(
    ("flags", "went", "left"),
    [("S", "10.2.0.1:80", [f"{VIP}:80", "10.2.0.1:80"]), ("A", "rst", [])],
)
def test_expire_nodest_conn_ends_a_connection_with_its_next_packet(
    flags: str, went: str, left: list[str]
) -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80")
    assert world.ask(4000) == "10.2.0.2:80"
    world.words(f"-d -t {VIP}:80 -r 10.2.0.2:80")
    world.tables.set_sysctl("expire_nodest_conn", "1")
    assert world.ask(4000, flags) == went
    assert [row[2:4] for row in world.connections()] == ([left] if left else [])


@pytest.mark.covers("C-054")
def test_expire_nodest_conn_sweeps_what_earlier_removals_left() -> None:
    world = lab("10.2.0.1:80", "10.2.0.2:80", "10.2.0.3:80")
    for port in (4000, 4001, 4002):
        world.ask(port)
    world.words(f"-d -t {VIP}:80 -r 10.2.0.3:80")
    assert len(world.connections()) == 3
    world.tables.set_sysctl("expire_nodest_conn", "1")
    world.words(f"-d -t {VIP}:80 -r 10.2.0.2:80")
    assert [row[3] for row in world.connections()] == ["10.2.0.1:80"]


@pytest.mark.covers("C-054")
def test_expire_nodest_conn_sweeps_templates() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s rr -p 100", f"-a -t {VIP}:80 -r 10.2.0.1:80 -m", expire_nodest_conn=1
    )
    world.ask(4000), world.ask(4000, "A")  # the template was of use: it would outlive its child
    world.words(f"-d -t {VIP}:80 -r 10.2.0.1:80")
    assert world.connections() == []


@pytest.mark.covers("C-032", "C-236")
def test_server_revived_with_weight_0_has_no_place_in_mh() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s mh",
        f"-a -t {VIP}:80 -r 10.2.0.1:80 -m",
        f"-a -t {VIP}:80 -r 10.2.0.2:80 -m",
    )
    clients = [f"192.0.2.{n}" for n in range(1, 40)]
    assert {world.ask(4000, src=c) for c in clients} == {"10.2.0.1:80", "10.2.0.2:80"}
    world.words(f"-d -t {VIP}:80 -r 10.2.0.2:80")
    world.words(f"-a -t {VIP}:80 -r 10.2.0.2:80 -m -w 0")
    assert {world.ask(4001, src=c) for c in clients} == {"10.2.0.1:80"}


@pytest.mark.covers("C-187")
def test_clearing_the_services_leaves_the_connections() -> None:
    world = lab()
    world.ask(4000)
    world.words("-C")
    assert world.state(4000)[0] == "SYN_RECV"


# ---- thresholds (spec 1.8)


def overloaded(world: Lab) -> bool:
    """Whether a new connection finds no server (a datagram's would be gone after one packet)."""
    return world.ask(5999) != "10.2.0.1:80"


def limited(upper: int, lower: int = 0) -> Lab:
    return lab("10.2.0.1:80", how=f"-m -x {upper} -y {lower}")


@pytest.mark.covers("C-034", "C-037", "C-243")
def test_server_is_overloaded_when_its_connections_reach_the_threshold() -> None:
    world = limited(3)
    assert [world.ask(port) for port in range(4000, 4004)] == ["10.2.0.1:80"] * 3 + ["unreach/3.3"]
    assert world.ask(4000, "A") == "10.2.0.1:80"


@pytest.mark.covers("C-035", "C-036")
@pytest.mark.parametrize(("lower", "ends_at"), [(3, 2), (1, 0), (0, 5)])
def test_overload_ends_below_the_lower_threshold(lower: int, ends_at: int) -> None:
    """Without one: below 8 - 8/4 = 6."""
    world = limited(8, lower)
    for port in range(8):
        world.ask(4000 + port)
        world.ask(4000 + port, "A")
    left = 8
    for port in range(8):
        assert overloaded(world) == (left > ends_at)
        if left <= ends_at:
            return
        world.ask(4000 + port, "R")
        world.wait(11)
        left -= 1
    assert not overloaded(world)


@pytest.mark.covers("C-034", "C-048", "C-186")
def test_reopened_connection_counts_until_the_new_one_has_its_server() -> None:
    world = Lab(
        f"-A -t {VIP}:80 -s fo",
        f"-a -t {VIP}:80 -r 10.2.0.1:80 -m -w 2 -x 1",
        f"-a -t {VIP}:80 -r 10.2.0.2:80 -m -w 1",
    )
    assert world.ask(4000) == "10.2.0.1:80"
    world.ask(4000, "A"), world.ask(4000, "R")
    assert world.ask(4000) == "10.2.0.2:80"  # the old entry fills the first still
    assert world.ask(4001) == "10.2.0.1:80"
    assert world.loads() == {"10.2.0.1:80": (1, 0, 0), "10.2.0.2:80": (1, 0, 0)}


@pytest.mark.covers("C-034", "C-036")
def test_edit_of_the_thresholds_decides_anew() -> None:
    world = limited(8)
    for port in range(4000, 4008):
        world.ask(port)
    assert overloaded(world)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -x 9")  # 9 - 9/4 <= 8 < 9: as it was
    assert overloaded(world)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -x 11")  # 8 < 11 - 11/4
    assert not overloaded(world)
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -x 1")
    assert world.ask(5998) == "unreach/3.3"
    world.words(f"-e -t {VIP}:80 -r 10.2.0.1:80 -m -x 0")
    assert world.ask(5998) == "10.2.0.1:80"


@pytest.mark.covers("C-037")
def test_templates_use_an_overloaded_server() -> None:
    world = Lab(f"-A -t {VIP}:80 -s rr -p 100", f"-a -t {VIP}:80 -r 10.2.0.1:80 -m -x 1")
    assert world.ask(4000) == "10.2.0.1:80"
    assert world.ask(4001, src="10.1.0.2") == "unreach/3.3"
    assert world.ask(4001) == "10.2.0.1:80"
