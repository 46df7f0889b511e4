"""Steering by differences comes to what a plan from nothing says, and touches what it changes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from lbfast.control.nft import Rules
from lbfast.model import AF_INET, Method, ServerKey, ServiceKey, VirtualService
from lbfast.nftlib import NftError
from tests.steered_lab import (
    LOCALS,
    MARKS,
    SERVERS,
    SERVICES,
    Nft,
    Steered,
    packed,
    random_edit,
    server,
    service,
)

WEB, WEB6 = SERVICES[0], SERVICES[5]


@pytest.mark.parametrize("seed", range(12))
def test_any_edits_lead_to_the_table_made_from_nothing(seed: int) -> None:
    chance = random.Random(seed)
    nft, fresh = Nft(), Nft()
    made = Steered(nft)
    anew = 1
    for _ in range(300):
        edit = random_edit(chance)
        made.edit(*edit)
        anew += edit in (("lose",), ("restart",))
        if edit == ("lose",):
            made.edit("release")
        if made.steer.is_held:
            continue
        Rules("lab", {}, fresh).install(made.plan())
        assert (nft.sets, nft.chains) == (fresh.sets, fresh.chains)
        assert made.ledger.plan() == made.plan()
        if chance.randrange(2):
            made.taking.watch()
            made.check_followers()
    assert nft.made == anew, "from nothing at a start and when it was lost, else by differences"


def crowd(nft: Nft, services: int) -> Steered:
    """A director with so many services of two NAT servers each."""
    made = Steered(nft, services=8192, dests=16384)
    made.steer.is_held = True
    for n in range(services):
        key = replace(WEB, addr=bytes((10, 9, n >> 8, n & 255)))
        made.tables.add_service(service(key))
        for side in (2, 3):
            rip = ServerKey(AF_INET, bytes((10, side, n >> 8, n & 255)), 80)
            made.tables.add_server(key, server(rip, Method.MASQ))
    made.release()
    nft.said.clear()
    return made


NEW = ServiceKey(AF_INET, 6, packed("10.10.0.1"), 443)
RIP = ServerKey(AF_INET, packed("10.11.0.1"), 8443)
OLD = ServerKey(AF_INET, bytes((10, 2, 0, 1)), 80)
KNOWN = replace(WEB, addr=bytes((10, 9, 0, 1)))


def test_edit_among_thousands_of_services_touches_few_elements() -> None:
    nft = Nft()
    made = crowd(nft, 3000)
    for edit, elements in (
        (("edit_server", KNOWN, server(OLD, Method.MASQ, 7)), 0),
        (("edit_service", VirtualService(KNOWN, "rr")), 0),
        (("add_service", service(NEW)), 2),
        (("add_server", NEW, server(RIP, Method.MASQ)), 2),
        (("add_server", NEW, server(OLD, Method.MASQ)), 0),  # its address and port are known
        (("edit_server", NEW, server(RIP, Method.DROUTE)), 0),  # may have NAT connections
        (("delete_server", NEW, RIP), 0),  # lingers
        (("delete_service", NEW), 0),
        (("wait", 1), 0),
        (("wait", 121), 4),  # lingers no longer
        (("set_standby", frozenset((WEB.addr,))), 1),
        (("add_laddr", KNOWN, LOCALS[0]), 1),
        (("edit_server", KNOWN, server(OLD, Method.FULLNAT)), 2),
    ):
        nft.said.clear()
        made.edit(*edit)
        assert (nft.elements(), edit) == (elements, edit)
        assert len(nft.said) == bool(elements), "one transaction, or none"
    assert nft.made == 1
    made.check_followers()


def test_a_server_of_two_services_stays_until_both_are_gone() -> None:
    nft = Nft()
    made = Steered(nft)
    for key in SERVICES[:2]:
        made.edit("add_service", service(key))
        made.edit("add_server", key, server(SERVERS[1], Method.MASQ))
    made.edit("delete_server", SERVICES[1], SERVERS[1])
    made.edit("wait", 1)
    made.edit("wait", 121)
    assert nft.sets is not None
    assert nft.sets["any_source4"] == {"6 . 10.2.0.2"}
    assert nft.sets["source_addrs4"] == {"10.2.0.2"}


@pytest.mark.parametrize("notices", ["an edit", "a look"])
def test_lost_table_is_made_again_with_what_is_there_now(notices: str) -> None:
    nft = Nft()
    made = Steered(nft)
    made.edit("add_service", service(WEB))
    made.edit("set_marks", list(MARKS))
    nft.sets, nft.chains = None, {}
    if notices == "an edit":
        made.edit("add_service", service(WEB6))
    else:
        made.taking.watch()
    fresh = Nft()
    Rules("lab", {}, fresh).install(made.plan())
    assert (nft.sets, nft.chains) == (fresh.sets, fresh.chains)
    assert nft.made == 2


def test_element_removed_by_somebody_else_does_not_stop_edits() -> None:
    nft = Nft()
    made = Steered(nft)
    made.edit("add_service", service(WEB))
    assert nft.sets is not None
    nft.sets["services4"].clear()
    made.edit("delete_service", WEB)
    made.edit("add_service", service(WEB6))
    assert (nft.sets["services4"], nft.sets["services6"]) == (set(), {"6 . fd09::1 . 80"})
    assert nft.made == 2


def test_refused_edit_is_told_and_made_up_for_with_the_next() -> None:
    nft, refusing = Nft(), [False]

    def run(commands: str) -> str:
        if refusing[0]:
            raise NftError("nftables: Out of memory")
        return nft(commands)

    made = Steered(run)
    made.edit("add_service", service(WEB))
    refusing[0] = True
    with pytest.raises(NftError, match="Out of memory"):
        made.edit("delete_service", WEB)
    refusing[0] = False
    made.edit("add_service", service(WEB6))
    assert nft.sets is not None
    assert (nft.sets["services4"], nft.sets["services6"]) == (set(), {"6 . fd09::1 . 80"})


def test_local_server_that_was_refused_is_made_up_for_with_the_next_edit() -> None:
    made = Steered()
    made.edit("address", SERVERS[0].addr)
    made.edit("add_service", service(WEB))
    set_servers, made.ways.set_servers = made.ways.set_servers, full  # type: ignore[method-assign]
    made.taking.watch()
    with pytest.raises(OSError, match="too many"):
        made.edit("add_server", WEB, server(SERVERS[0], Method.MASQ))
    made.ways.set_servers = set_servers  # type: ignore[method-assign]
    made.edit("add_service", service(WEB6))
    assert made.ways.keys
    made.check_followers()


def full(keys: frozenset[bytes]) -> None:
    raise OSError("too many")
