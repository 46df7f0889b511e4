"""The steering plan made real: one nftables table of family netdev per director.

Each interface has an ingress chain; the tap has seen a frame before, so dropping it here leaves it
to the data path alone.  Services, addresses and real servers are elements of sets: thousands of
services are the same few rules, and a change is one small transaction.

Commands are text for libnftables, called in this process through ctypes: 0.1 ms for a change,
where starting the `nft` program takes 2.5 ms and pyroute2 has no sets of concatenated keys and no
fib expression.  Where the library cannot be loaded the program is used.

The table has no owner: it outlives a killed director on purpose (otherwise the host would answer
its connections with RST) and is replaced by the next one of the same name in one transaction.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping

from lbfast.control.steering import (
    MARK_GIVEN,
    MARK_REPLY,
    Difference,
    FamilyPlan,
    MarkRule,
    Shape,
    SteeringPlan,
)
from lbfast.model import AF_INET, AF_INET6
from lbfast.nftlib import NftError, Runner, default_runner

COUNTERS = (
    "given_back",
    "local_reply",
    "taken_service",
    "taken_fragment",
    "taken_icmp",
    "taken_reply",
    "taken_local",
    "taken_mark",
)

_VERSIONS = {AF_INET: "4", AF_INET6: "6"}
# Before anybody else's ingress chain, so that those see a frame once: when it is given back.
_PRIORITY = -450


def table_name(director: str) -> str:
    """Returns the table's name; what nft does not allow in a name becomes an underscore."""
    return "lbfast-" + re.sub(r"[^A-Za-z0-9_.-]", "_", director)


class Rules:
    """The nftables table of one director.

    `interfaces` maps ifindex to name.  Every method raises NftError if nftables refuses, and then
    nothing has changed (but see `install`).
    """

    def __init__(
        self, director: str, interfaces: Mapping[int, str], runner: Runner | None = None
    ) -> None:
        self.table = table_name(director)
        self._run = runner or default_runner()
        self._interfaces = dict(interfaces)
        self._shapes = {af: Shape() for af in _VERSIONS}

    def install(self, plan: SteeringPlan) -> None:
        """Makes the table, in one transaction with the removal of an earlier one.

        If nftables refuses, none is left, and the error names what the kernel lacks.
        """
        try:
            self.replace(plan)
        except NftError as error:
            self._need_the_family(error)
            raise

    def replace(self, plan: SteeringPlan) -> None:
        """Makes the table anew; one that is there stays as it is if nftables refuses."""
        chains = "".join(_base_chain(i, name) for i, name in sorted(self._interfaces.items()))
        self._run(
            f"add table netdev {self.table}\ndelete table netdev {self.table}\n"
            f"table netdev {self.table} {{\n{_body(plan)}{chains}}}\n"
        )
        self._shapes = {af: plan.of(af).shape() for af in _VERSIONS}

    def _need_the_family(self, error: NftError) -> None:
        """Raises NftError that says so if it is the family that the kernel does not have."""
        try:
            self.remove()
        except NftError:
            raise NftError(
                f"{error}: the kernel must have nftables' netdev family (CONFIG_NF_TABLES_NETDEV)"
            ) from error

    def update(self, difference: Difference) -> None:
        """Changes what differs, in one transaction."""
        if commands := "".join(self._commands(difference)):
            self._run(commands)
        self._shapes = dict(difference.shapes)

    def _commands(self, difference: Difference) -> Iterator[str]:
        for af, v in _VERSIONS.items():
            for name in _SET_TYPES:
                for verb, sets in (("delete", difference.removed), ("add", difference.added)):
                    if items := sets.get((af, name)):
                        elements = _elements(items)
                        yield f"{verb} element netdev {self.table} {name}{v} {{ {elements} }}\n"
            if self._shapes[af] != difference.shapes[af]:
                yield from _reshaped(self.table, v, self._shapes[af], difference.shapes[af])

    def add_interface(self, ifindex: int, name: str) -> None:
        """Steers another interface, or one that was renamed or made anew."""
        self.remove_interface(ifindex)
        self._run(f"table netdev {self.table} {{\n{_base_chain(ifindex, name)}}}\n")
        self._interfaces[ifindex] = name

    def remove_interface(self, ifindex: int) -> None:
        """Forgets an interface; the kernel may have removed its chain already."""
        self._interfaces.pop(ifindex, None)
        chain = f"{self.table} {_chain_name(ifindex)}"
        self._run(f"add chain netdev {chain}\ndelete chain netdev {chain}\n")

    def intact(self) -> bool:
        """Tells whether the table is still there (`nft flush ruleset` removes it).

        Of what nft lists, only chains come without every element of every set being read.
        """
        try:
            return f"table netdev {self.table} {{\n" in self._run("list chains netdev\n")
        except NftError:
            return False

    def counters(self) -> dict[str, tuple[int, int]]:
        """Returns packets and bytes by the reason a frame was taken, and of frames given back."""
        text = self._run(f"list counters table netdev {self.table}\n")
        found = re.findall(r"counter (\w+) \{\s*packets (\d+) bytes (\d+)", text)
        return {name: (int(packets), int(size)) for name, packets, size in found}

    def remove(self) -> None:
        """Removes the table, if there is one."""
        self._run(f"add table netdev {self.table}\ndelete table netdev {self.table}\n")


# ---------------------------------------------------------------- text of the table


def _chain_name(ifindex: int) -> str:
    return f"in_{ifindex}"


def _base_chain(ifindex: int, name: str) -> str:
    """Writes an interface's chain.  The mark goes off where the frame enters the host again."""
    return (
        f" chain {_chain_name(ifindex)} {{\n"
        f'  type filter hook ingress device "{name}" priority {_PRIORITY}; policy accept;\n'
        f"  meta mark {MARK_GIVEN:#x} meta mark set 0 counter name given_back accept\n"
        f"  meta mark {MARK_REPLY:#x} counter name local_reply drop\n"
        "  meta pkttype host meta protocol vmap { ip : jump frame_v4, ip6 : jump frame_v6 }\n }\n"
    )


def _body(plan: SteeringPlan) -> str:
    counters = "".join(f" counter {name} {{ }}\n" for name in COUNTERS)
    return counters + "".join(_family(v, plan.of(af)) for af, v in _VERSIONS.items())


_SET_TYPES = {
    "services": "inet_proto . {addr} . inet_service",
    "any_port": "inet_proto . {addr}",
    "ftp": "{addr}",
    "vips": "{addr}",
    "sources": "inet_proto . {addr} . inet_service",
    "any_source": "inet_proto . {addr}",
    "source_addrs": "{addr}",
    "standby": "{addr}",
    "laddrs": "{addr}",
    "full": "inet_proto . {addr} . inet_service",
    "any_full": "inet_proto . {addr}",
    "full_addrs": "{addr}",
}


def _family(v: str, f: FamilyPlan) -> str:
    """Writes the sets and chains of a family."""
    addr = f"ipv{v}_addr"
    sets = (
        f" set {name}{v} {{ type {kind.format(addr=addr)}; {_initial(getattr(f, name))} }}\n"
        for name, kind in _SET_TYPES.items()
    )
    chains = (
        f" chain {name} {{\n" + "".join(f"  {rule}\n" for rule in rules) + " }\n"
        for name, rules in _chains(v, f.shape()).items()
    )
    return "".join((*sets, *chains))


def _chains(v: str, f: Shape) -> dict[str, list[str]]:
    """Returns the rules of each chain, callees first.

    What established connections hit comes first in the main chain.
    """
    ip = "ip" if v == "4" else "ip6"
    fragment = "ip frag-off & 0x3fff != 0" if v == "4" else "exthdr frag exists"
    errors = "icmp type { 3, 4, 11 }" if v == "4" else "icmpv6 type < 128"
    source, count = f"meta l4proto . {ip} saddr", "counter name taken"
    passing = f"fib daddr type != local {count}"
    local, to_local = f.has_local, f"{ip} daddr @laddrs{v}"
    return {
        f"fragment_v{v}": [
            f"{ip} daddr @vips{v} counter name taken_fragment drop",
            *_marked_fragments(v, f),
            f"{ip} saddr @source_addrs{v} {passing}_fragment drop",
            *([f"{to_local} {ip} saddr @full_addrs{v} {count}_fragment drop"] if local else []),
            *([f"meta l4proto icmp {passing}_fragment drop"] if f.active else []),
        ],
        f"icmp_v{v}": [
            f"{ip} daddr @vips{v} counter name taken_icmp drop",
            *_marked_icmp(ip, f),
            *([f"{to_local} {count}_icmp drop"] if local else []),
            *([f"{passing}_icmp drop"] if f.has_sources else []),
        ],
        f"mark_v{v}": _marks(v, f),
        f"frame_v{v}": [
            *([f"{ip} daddr @standby{v} return"] if f.has_standby else []),
            f"{fragment} goto fragment_v{v}",
            f"meta l4proto . {ip} daddr . th dport @services{v} counter name taken_service drop",
            f"{source} . th sport @sources{v} {passing}_reply drop",
            f"meta l4proto . {ip} daddr @any_port{v} counter name taken_service drop",
            f"{source} @any_source{v} {passing}_reply drop",
            f"{ip} daddr @ftp{v} tcp dport {{ 20, 1024-65535 }} counter name taken_service drop",
            *_local_replies(v, f, f"{to_local} {source}"),
            f"{errors} goto icmp_v{v}",
            f"goto mark_v{v}",
        ],
    }


def _local_replies(v: str, f: Shape, head: str) -> list[str]:
    """Writes the rules for what FULLNAT servers send to the ports that are ours."""
    if not f.has_local:
        return []
    ports = f"th dport > 1024 th dport != {_range(f.host_ports)} counter name taken_local drop"
    return [f"{head} . th sport @full{v} {ports}", f"{head} @any_full{v} {ports}"]


def _marked_fragments(v: str, f: Shape) -> list[str]:
    """Writes what takes the fragments that may be of a fwmark service; their ports are unknown,
    and for sure the protocol only of IPv4."""
    return [
        f"{_protocol(rule) if v == '4' else ''} {_where(v, rule)} counter name taken_fragment drop"
        for rule in f.serving()
    ]


def _marked_icmp(ip: str, f: Shape) -> list[str]:
    """Writes what takes the ICMP errors to the addresses that fwmark services may have."""
    prefixes = {(rule.dst, rule.dst_len) for rule in f.serving()}
    targets = (_prefix(f"{ip} daddr", addr, length) for addr, length in sorted(prefixes))
    return [f"{target} counter name taken_icmp drop" for target in targets]


def _marks(v: str, f: Shape) -> list[str]:
    """Writes the mark rules last to first: the last to apply decides, and here the first match."""
    rules = reversed(f.marks) if f.active else ()
    return [
        f"{_mark_match(v, rule)} "
        + ("counter name taken_mark drop" if rule.mark in f.fwmarks else "return")
        for rule in rules
    ]


def _mark_match(v: str, rule: MarkRule) -> str:
    # Ports are always read: a packet without them has no mark.
    ports = " ".join(f"th {end} {_range(ports)}" for end, ports in _ends(rule))
    return f"{_protocol(rule)} {_where(v, rule)} {ports}"


def _protocol(rule: MarkRule) -> str:
    return f"meta l4proto {rule.protocol or '{ 6, 17, 132 }'}"


def _where(v: str, rule: MarkRule) -> str:
    ip = "ip" if v == "4" else "ip6"
    interface = f"meta iif {rule.ifindex}" if rule.ifindex else ""
    source = _prefix(f"{ip} saddr", rule.src, rule.src_len)
    return f"{interface} {source} {_prefix(f'{ip} daddr', rule.dst, rule.dst_len)}"


def _prefix(side: str, addr: bytes, length: int) -> str:
    return f"{side} {_addr(addr)}/{length}" if length else ""


def _ends(rule: MarkRule) -> tuple[tuple[str, tuple[int, int]], ...]:
    return ("sport", rule.sport), ("dport", rule.dport)


def _range(ports: tuple[int, int]) -> str:
    low, high = ports
    return str(low) if low == high else f"{low}-{high}"


def _initial(items: Iterable[object]) -> str:
    text = _elements(items)
    return f"elements = {{ {text} }}" if text else ""


def _elements(items: Iterable[object]) -> str:
    return ", ".join(sorted(_element(item) for item in items))


def _element(item: object) -> str:
    if isinstance(item, bytes):
        return _addr(item)
    assert isinstance(item, tuple)
    return " . ".join(_addr(x) if isinstance(x, bytes) else str(x) for x in item)


def _addr(raw: bytes) -> str:
    return socket.inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)


# ---------------------------------------------------------------- changes


def _reshaped(table: str, v: str, old: Shape, new: Shape) -> Iterator[str]:
    """Yields the commands that make the chains anew whose rules differ."""
    old_chains = _chains(v, old)
    for chain, rules in _chains(v, new).items():
        if rules != old_chains[chain]:
            yield f"flush chain netdev {table} {chain}\n"
            yield from (f"add rule netdev {table} {chain} {rule}\n" for rule in rules)
