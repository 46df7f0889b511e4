"""Several workers: both directions of a NAT connection have one owner, whoever receives them."""

from __future__ import annotations

from collections import Counter

from netns import recipes_r3 as r3
from netns.web import start_web
from tests.e2e.client import fetch
from tests.e2e.conftest import Directors, Networks
from tests.e2e.director import Director

SERVICE = "172.16.16.172:80"


def test_nat_by_two_workers_answers_every_request(network: Networks, director: Directors) -> None:
    net = network(r3.topology())
    for name, port in r3.PORTS.items():
        start_web(net, name, port)
    balancer = director(net, "director", "--workers", "2")
    balancer.typed(f"ipvsadm -A -t {SERVICE} -s rr")
    for name, rip in r3.RIPS.items():
        balancer.typed(f"ipvsadm -a -t {SERVICE} -r {rip}:{r3.PORTS[name]} -m")
    answers = fetch(net, "client", r3.VIP, 60)
    assert Counter(a.host for a in answers) == dict.fromkeys(r3.RIPS, 20)
    row = balancer.counted(SERVICE, 60)
    assert row.outpkts >= 60 * 4
    packets = numbers(balancer)
    assert packets["sent"] + packets["held"] >= row.inpkts + row.outpkts
    assert packets["handed over"] == 0, "the kernel delivers to the owner, in both directions"


def numbers(balancer: Director) -> dict[str, int]:
    """Return what became of packets."""
    rows = (line.split() for line in balancer.lbfast("counters").stdout.splitlines())
    return {" ".join(row[1:-1]): int(row[-1]) for row in rows if row[0] == "packets"}
