"""What a network is made of, as frozen values; nothing here touches the system."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface, with its prefix length: `Address("eth0", "10.0.0.1/24")`."""

    interface: str
    value: str
    label: str = ""  # IPv4 only, as in eth0:0
    is_source: bool = True  # False: never chosen for the host's own packets (IPv6 only)

    @property
    def is_v6(self) -> bool:
        return ":" in self.value


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `to` is a prefix or `default`, its family then told by the gateway."""

    to: str
    via: str = ""
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting, named as sysctl(8) does; a slash in place of a dot where a name holds dots."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge device inside a host, with interfaces of that host as its ports."""

    name: str
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace.  Settings come before interfaces, so `default` reaches these."""

    name: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    bridges: tuple[Bridge, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: an interface of a host."""

    host: str
    interface: str


@dataclass(frozen=True, slots=True)
class Link:
    """An Ethernet segment: a veth pair between two ends, a switch between more."""

    ends: tuple[End, ...]
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Topology:
    """Hosts and the links between them."""

    name: str
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]

    def host(self, name: str) -> Host:
        """Return the host of that name; KeyError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def interfaces(self, host: str) -> tuple[str, ...]:
        """Return the interfaces of a host in the order of the links."""
        return tuple(e.interface for link in self.links for e in link.ends if e.host == host)


FORWARDING = (Sysctl("net.ipv4.ip_forward", "1"), Sysctl("net.ipv6.conf.all.forwarding", "1"))


def link(*ends: str, mtu: int = 1500) -> Link:
    """Return the link between ends written `host:interface`."""
    return Link(tuple(End(*end.split(":")) for end in ends), mtu)


def addresses(interface: str, *values: str) -> tuple[Address, ...]:
    return tuple(Address(interface, value) for value in values)


def default_via(*gateways: str) -> tuple[Route, ...]:
    return tuple(Route("default", via=gateway) for gateway in gateways)


def with_switches(topology: Topology) -> Topology:
    """Return the same network with each link of more than two ends turned into a switch.

    A switch is a host `sw1`, `sw2`, … whose bridge `br0` has one port for every end.
    """
    hosts, links, number = list(topology.hosts), [], 0
    for shared in topology.links:
        if len(shared.ends) == 2:
            links.append(shared)
            continue
        number += 1
        ports = tuple(f"port{i}" for i in range(1, len(shared.ends) + 1))
        hosts.append(Host(f"sw{number}", bridges=(Bridge("br0", ports),)))
        links += [
            Link((end, End(f"sw{number}", port)), shared.mtu)
            for end, port in zip(shared.ends, ports, strict=True)
        ]
    return replace(topology, hosts=tuple(hosts), links=tuple(links))


def check(topology: Topology) -> list[str]:
    """Return what is wrong with a description, one sentence each; empty when it can be built."""
    found = []
    names = [host.name for host in topology.hosts]
    found += [f"{name}: a host twice" for name in sorted(set(names)) if names.count(name) > 1]
    ends = [(e.host, e.interface) for shared in topology.links for e in shared.ends]
    found += [f"{h}:{i}: on two links" for h, i in sorted(set(ends)) if ends.count((h, i)) > 1]
    found += [f"{h}: on a link, but no such host" for h, _ in ends if h not in names]
    found += [f"{h}:{i}: name longer than 15" for h, i in ends if len(i) > 15]
    for host in topology.hosts:
        known = {"lo", *topology.interfaces(host.name), *(b.name for b in host.bridges)}
        used = [a.interface for a in host.addresses]
        used += [r.interface for r in host.routes if r.interface]
        used += [port for bridge in host.bridges for port in bridge.ports]
        found += [f"{host.name}:{name}: no such interface" for name in used if name not in known]
    return found
