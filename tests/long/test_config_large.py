"""A director by a long file: it loads, reloads and stops in reasonable time."""

from __future__ import annotations

import os
import signal

from netns import recipes_r3 as r3
from netns.wait import wait_for
from tests.e2e.conftest import Directors, Networks

SERVICES, SERVERS = 500, 10


def text(weight: int) -> str:
    servers = "".join(
        f" real_server 10.{100 + n}.0.1 80 {{\n  weight {weight if n == 0 else 1}\n }}\n"
        for n in range(SERVERS)
    )
    return "".join(
        f"virtual_server 10.1.{n >> 8}.{n & 255} 80 {{\n lb_algo rr\n lb_kind NAT\n"
        f" protocol TCP\n{servers}}}\n"
        for n in range(SERVICES)
    )


def test_five_thousand_servers_load_and_reload(network: Networks, director: Directors) -> None:
    net = network(r3.topology())
    file = net.scratch / "keepalived.conf"
    file.write_text(text(1))
    balancer = director(net, "director", "-f", str(file))
    balancer.process.wait_for_line("ready: director", 120)
    assert balancer.ipvsadm("-Ln").count("\n  -> 10.") == SERVICES * SERVERS
    file.write_text(text(7))
    os.kill(balancer.process.pid, signal.SIGHUP)
    wait_for(
        lambda: balancer.ipvsadm("-Ln").count("Masq    7 ") == SERVICES, 60, "the new weights"
    )
    assert balancer.stop() == 0
