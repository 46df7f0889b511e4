"""The network that balancers are compared in: one director for each, all between the same ends.

```
               10.N.1.0/24           ┌────────────┐          10.N.2.0/24
         cN .1 ───────────── in0 .254│ director N │.1 out0 ───────────── sN .2 .3
┌────────┐                   VIP .100└────────────┘                     ┌────────┐
│ client ├─ c1, c2, …                                          s1, s2, …┤ server │
└────────┘                                                              └────────┘
          d .1 ───────────────────── 10.0.0.0/24 ──────────────────── .2 d0
```
N counts the subjects (bench/subjects); each address 10.N.M.X has its twin fd00:N:M::X.  The
server's two addresses are two real servers.  What does not come back through the director takes
the link `d0`, and so does a client without any balancer.  All directors are there at once and idle
but for the one whose turn it is, so rounds can be short and their order left to chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.say import FAILURES, say
from bench.subjects import EVERY
from bench.subjects.base import PORTS, Place, Pool, Subject
from netns.build import Net
from netns.topo import FORWARDING, Address, Host, Route, Sysctl, Topology, addresses, link

SWITCHES = ("rx", "tx", "sg", "tso", "gso", "gro")
DIRECT = {4: "10.0.0.2", 6: "fd00:0:0::2"}
FAMILIES = (4, 6)
LOCALS = range(250, 254)  # FULLNAT keeps a port until its connection has expired
# each request of its own connection takes a port, at the client and at a proxy
WIDE = (Sysctl("net.ipv4.ip_local_port_range", "1024 65535"),)


def pool(number: int, family: int) -> Pool:
    """Return the addresses of subject `number`."""
    if family == 4:
        net = f"10.{number}"
        own = tuple(f"{net}.2.{n}" for n in LOCALS)
        return Pool(f"{net}.1.100", (f"{net}.2.2", f"{net}.2.3"), own)
    net = f"fd00:{number}"
    own = tuple(f"{net}:2::{n}" for n in LOCALS)
    return Pool(f"{net}:1::100", (f"{net}:2::2", f"{net}:2::3"), own)


def topology(subjects: Sequence[Subject]) -> Topology:
    """Return the network drawn above for these subjects, in their order."""
    between = [(n, s) for n, s in enumerate(subjects, 1) if s.has_director]
    links = [link("client:d0", "server:d0")]
    for number, subject in between:
        links.append(link(f"client:c{number}", f"{subject.name}:in0"))
        links.append(link(f"{subject.name}:out0", f"server:s{number}"))
    directors = [_director(number, subject) for number, subject in between]
    return Topology("ground", (_client(between), _server(between), *directors), tuple(links))


def _client(between: Sequence[tuple[int, Subject]]) -> Host:
    own, routes = [*addresses("d0", "10.0.0.1/24", "fd00:0:0::1/64")], []
    for n, _ in between:
        own += addresses(f"c{n}", f"10.{n}.1.1/24", f"fd00:{n}:1::1/64")
        routes += [
            Route(f"10.{n}.2.0/24", via=f"10.{n}.1.254"),
            Route(f"fd00:{n}:2::/64", via=f"fd00:{n}:1::254"),
        ]
    return Host("client", tuple(own), tuple(routes), WIDE)


def _server(between: Sequence[tuple[int, Subject]]) -> Host:
    own, routes = [*addresses("d0", "10.0.0.2/24", "fd00:0:0::2/64")], []
    for n, subject in between:
        own += addresses(f"s{n}", f"10.{n}.2.2/24", f"10.{n}.2.3/24")
        own += addresses(f"s{n}", f"fd00:{n}:2::2/64", f"fd00:{n}:2::3/64")
        v4, v6 = f"10.{n}.2.1", f"fd00:{n}:2::1"
        if subject.answers_past_director:
            v4, v6 = "10.0.0.1", "fd00:0:0::1"
        routes += [Route(f"10.{n}.1.0/24", via=v4), Route(f"fd00:{n}:1::/64", via=v6)]
    return Host("server", tuple(own), tuple(routes))


def _director(n: int, subject: Subject) -> Host:
    own = [*addresses("in0", f"10.{n}.1.254/24", f"fd00:{n}:1::254/64")]
    own += addresses("out0", f"10.{n}.2.1/24", f"fd00:{n}:2::1/64")
    if subject.aims_at == "vip":
        own += addresses("in0", f"{pool(n, 4).vip}/32")
        own.append(Address("in0", f"{pool(n, 6).vip}/128", is_source=False))
    ports = WIDE if subject.is_proxy else ()
    return Host(subject.name, tuple(own), sysctls=(*FORWARDING, *ports))


@dataclass(frozen=True, slots=True)
class Ground:
    """The network with its subjects at work."""

    net: Net
    places: dict[str, Place]  # by the subject's name
    names: Sequence[str]  # of the subjects at work

    def target(self, name: str, family: int = 4) -> str:
        """Return the address to which a client sends for a subject."""
        if name not in self.places:
            return DIRECT[family]
        return self.places[name].target(family)


@contextmanager
def ground(
    names: Sequence[str],
    offloads: bool = False,
    protocol: str = "tcp",
    ports: Sequence[int] = PORTS,
    left_out: list[str] | None = None,
) -> Iterator[Ground]:
    """Build the network and set up the subjects of these names.

    `offloads`: GRO too is on at every interface, which veth leaves off.  `protocol`, `ports`: of
    the virtual services.  `left_out`: takes a sentence on each subject that fails to start, and
    the others are there without it; without such a list the failure passes through.
    """
    subjects = [EVERY[name] for name in names]
    with Net(topology(subjects)) as net, ExitStack() as stack:
        if offloads:
            switch_on_offloads(net)
        places, failed = {}, []
        for number, subject in enumerate(subjects, 1):
            if subject.has_director:
                pools = tuple(pool(number, family) for family in FAMILIES)
                place = Place(net, subject, pools, tuple(ports), f"s{number}", protocol)
                if sentence := _start(place, stack, may_fail=left_out is not None):
                    failed.append(sentence)
                else:
                    places[subject.name] = place
        if left_out is not None:
            left_out += failed
        here = [s.name for s in subjects if s.name in places or not s.has_director]
        yield Ground(net, places, here)


def _start(place: Place, stack: ExitStack, may_fail: bool) -> str:
    """Set a subject up; return a sentence if it failed and may, with nothing of it running."""
    try:
        stack.enter_context(place.subject.set_up(place))
    except FAILURES as error:
        if not may_fail:
            raise
        place.kill()
        sentence = f"{place.host}: not measured, it failed to start: {error}".strip()
        say(f"left out: {sentence}")
        return " ".join(sentence.split())
    return ""


def switch_on_offloads(net: Net) -> None:
    """Switch on checksum offload, TSO, GSO and GRO at both ends of every link."""
    words = [word for switch in SWITCHES for word in (switch, "on")]
    for host in net.topology.hosts:
        commands = [
            f"ethtool -K {i} {' '.join(words)}" for i in net.topology.interfaces(host.name)
        ]
        net.run(host.name, ["sh", "-ec", "\n".join(commands)])
