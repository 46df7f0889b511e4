"""BFD sessions beside keepalived's: what tracks them follows within their time."""

from __future__ import annotations

import itertools
from dataclasses import replace

from lbfast.model.vrrp import BfdInstance, Track, Tracking, VrrpConfig
from netns.wait import wait_for
from tests.e2e.capture import Capture
from tests.e2e.conftest import Networks
from tests.e2e.vrrplab import SOURCE4, Router, mac_of, packed, segment, v3

SESSION = BfdInstance(
    "S", packed(SOURCE4["va"]), packed(SOURCE4["vb"]), min_rx_us=50_000, min_tx_us=50_000,
    multiplier=10,
)  # fmt: skip
THEIRS = f"""\
bfd_instance S {{
    neighbor_ip {SOURCE4["vb"]}
    source_ip {SOURCE4["va"]}
    min_rx 50
    min_tx 50
    multiplier 10
    vrrp
}}
"""


def test_session_with_keepalived_comes_up_and_its_end_counts(network: Networks) -> None:
    net = segment(network)
    tracking = Tracking(bfds=(Track("S", -20),))
    ours = Router(
        net, "vb", "lbfast", VrrpConfig((replace(v3(100), tracking=tracking),), bfds=(SESSION,))
    )
    theirs = Router(net, "va", "keepalived", v3(150))
    theirs.path.write_text(theirs.path.read_text() + THEIRS)
    ours.start()
    assert "priority from 100 to 80" in ours.log()
    theirs.start()
    with Capture(net, "vb", "eth0", "udp port 3784") as capture:
        wait_for(lambda: "priority from 80 to 100" in ours.log(), 20, "the session")
        wait_for(lambda: capture.path.stat().st_size > 8000, 20, "packets")
        ours.reload()
        assert ours.log().count("BFD S down") == 0
        theirs.crash()
        wait_for(lambda: "BFD S down" in ours.log(), 5, "the end of the session")
    mac = mac_of(net, "vb")
    sent = [packet for packet in capture.packets if bytes(packet)[6:12].hex(":") == mac]
    fast = [float(packet.time) for packet in sent if bytes(packet)[42 + 1] >> 6 == 3][5:]
    assert all(0.03 < b - a < 0.07 for a, b in itertools.pairwise(fast))
    assert {bytes(packet)[22] for packet in sent} == {255}
    theirs.start()
    wait_for(lambda: ours.log().count("priority from 80 to 100") == 2, 20, "the session again")
