"""The benches' lab: one client and one server, and two ways from one to the other.

```
              l0 10.9.1.1/24        ┌──────────┐      10.9.3.2/24 l0
          ┌───────────────── in0 .254│ director │.1 out0 ─────────────┐
┌────────┐│                  VIP .100└──────────┘                     │┌────────┐
│ client ├┤                                                           ├┤ server │
└────────┘│ r0 10.9.2.1/24  in0 ┌───────────┐ out0     10.9.2.2/24 r0 │└────────┘
          └─────────────────────┤ reflector ├─────────────────────────┘
                                └───────────┘
```
By `director` frames are balanced, by `reflector` they leave by the other interface as they are;
the same rings do both.  The server drops UDP port 9 at its ingress on both ways, so that nothing
but the forwarding differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.program import pinned, program
from lbfast.selfcall import COMMAND, environment
from netns.build import Net
from netns.process import Process
from netns.topo import FORWARDING, Host, Topology, addresses, default_via, link
from netns.wait import wait_for

ROOT = Path(__file__).resolve().parent.parent
CLIENT, VIP, SERVER, MIRRORED = "10.9.1.1", "10.9.1.100", "10.9.3.2", "10.9.2.2"
DISCARD, ECHO = 9, 7
FOREVER_S = 3600
RUN = (*COMMAND, "run")
REFLECT = (*COMMAND, "bench", "reflector", "in0", "out0", str(FOREVER_S))


def topology() -> Topology:
    """Return the network drawn above."""
    return Topology(
        "bench",
        (
            Host(
                "client",
                addresses("l0", f"{CLIENT}/24") + addresses("r0", "10.9.2.1/24"),
                default_via("10.9.1.254"),
            ),
            Host(
                "director",
                addresses("in0", "10.9.1.254/24", f"{VIP}/32") + addresses("out0", "10.9.3.1/24"),
                sysctls=FORWARDING,
            ),
            Host("reflector"),
            Host(
                "server",
                addresses("l0", f"{SERVER}/24") + addresses("r0", f"{MIRRORED}/24"),
                default_via("10.9.3.1"),
            ),
        ),
        (
            link("client:l0", "director:in0"),
            link("director:out0", "server:l0"),
            link("client:r0", "reflector:in0"),
            link("reflector:out0", "server:r0"),
        ),
    )


def urgent(words: Sequence[str]) -> list[str]:
    """Return `words` as a command that other processes of the machine do not delay."""
    return ["chrt", "-f", "10", *words]


@dataclass(slots=True)
class Lab:
    """The network with both forwarders at work."""

    net: Net
    director: Process
    reflector: Process
    mac: str  # of the director's in0

    def forwarder(self, way: str) -> Process:
        """Return who forwards on a way: "l0" the director, "r0" the reflector."""
        return self.director if way == "l0" else self.reflector

    def ipvsadm(self, words: str) -> str:
        done = self.net.run(
            "director", [*COMMAND, "ipvsadm", *words.split()], environment=environment()
        )
        return done.stdout

    def received(self, way: str) -> int:
        """Return the frames that the server has received on a way."""
        path = f"/sys/class/net/{way}/statistics/rx_packets"
        return int(self.net.run("server", ["cat", path]).stdout)

    def flood(self, way: str, pps: int, seconds: float, flows: int) -> int:
        """Offer 60-byte UDP frames at a fixed rate; return how many were sent."""
        words = ["flood", way, str(pps), str(seconds), str(flows), f"dst={self.mac}"]
        words += [f"src={CLIENT}", f"to={VIP}:{DISCARD}"]
        done = self.net.run(
            "client", pinned(0, [program("generate"), *words]), timeout_s=seconds + 30
        )
        return int(done.stdout.split()[1])


@contextmanager
def lab(
    left: Sequence[str] = RUN, right: Sequence[str] = REFLECT, at_once: bool = False
) -> Iterator[Lab]:
    """Build the lab and start both forwarders on the same core, without any service yet.

    `left`, `right`: what forwards on either way; a reflector is given the rules that lbfast makes
    for itself: what its tap has seen is dropped.  `at_once`: both come before everything else that
    runs on the machine, for latencies that are theirs alone.
    """
    if at_once:
        left, right = urgent(left), urgent(right)
    with Net(topology()) as net:
        drop_at_server(net)
        drop_all(net, "reflector", "in0", "out0")
        if not set(RUN) <= set(left):
            drop_all(net, "director", "in0", "out0")
        director = net.start("director", pinned(1, left), "forwarder", environment())
        reflector = net.start("reflector", pinned(1, right), "forwarder", environment())
        director.wait_for_line("ready", 30)
        reflector.wait_for_line("ready", 30)
        mac = net.run("director", ["cat", "/sys/class/net/in0/address"]).stdout.strip()
        yield Lab(net, director, reflector, mac)


def drop_at_server(net: Net) -> None:
    """Let the server drop the flood on both ways before its stack sees it."""
    chains = [
        f"add chain netdev b {way} {{ type filter hook ingress device {way} priority 0; }}\n"
        f"add rule netdev b {way} udp dport {DISCARD} drop\n"
        for way in ("l0", "r0")
    ]
    net.run("server", ["nft", "-f", "-"], stdin="add table netdev b\n" + "".join(chains))


def drop_all(net: Net, host: str, *interfaces: str) -> None:
    """What lbfast's rules do for what it takes: the host's stack does not see it a second time."""
    chains = [
        f"add chain netdev b {name} "
        f"{{ type filter hook ingress device {name} priority 0; policy drop; }}\n"
        for name in interfaces
    ]
    net.run(host, ["nft", "-f", "-"], stdin="add table netdev b\n" + "".join(chains))


def settled(read: Sequence[int]) -> bool:
    """Whether a counter has come to rest: the last two readings agree."""
    return len(read) > 1 and read[-1] == read[-2]


def wait_until_still(lab: Lab, way: str) -> int:
    """Wait until no more frames come in at the server; return the counter."""
    seen: list[int] = []

    def still() -> bool:
        seen.append(lab.received(way))
        return settled(seen)

    wait_for(still, 10, f"no more frames on {way}")
    return seen[-1]


def result(
    claim: str, value: float, unit: str, bound: str, peer: str, ok: bool, **more: object
) -> dict[str, object]:
    """Return a line of `make prove`."""
    fields = {"claim": claim, "value": round(value, 3), "unit": unit, "bound": bound}
    return {**fields, "peer": peer, "ok": ok, **more}
