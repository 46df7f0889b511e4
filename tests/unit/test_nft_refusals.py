"""What is said when nftables refuses the table of a director."""

from __future__ import annotations

import pytest

from lbfast.control.nft import Rules
from lbfast.control.steering import SteeringPlan
from lbfast.nftlib import NftError, _first_line

REFUSED = "nftables: Could not process rule: Operation not supported"


def rules(refused: str) -> Rules:
    """Rules whose nftables refuses commands with such words in them."""

    def run(commands: str) -> str:
        if refused in commands:
            raise NftError(REFUSED)
        return ""

    return Rules("one", {2: "eth0"}, run)


def test_a_kernel_without_the_netdev_family_is_named() -> None:
    with pytest.raises(NftError) as said:
        rules("add table netdev").install(SteeringPlan())
    assert str(said.value) == (
        f"{REFUSED}: the kernel must have nftables' netdev family (CONFIG_NF_TABLES_NETDEV)"
    )


def test_another_refusal_is_said_as_it_is() -> None:
    with pytest.raises(NftError) as said:
        rules("type filter hook").install(SteeringPlan())
    assert str(said.value) == REFUSED


@pytest.mark.parametrize("place", ["/dev/stdin:1:1-19: ", "internal:0:0-0: ", "netlink: ", ""])
def test_the_place_in_a_file_that_nobody_has_is_left_out(place: str) -> None:
    assert _first_line(f"{place}Error: Could not process rule\nadd table\n^^^\n") == (
        "Could not process rule"
    )
